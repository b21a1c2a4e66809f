"""The supervisor: it keeps a worker on each slot that is in use, and replaces them one by one when asked to.

MUSTs:
1. It serves nothing itself, and no worker outlives it: each holds the other end of a pipe that ends with it.
2. A worker that ends is started again on its slot, so that its log is recovered; the more often in a row, the later.
   One that does not come to serve in time, or cannot be followed, is ended first.
3. When a worker cannot be started at the beginning, nothing serves: the reason is on standard error.
4. In a rolling restart a worker is drained only after its replacement serves, on the slot that is free. Where a
   replacement does not serve, the restart ends there, and those that serve go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

import structlog

from broker.domain.clock import Clock
from broker.domain.slot import Slot
from broker.workers.process import Worker

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 30.0
# Beyond the longest wait; without a bound the reckoning itself would fail after a night of failures.
MOST_DOUBLINGS = 10
# A worker that lived so long did not fail because of how it was started.
STEADY_SECONDS = 60.0
STOP_SECONDS = 20.0
# A long log takes its time to recover.
START_SECONDS = 600.0
NOT_STARTED = 1
# A worker that is told to stop before it has learned to do so gracefully has nothing to lose yet.
ENDED_WELL = (0, -signal.SIGTERM)

Spawn = Callable[[Slot], Awaitable[Worker]]
Recover = Callable[[list[Slot]], Awaitable[bool]]

_logger = structlog.get_logger("entente.supervisor")


class Seat:
    """A slot in use: whoever sits there is replaced when they end, until they are asked to leave."""

    def __init__(self, slot: Slot, spawn: Spawn, clock: Clock) -> None:
        self.slot = slot
        self.status: int | None = None
        self._spawn = spawn
        self._clock = clock
        self._worker: Worker | None = None
        self._leaving = asyncio.Event()
        self._first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(), name=f"slot {slot.number}")

    async def taken(self) -> bool:
        """Whether the first worker serves; False when it ended before it did, or took too long."""
        return await asyncio.shield(self._first)

    async def drained(self, seconds: float) -> None:
        """Let the worker's connections go elsewhere, and it end; stopped when that takes longer."""
        self._leaving.set()
        if self._worker is not None:
            self._worker.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._task), seconds)
        await self.stopped()

    async def stopped(self) -> None:
        """Stop it gracefully, and end it when it does not."""
        self._leaving.set()
        if self._worker is not None and not self._task.done():
            self._worker.stop()
        try:
            await asyncio.wait_for(asyncio.shield(self._task), STOP_SECONDS)
        except TimeoutError:
            _logger.error("worker_killed", slot=self.slot.number)
            if self._worker is not None:
                self._worker.kill()
            await self._task

    async def _keep(self) -> None:
        failures = 0
        while not self._leaving.is_set():
            began_us = self._clock.monotonic_us()
            if not await self._sit():
                return
            lived_s = (self._clock.monotonic_us() - began_us) / 1_000_000
            failures = 0 if lived_s > STEADY_SECONDS else failures + 1
            wait_s = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(MOST_DOUBLINGS, max(0, failures - 1)))
            _logger.error("worker_ended", slot=self.slot.number, status=self.status, again_in_s=wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), wait_s)

    async def _sit(self) -> bool:
        """One worker, from its start to its end; whether another must follow."""
        try:
            self.status = await self._one()
        except Exception as error:
            # Whatever it is, the slot is not left empty for it.
            _logger.error("worker_lost", slot=self.slot.number, why=f"{type(error).__name__}: {error}")
            self.status = NOT_STARTED
        return not self._settle(serves=False) and not self._leaving.is_set()

    async def _one(self) -> int:
        worker = self._worker = await self._spawn(self.slot)
        if self._leaving.is_set():
            # Asked to leave while it was being started.
            worker.stop()
        try:
            if await asyncio.wait_for(worker.served(), START_SECONDS):
                _logger.info("worker_serving", slot=self.slot.number, pid=worker.pid)
                self._settle(serves=True)
        except Exception:
            # Left alive, it would hold the log that its successor needs.
            worker.kill()
            await worker.ended()
            raise
        return await worker.ended()

    def _settle(self, *, serves: bool) -> bool:
        """Say once how the first worker began; whether that was said now."""
        if self._first.done():
            return False
        self._first.set_result(serves)
        return True


class Supervisor:
    """Workers on all but one of the slots 0 to `workers`. `recover` closes what is open in logs that nobody holds."""

    def __init__(self, spawn: Spawn, recover: Recover, workers: int, clock: Clock) -> None:
        self._spawn = spawn
        self._recover = recover
        self._clock = clock
        self._workers = workers
        self._seats: list[Seat] = []
        self._free = Slot(workers)

    async def start(self, left_over: list[Slot]) -> bool:
        """Start all, and recover the slots that nobody takes; whether all serve."""
        self._seats = [Seat(Slot(number), self._spawn, self._clock) for number in range(self._workers)]
        recovering = [self._recover(left_over)] if left_over else []
        return all(await asyncio.gather(*recovering, *(seat.taken() for seat in self._seats)))

    async def stop(self) -> bool:
        """Stop all gracefully; whether all ended well."""
        await asyncio.gather(*(seat.stopped() for seat in self._seats))
        return all(seat.status in ENDED_WELL for seat in self._seats)

    async def restart(self, drain_seconds: float) -> bool:
        """Replace all, one by one, each drained for at most so long; whether it came to its end."""
        for old in list(self._seats):
            replacement = Seat(self._free, self._spawn, self._clock)
            self._seats.append(replacement)
            if not await replacement.taken():
                await replacement.stopped()
                self._seats.remove(replacement)
                _logger.error("restart_given_up", slot=self._free.number, status=replacement.status)
                return False
            await old.drained(drain_seconds)
            self._seats.remove(old)
            self._free = old.slot
            if old.status not in ENDED_WELL:
                await self._recover([old.slot])
        _logger.info("restarted", workers=self._workers)
        return True
