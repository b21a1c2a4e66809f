"""A worker as the supervisor sees it: a process of its own, started afresh and never forked.

Guarantees: the pipe that keeps it alive is held by the supervisor alone, so that the worker learns of its end whatever
ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Protocol

from broker.domain.slot import Slot

SERVING = b"serving on "
_DRAIN = b"drain\n"


class Worker(Protocol):
    """What the supervisor needs of one."""

    @property
    def pid(self) -> int: ...

    async def served(self) -> bool:
        """Wait until it serves; False when it ended instead."""
        ...

    async def ended(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        ...

    def drain(self) -> None:
        """Ask it to let its connections go elsewhere, then end."""
        ...

    def stop(self) -> None:
        """Ask it to stop gracefully, now."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


class WorkerProcess:
    """`python -m broker.workers.worker` on one slot."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def spawn(cls, config: Path, slot: Slot, address: str) -> WorkerProcess:
        """Start one. Raises OSError."""
        command = [sys.executable, "-m", "broker.workers.worker", "--config", str(config)]
        command += ["--slot", str(slot.number), "--listen", address]
        # In a process group of its own: what the terminal sends is the supervisor's to act on.
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, process_group=0))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def served(self) -> bool:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).startswith(SERVING)

    async def ended(self) -> int:
        return await self._process.wait()

    def drain(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(_DRAIN)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


async def recover_slots(config: Path, slots: list[Slot]) -> bool:
    """Close what is open in the logs of these slots, which nobody may hold meanwhile; whether that was done."""
    command = [sys.executable, "-m", "broker.workers.recover", "--config", str(config)]
    for slot in slots:
        command += ["--slot", str(slot.number)]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    return await process.wait() == 0
