"""Publishing: from the journal into tiles, bundles and the checkpoint that others may fetch.

Off the latency path: the ledger runs `Publisher.publish` in a thread, at least each second and when it closes.

Order (each step durable before the next): sealed bundles, entry bundles, hash tiles, tree state, checkpoint. A crash at
any point leaves the old checkpoint with all that it needs; what it does not cover yet is still in the journal.

Full tiles and bundles never change (audit invariant 8): a full one is written once, from a partial one that it extends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from broker.audit.files import Files
from broker.audit.journal import DamagedLedgerError
from entente_tlog import tiles
from entente_tlog.errors import TlogError
from entente_tlog.merkle import Tree
from entente_tlog.note import decode64, encode64

SEALED = "sealed"
TREE_STATE = "tree-state"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class TreeState:
    """What the signer has committed to: written before the checkpoint is."""

    size: int
    root: bytes

    def encode(self) -> bytes:
        return orjson.dumps({"root": encode64(self.root), "size": self.size}) + b"\n"

    @classmethod
    def parse(cls, raw: bytes) -> TreeState:
        """Raises DamagedLedgerError."""
        try:
            state = orjson.loads(raw)
            return cls(int(state["size"]), decode64(state["root"], 32))
        except (ValueError, KeyError, TypeError, TlogError) as error:
            raise DamagedLedgerError("tree-state does not parse") from error


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries to publish: `leaves` and `sealed` start at `base`, a multiple of 256 up to `published`."""

    base: int
    published: int
    size: int
    leaves: Sequence[bytes]
    sealed: Sequence[bytes]
    root: bytes
    checkpoint: bytes


def sealed_path(number: int, width: int = tiles.WIDTH) -> str:
    """Sealed bundles are numbered as entry bundles are."""
    return tiles.tile_path(SEALED, number, width).removeprefix("tile/")


def pack_sealed(parts: Sequence[bytes]) -> bytes:
    """Sealed parts -> bundle (big-endian uint32 length before each)."""
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(4, "big"), part))


def unpack_sealed(raw: bytes) -> list[bytes]:
    """Bundle -> sealed parts; raises DamagedLedgerError."""
    parts = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        if end > len(raw):
            raise DamagedLedgerError("a sealed bundle ends inside a part")
        parts.append(raw[at + 4 : end])
        at = end
    return parts


class Publisher:
    """Writes batches under the ledger's directory."""

    def __init__(self, directory: Path, tree: Tree, files: Files) -> None:
        self._directory = directory
        self._tree = tree
        self._writer = tiles.Writer(files)

    def publish(self, batch: Batch) -> None:
        """Make `batch.size` entries public. Raises OSError: then nothing may be believed until restart."""
        self._bundles(batch)
        self._tiles(batch)
        self._writer.settle()
        self._writer.write(self._directory / TREE_STATE, TreeState(batch.size, batch.root).encode())
        self._writer.settle()
        self._writer.write(self._directory / CHECKPOINT, batch.checkpoint)
        self._writer.settle()
        self._drop_partials(batch)

    def _bundles(self, batch: Batch) -> None:
        for start in range(batch.published // tiles.WIDTH * tiles.WIDTH, batch.size, tiles.WIDTH):
            number = start // tiles.WIDTH
            width = min(tiles.WIDTH, batch.size - start)
            if start + width <= batch.published:
                continue
            within = slice(start - batch.base, start - batch.base + width)
            self._write(sealed_path(number, width), pack_sealed(batch.sealed[within]))
            self._write(tiles.tile_path(tiles.ENTRIES, number, width), tiles.pack_bundle(batch.leaves[within]))

    def _tiles(self, batch: Batch) -> None:
        for level, count in tiles.tiles_for(batch.size):
            done = batch.published >> (8 * level)
            for start in range(done // tiles.WIDTH * tiles.WIDTH, count, tiles.WIDTH):
                end = min(start + tiles.WIDTH, count)
                if end > done:
                    path = tiles.tile_path(level, start // tiles.WIDTH, end - start)
                    self._write(path, self._tree.row(8 * level, start, end))

    def _write(self, path: str, data: bytes) -> None:
        self._writer.write(self._directory / path, data)

    def _drop_partials(self, batch: Batch) -> None:
        """Partial tiles go once their full tile is durable; of partial sealed bundles only the widest stays."""
        for level, count in tiles.tiles_for(batch.size):
            done = batch.published >> (8 * level)
            for number in range(done // tiles.WIDTH, count // tiles.WIDTH):
                self._writer.remove_partials(self._directory / tiles.tile_path(level, number))
                if level == 0:
                    self._writer.remove_partials(self._directory / tiles.tile_path(tiles.ENTRIES, number))
                    self._writer.remove_partials(self._directory / sealed_path(number))
        number, width = divmod(batch.published, tiles.WIDTH)
        if width and batch.published < batch.size and number == batch.size // tiles.WIDTH:
            (self._directory / sealed_path(number, width)).unlink(missing_ok=True)
