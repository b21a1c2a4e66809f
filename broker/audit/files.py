"""The ledger's file calls beyond those of `entente_tlog.tiles`, one method each: tests can make any of them fail."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from entente_tlog.tiles import FileOperations


class Files(FileOperations):
    """The operating system's own."""

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def free_bytes(self, path: Path) -> int:
        """Bytes that an ordinary process may still write."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def lock(self, fd: int) -> bool:
        """Take the lock; False when another process holds it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
