"""One `serve` for a data folder, whether it is one process or a supervisor with its workers.

Guarantees: a second one is refused before it touches anything. The lock is the process's: it goes with it, also when
it is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from broker.domain.clock import Clock
from broker.domain.slot import slots_present

POLL_SECONDS = 0.1
# What a worker takes to stop gracefully when its supervisor was killed, and more.
ORPHANS_SECONDS = 20.0


class DataFolderInUseError(Exception):
    """Another broker serves from this data folder; the message says what to do."""


@contextlib.contextmanager
def sole_user(data: Path) -> Iterator[None]:
    """Hold the data folder. Raises DataFolderInUseError at once where another process does."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(descriptor):
            raise DataFolderInUseError(f"another `entente serve` uses {data}; stop it, or set another broker.data")
        yield
    finally:
        os.close(descriptor)


def wait_for_orphans(data: Path, clock: Clock, seconds: float = ORPHANS_SECONDS) -> None:
    """Wait until no log is held: workers whose supervisor was killed are still stopping. Blocks.

    Raises DataFolderInUseError when one is held for longer.
    """
    deadline_us = clock.monotonic_us() + int(seconds * 1_000_000)
    for slot in slots_present(data):
        while _is_held(slot.ledger(data) / "lock"):
            if clock.monotonic_us() > deadline_us:
                raise DataFolderInUseError(f"another process writes {slot.ledger(data)}; stop it first")
            time.sleep(POLL_SECONDS)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _take(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
