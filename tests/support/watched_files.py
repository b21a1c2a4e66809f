"""The ledger's real files, watched: what is durable and when, with a gate, a delay and a full disk at hand."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from broker.audit.files import Files

_PHASE = re.compile(rb'"exchange_id":"([0-9a-f]{32})".{0,400}?"phase":"(\w+)"', re.DOTALL)


class WatchedFiles(Files):
    """The real files: which phases of which exchanges are durable, in order; and a gate before each fdatasync."""

    def __init__(self) -> None:
        self.happened: list[tuple[str, str]] = []
        self.gated = False
        self.waiting = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.slow_s = 0.0
        self.free: int | None = None
        self._last = b""

    def write(self, fd: int, data: bytes) -> None:
        self._last = bytes(data)
        super().write(fd, data)

    def fdatasync(self, fd: int) -> None:
        phases = [(exchange.decode(), phase.decode()) for exchange, phase in _PHASE.findall(self._last)]
        if self.gated and any(phase != "outcome" for _, phase in phases):
            self.waiting.release()
            assert self.go.acquire(timeout=10)
        if self.slow_s:
            time.sleep(self.slow_s)
        super().fdatasync(fd)
        self.happened += phases

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.free is None else self.free
