"""Another worker's log, read from the files that it publishes: each worker writes one log, and every auditor reads all.

Guarantees: what is shown of it lies under its published checkpoint, whose signature is checked; its index is its own
worker's work, and is read up to that checkpoint and no further.
Limit: it trails its worker by as much as publishing does, about a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path

from broker.audit.publish import CHECKPOINT, sealed_path, unpack_sealed
from broker.audit.writer import unavailable
from broker.store.audit_index import AuditIndex
from entente_tlog import tiles
from entente_tlog.checkpoint import Checkpoint, open_checkpoint
from entente_tlog.errors import TlogError
from entente_tlog.merkle import HASH_SIZE, Tree
from entente_tlog.note import Verifier

_BUNDLES_KEPT = 16
_CAUGHT_UP_S = 2.0
_LOOK_S = 0.02
_LOOKS = 3


class PublishedLog:
    """One log that somebody else writes. Calls block, except `ready`."""

    def __init__(self, directory: Path, verifier: Verifier, index: AuditIndex) -> None:
        self.origin = verifier.name
        self.index = index
        self._directory, self._verifier = directory, verifier
        self._tree = Tree()
        self._full = lru_cache(_BUNDLES_KEPT)(self._bundle)

    def head(self) -> tuple[bytes, Checkpoint | None]:
        """The published checkpoint, as it is signed and as it reads; empty where nothing was published yet.

        Raises UnavailableError when it does not verify: such a log is shown to nobody.
        """
        try:
            note = (self._directory / CHECKPOINT).read_bytes()
            return note, open_checkpoint(note, [self._verifier])
        except FileNotFoundError:
            return b"", None
        except (OSError, TlogError) as error:
            raise unavailable(f"the log {self.origin}: {error}") from error

    def size(self) -> int:
        """Entries that are published."""
        _, checkpoint = self.head()
        return 0 if checkpoint is None else checkpoint.size

    async def ready(self, run: Callable[[Callable[[], int]], Awaitable[int]]) -> int:
        """The published size, once the index holds as much. Raises UnavailableError when it does not come."""
        size = await run(self.size)
        try:
            async with asyncio.timeout(_CAUGHT_UP_S):
                while await run(self.index.size) < size:  # noqa: ASYNC110 - another process feeds it
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            raise unavailable(f"the index of {self.origin} is behind {size} entries") from error
        return size

    def leaf(self, index: int) -> bytes:
        """An entry's exact bytes. Raises IndexError beyond what is published."""
        size = self.size()
        if not 0 <= index < size:
            raise IndexError(f"{self.origin} has published {size} entries, not {index}")
        number, place = divmod(index, tiles.WIDTH)
        width = min(tiles.WIDTH, size - number * tiles.WIDTH)
        entries = self._full(number, width) if width == tiles.WIDTH else self._bundle(number, width)
        return entries[place]

    def sealed(self, index: int) -> bytes:
        """An entry's sealed part, whose commitment is in its leaf. Raises IndexError where it is not to be had."""
        number, place = divmod(index, tiles.WIDTH)
        full = self._directory / sealed_path(number)
        partial = full.with_name(f"{full.name}.p")
        # Of partial bundles only the widest stays, and it goes when a wider one has come: look again then.
        for _ in range(_LOOKS):
            names = [full, *sorted(partial.glob("[0-9]*"), key=lambda path: -int(path.name))]
            for path in names:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    parts = unpack_sealed(path.read_bytes())
                    if place < len(parts):
                        return parts[place]
        raise IndexError(f"{self.origin} has no sealed part {index}")

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """From entry `index` to the root of the first `size`. Raises ValueError."""
        return self._grown(size).inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the tree of `old` entries is a prefix of that of `new`. Raises ValueError."""
        return self._grown(new).consistency_proof(old, new)

    def close(self) -> None:
        self.index.close()

    def _grown(self, size: int) -> Tree:
        """The tree, as far as asked for: read from the hash tiles, which a proof's verifier need not believe."""
        while len(self._tree) < size:
            number, place = divmod(len(self._tree), tiles.WIDTH)
            width = min(tiles.WIDTH, size - number * tiles.WIDTH)
            row = tiles.read_tile(self._directory, 0, number, width)
            if row is None or len(row) < width * HASH_SIZE:
                raise unavailable(f"{self.origin}: {tiles.tile_path(0, number, width)} is absent or short")
            self._tree.extend(row[place * HASH_SIZE : width * HASH_SIZE])
        return self._tree

    def _bundle(self, number: int, width: int) -> list[bytes]:
        entries, _ = tiles.unpack_bundle(tiles.read_tile(self._directory, tiles.ENTRIES, number, width) or b"")
        if len(entries) < width:
            raise unavailable(f"{self.origin}: bundle {number} lacks entries")
        return entries
