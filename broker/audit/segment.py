"""The journal's current segment: opened, written with one fdatasync for each frame, rolled, dropped once covered."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from broker.audit import journal
from broker.audit.files import Files
from broker.domain.clock import Clock


class SegmentWriter:
    """Appends frames. Knows nothing of what is in them."""

    def __init__(self, directory: Path, first: int, files: Files, clock: Clock, roll_bytes: int) -> None:
        self._directory, self._files, self._clock, self._roll_bytes = directory, files, clock, roll_bytes
        self._fd = -1
        self._open(first)

    def write(self, frame: bytes) -> int:
        """One write, one fdatasync; microseconds taken. Raises OSError: then nothing more may be written."""
        start = self._clock.monotonic_us()
        self._files.write(self._fd, frame)
        self._files.fdatasync(self._fd)
        self._bytes += len(frame)
        return self._clock.monotonic_us() - start

    def roll(self, first: int) -> None:
        """Go on in a new segment when this one is large; `first` is the next index."""
        if self._bytes >= self._roll_bytes:
            self.close()
            self._open(first)

    def drop_covered(self, published: int) -> None:
        """Delete segments all of whose entries are published; the current one stays."""
        found = journal.segments(self._directory)
        for segment, following in pairwise(found):
            if journal.first_index(following) <= published:
                self._files.unlink(segment)

    def close(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1

    def _open(self, first: int) -> None:
        # Truncated: what an earlier run left under this index was published, or was a torn tail.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._fd = self._files.open(journal.segment_path(self._directory, first), flags)
        self._bytes = 0
        folder = self._files.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._files.fsync(folder)
        finally:
            self._files.close(folder)
