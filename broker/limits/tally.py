"""Counters that all workers of a broker share: one mapped file, a column for each worker's slot, a row for each agency.

MUSTs:
1. A cell has one writer, the worker that holds its slot; every worker reads all columns. Cells are eight aligned bytes.
2. Nothing waits on the way of a call: no lock is held and no system call made, but for an agency's first call, whose
   row is taken under a lock that is tried and never waited for.
3. Where there is no row (the table is full, the lock is held), the agency shares row 0 with others in its position:
   less room, never more.
4. What a worker holds (streams, calls, connections) counts only while the worker beats; one that starts clears its own.
   What was used in all (requests, bytes) only grows.

The file lies in shared memory: a page of a disk's file may keep its writer waiting while the disk is slow. It is
removed by the last worker that leaves; what a kill leaves behind is used again. Agencies are rows by a digest of their
names.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import stat
from enum import IntEnum
from pathlib import Path

from broker.domain.clock import Clock

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - opened without following links, and refused when another user owns it
SLOTS = 65
ROWS = 1024
SHARED_ROW = 0
BEAT_SECONDS = 0.25
# Workers beat four times a second; one that has not for so long is dead or stuck.
STALE_US = 3_000_000

_WORD = 8
_DIGEST_BYTES = 32
_HEAD_BYTES = mmap.PAGESIZE
_CELLS = 8
_ROWS_USED = 0
# A column's head: its worker's last beat, then whether a worker ever had it.
_EVER_USED = 1
_KEYS_AT = _HEAD_BYTES
_COLUMNS_AT = _KEYS_AT + ROWS * _DIGEST_BYTES
_COLUMN_BYTES = mmap.PAGESIZE + ROWS * _CELLS * _WORD
_SIZE = _COLUMNS_AT + SLOTS * _COLUMN_BYTES


class Cell(IntEnum):
    """What is counted for each agency. `REQUESTS` and `BYTES` only grow; the others go up and down."""

    REQUESTS = 0
    BYTES = 1
    STREAMS = 2
    CALLS = 3
    CONNECTIONS = 4


HELD = (Cell.STREAMS, Cell.CALLS, Cell.CONNECTIONS)


class TallyError(OSError):
    """The shared counters cannot be used; the message says what to do."""


class Tally:
    """One worker's view of the counters. `open` it, `beat` it often, `close` it."""

    def __init__(self, path: Path, fd: int, slot: int, clock: Clock) -> None:
        self._path = path
        self._fd = fd
        self._clock = clock
        self._map = mmap.mmap(fd, _SIZE)
        self._words = memoryview(self._map).cast("q")
        self._column = _column(slot)
        self._used: tuple[int, ...] = ()
        self._live: tuple[int, ...] = ()
        self._rows: dict[bytes, int] = {}
        self._names: dict[str, int] = {}
        self._clear()
        self.beat()

    @classmethod
    def open(cls, data: Path, slot: int, clock: Clock) -> Tally:
        """The counters of the broker whose folder is `data`. Raises TallyError or OSError."""
        if not 0 <= slot < SLOTS:
            raise TallyError(f"slot {slot}: a broker has at most {SLOTS} worker slots; start fewer workers")
        path = location(data)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                if _joined(path, fd):
                    return cls(path, fd, slot, clock)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def close(self) -> None:
        """Leave; the last one out removes the file."""
        self._clear()
        self._words.release()
        self._map.close()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._path.unlink(missing_ok=True)
        except BlockingIOError:
            pass  # another worker is still here
        finally:
            os.close(self._fd)

    @property
    def rows(self) -> int:
        """Rows 0..rows-1 are in use."""
        return self._words[_ROWS_USED] + 1

    def row(self, agency: str) -> int:
        """The agency's row; row 0 where it can have none of its own now."""
        found = self._names.get(agency)
        if found is None:
            key = key_of(agency)
            found = self._find(key) or self._take(key)
            if found != SHARED_ROW:
                self._names[agency] = found
        return found

    def key(self, row: int) -> bytes:
        """The digest by which a row is known: `key_of` its agency."""
        at = _KEYS_AT + row * _DIGEST_BYTES
        return self._map[at : at + _DIGEST_BYTES]

    def add(self, row: int, cell: Cell, amount: int) -> None:
        """Count in this worker's column."""
        at = self._column + _WORDS_BEFORE_CELLS + row * _CELLS + cell
        self._words[at] += amount

    def total(self, row: int, cell: Cell) -> int:
        """What was used by all workers that there ever were."""
        at, words = _WORDS_BEFORE_CELLS + row * _CELLS + cell, self._words
        return sum([words[column + at] for column in self._used])

    def held(self, row: int, cell: Cell) -> int:
        """What the workers that run now hold."""
        at, words = _WORDS_BEFORE_CELLS + row * _CELLS + cell, self._words
        return sum([words[column + at] for column in self._live])

    def beat(self) -> None:
        """Say that this worker lives, and see which others do."""
        now = self._clock.monotonic_us()
        self._words[self._column] = now
        columns = [_column(slot) for slot in range(SLOTS)]
        beats = {column: self._words[column] for column in columns}
        self._used = tuple(one for one in columns if self._words[one + _EVER_USED])
        self._live = tuple(one for one in self._used if one == self._column or abs(now - beats[one]) < STALE_US)

    def _clear(self) -> None:
        self._words[self._column + _EVER_USED] = 1
        for row in range(ROWS):
            for cell in HELD:
                self._words[self._column + _WORDS_BEFORE_CELLS + row * _CELLS + cell] = 0

    def _find(self, key: bytes) -> int:
        """Look among rows that other workers have taken since."""
        for row in range(len(self._rows) + 1, self.rows):
            self._rows[self.key(row)] = row
        return self._rows.get(key, SHARED_ROW)

    def _take(self, key: bytes) -> int:
        if self.rows >= ROWS:
            return SHARED_ROW
        try:
            # Not the lock of `open`: this one is the process's, and over one byte.
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except OSError:
            return SHARED_ROW
        try:
            row = self._find(key)
            if row == SHARED_ROW and self.rows < ROWS:
                row = self.rows
                at = _KEYS_AT + row * _DIGEST_BYTES
                self._map[at : at + _DIGEST_BYTES] = key
                self._words[_ROWS_USED] = row
                self._rows[key] = row
            return row
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)


_WORDS_BEFORE_CELLS = mmap.PAGESIZE // _WORD


def _column(slot: int) -> int:
    """Where a slot's column begins, in words."""
    return (_COLUMNS_AT + slot * _COLUMN_BYTES) // _WORD


def key_of(agency: str) -> bytes:
    """By what an agency's row is found."""
    return hashlib.sha256(agency.encode()).digest()


def location(data: Path) -> Path:
    """Where the counters of a data folder lie."""
    if not SHARED_MEMORY.is_dir():
        return data / "limits"
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:32]
    return SHARED_MEMORY / f"entente-limits-1-{name}"


def _joined(path: Path, fd: int) -> bool:
    """Whether this is the file that others open too, sized and ours; False when it was removed just now."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise TallyError(f"{path}: is not a private file of this user; remove it, then start again")
    fcntl.flock(fd, fcntl.LOCK_SH)
    if os.fstat(fd).st_nlink == 0:
        return False
    if found.st_size < _SIZE:
        os.ftruncate(fd, _SIZE)
    return True
