"""C2SP tlog-tiles: paths, hash tiles and entry bundles, and how they are written.

A tile is 256 hashes wide. `tile/<level>/<N>[.p/<W>]` holds hashes, `tile/entries/<N>[.p/<W>]` the entries themselves
(big-endian uint16 length before each). N is written in groups of three digits: 1234067 -> x001/x234/067.

Writing MUST survive a crash at any point: temporary file -> fsync -> rename -> fsync of the directory. A reader sees
the old file or the new, never a part.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from .errors import FormatError
from .merkle import HASH_SIZE

WIDTH = 256
MAX_ENTRY_BYTES = 65_535
ENTRIES = "entries"


def number_path(number: int) -> str:
    """1234067 -> 'x001/x234/067'."""
    path = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        path = f"x{number % 1000:03d}/{path}"
    return path


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Path of a hash tile, or of an entry bundle when level is 'entries'."""
    path = f"tile/{level}/{number_path(number)}"
    return path if width == WIDTH else f"{path}.p/{width}"


def tiles_for(size: int) -> list[tuple[int, int]]:
    """(level, count of hashes at that level) for a tree of `size` entries."""
    counts = []
    level = 0
    while size:
        counts.append((level, size))
        size //= WIDTH
        level += 1
    return counts


def pack_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries -> bundle; raises FormatError above 65,535 bytes."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise FormatError("an entry holds at most 65,535 bytes")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def unpack_bundle(raw: bytes) -> tuple[list[bytes], bool]:
    """Bundle -> (entries, is whole). Not whole: the bytes end inside an entry; those before it are given."""
    entries: list[bytes] = []
    at, end = 0, len(raw)
    while at + 2 <= end:
        stop = at + 2 + (raw[at] << 8 | raw[at + 1])
        if stop > end:
            return entries, False
        entries.append(raw[at + 2 : stop])
        at = stop
    return entries, at == end


def split_hashes(raw: bytes) -> list[bytes]:
    """A tile's bytes -> hashes; raises FormatError."""
    if len(raw) % HASH_SIZE:
        raise FormatError("a tile is a multiple of 32 bytes")
    return [raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)]


def read_tile(directory: Path, level: int | str, number: int, width: int) -> bytes | None:
    """A tile's bytes; the full tile where the partial one has gone already (it is a prefix of it). None: absent."""
    for wide in (width, WIDTH):
        try:
            return (directory / tile_path(level, number, wide)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


class FileOperations:
    """The operating system's file calls, one method each, so that tests can make any of them fail."""

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: bytes) -> None:
        """All of it (a short write is continued)."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o750)


class Writer:
    """Writes files atomically and remembers which directories need an fsync: `settle` does it, once for each.

    A file is durable only after `settle`.
    """

    def __init__(self, files: FileOperations | None = None) -> None:
        self.files = files or FileOperations()
        self._unsettled: set[Path] = set()

    def write(self, path: Path, data: bytes) -> None:
        self._make_directory(path.parent)
        temporary = path.with_name(f".{path.name}.tmp")
        fd = self.files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self.files.write(fd, data)
            self.files.fsync(fd)
        finally:
            self.files.close(fd)
        self.files.rename(temporary, path)
        self._unsettled.add(path.parent)

    def settle(self) -> None:
        """fsync every directory that changed since the last call."""
        for directory in sorted(self._unsettled):
            fd = self.files.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self.files.fsync(fd)
            finally:
                self.files.close(fd)
        self._unsettled.clear()

    def remove_partials(self, full: Path) -> None:
        """Delete `<N>.p/` once the full tile is durable (tlog-tiles allows it). Failing to is no harm."""
        folder = full.with_name(f"{full.name}.p")
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                self.files.unlink(path)
            folder.rmdir()

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        self._make_directory(directory.parent)
        self.files.mkdir(directory)
        self._unsettled.add(directory.parent)
