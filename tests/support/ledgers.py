"""Small ledgers for tests: a fixed key, plain leaves, and file operations that fail on request."""

from __future__ import annotations

import errno
from pathlib import Path

from broker.audit.files import Files
from broker.audit.log import Ledger, Limits
from entente_tlog.note import Signer

SIGNER = Signer("ledger.example/test", bytes(range(32)))
VKEY = str(SIGNER.verifier)
ROOMY = Limits(reserve_bytes=0)


def leaf(number: int) -> bytes:
    """A small canonical leaf."""
    return b'{"exchange_id":"%032x","outcome":"denied","phase":"release","type":"denial"}' % number


def open_ledger(directory: Path, *, limits: Limits = ROOMY, files: Files | None = None) -> Ledger:
    return Ledger.open(directory, SIGNER, limits=limits, files=files)


async def fill(ledger: Ledger, count: int) -> None:
    """Append `count` leaves, numbered on from the ledger's size, and wait for all of them."""
    futures = [ledger.append(leaf(number), b"sealed %d" % number) for number in range(len(ledger), len(ledger) + count)]
    for future in futures:
        await ledger.wait(future)


class FailingFiles(Files):
    """Fails the named operation with this errno from the moment that `failing` is set."""

    def __init__(self, operation: str, code: int = errno.EIO) -> None:
        self.failing = False
        self.free = 1 << 40
        self._operation = operation
        self._error = OSError(code, "injected")

    def _maybe_fail(self, operation: str) -> None:
        if self.failing and operation == self._operation:
            raise self._error

    def write(self, fd: int, data: bytes) -> None:
        if self.failing and self._operation == "short write":
            super().write(fd, data[: len(data) // 2])
            raise self._error
        self._maybe_fail("write")
        super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._maybe_fail("fsync")
        super().fsync(fd)

    def fdatasync(self, fd: int) -> None:
        self._maybe_fail("fdatasync")
        super().fdatasync(fd)

    def rename(self, source: Path, target: Path) -> None:
        self._maybe_fail("rename")
        super().rename(source, target)

    def free_bytes(self, path: Path) -> int:
        return self.free
