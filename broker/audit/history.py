"""Entries by index: the newest from memory, the others from their full bundles on disk.

May be read from any thread while the ledger appends in its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from broker.audit.recovery import read_bundle
from entente_tlog.tiles import WIDTH

_BUNDLES_KEPT = 16


class History:
    """Leaves and sealed parts. Memory holds what lies in no full published bundle."""

    def __init__(self, directory: Path, base: int, leaves: list[bytes], sealed: list[bytes]) -> None:
        # One tuple, replaced whole: a reader that has taken it sees lists that fit their base, trimmed or not.
        self._tail = (base, leaves, sealed)
        self._bundle = lru_cache(_BUNDLES_KEPT)(lambda number: read_bundle(directory, number, WIDTH))

    def add(self, leaves: list[bytes], sealed: list[bytes]) -> None:
        """Entries that have just become durable."""
        self._tail[1].extend(leaves)
        self._tail[2].extend(sealed)

    def tail(self) -> tuple[int, list[bytes], list[bytes]]:
        """(base, leaves, sealed): a copy, for publishing."""
        base, leaves, sealed = self._tail
        return base, leaves[:], sealed[:]

    def trim(self, published: int) -> None:
        """Forget what full bundles hold by now."""
        base, leaves, sealed = self._tail
        keep = published // WIDTH * WIDTH
        if keep > base:
            self._tail = (keep, leaves[keep - base :], sealed[keep - base :])

    def pairs(self, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """(leaf, sealed) of start..end."""
        while start < end:
            base, leaves, sealed = self._tail
            if start >= base:
                yield from zip(leaves[start - base : end - base], sealed[start - base : end - base], strict=True)
                return
            bundle_leaves, bundle_sealed = self._bundle(start // WIDTH)
            stop = min(end, (start // WIDTH + 1) * WIDTH)
            within = slice(start % WIDTH, start % WIDTH + stop - start)
            yield from zip(bundle_leaves[within], bundle_sealed[within], strict=True)
            start = stop
