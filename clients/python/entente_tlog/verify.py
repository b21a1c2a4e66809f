"""Verify a whole log directory offline: every entry's bytes are hashed again (audit invariant 11).

Trusts the log's public key and nothing else. Reads the signed checkpoint, every entry bundle and every hash tile that a
tree of that size has, and reports:

- whether the entries hash to the signed root, and if not, the first damaged entry where that can be told;
- tiles that are absent or differ from what the entries give;
- leaves that are not canonical JSON (the hash is always over the stored bytes, never over a re-serialised form);
- counts by type, and exchanges without an outcome (`indeterminate`: to be treated as disclosed).

Does not decrypt, and cannot show what was cut off before the checkpoint was taken: receipts and witnesses do.
Streams: memory holds one bundle, one partial tile for each level and the ids of exchanges that are still open.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import tiles
from .checkpoint import Checkpoint, open_checkpoint
from .errors import FormatError, TlogError
from .merkle import EMPTY_ROOT, HASH_SIZE, fold, leaf_hash, node_hash
from .note import Verifier

MAX_PROBLEMS = 100


def _refuse(number: str) -> float:
    raise ValueError(f"{number} is not an integer")


# RFC 8785 for what a leaf may hold: ASCII keys, strings, integers, booleans.
_DECODE = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), sort_keys=True).encode


@dataclass(slots=True)
class VerificationReport:
    """What was found. `ok` means: every entry is the signed one, every tile agrees, every leaf is canonical."""

    origin: str = ""
    size: int = 0
    root: bytes = EMPTY_ROOT
    entries_verified: int = 0
    first_damaged: int | None = None
    problems: list[str] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    indeterminate: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)


def verify_directory(path: Path | str, vkey: str, *, require_json: bool = True) -> VerificationReport:
    """Verify the log at `path` against its public key.

    Damage is reported, never raised. `require_json=False` verifies foreign tlog-tiles logs, whose entries are opaque.
    """
    return _Verification(Path(path), vkey, require_json).run()


class _Verification:
    def __init__(self, path: Path, vkey: str, require_json: bool) -> None:
        self.path = path
        self.vkey = vkey
        self.require_json = require_json
        self.report = VerificationReport()
        self.open_releases: dict[str, None] = {}
        # Hashes of the tile now being filled at each level, computed from the entries alone.
        self.rows: list[list[bytes]] = [[]]
        self.filled: list[int] = [0]

    def run(self) -> VerificationReport:
        report = self.report
        try:
            note = (self.path / "checkpoint").read_bytes()
            checkpoint = open_checkpoint(note, [Verifier.parse(self.vkey)])
        except (OSError, TlogError) as error:
            report.problem(f"checkpoint: {error}")
            return report
        report.origin, report.size, report.root = checkpoint.origin, checkpoint.size, checkpoint.root
        suspect = self._entries(checkpoint)
        if report.entries_verified == checkpoint.size:
            self._partial_tiles()
            if self._root() != checkpoint.root:
                report.problem("the entries do not hash to the signed root")
                report.first_damaged = suspect
        else:
            report.first_damaged = suspect
        report.indeterminate = list(self.open_releases)
        return report

    def _entries(self, checkpoint: Checkpoint) -> int | None:
        """Hash every entry; the index of the first that an authentic tile contradicts, or at which reading ends."""
        suspect: int | None = None
        for number, start in enumerate(range(0, checkpoint.size, tiles.WIDTH)):
            width = min(tiles.WIDTH, checkpoint.size - start)
            bundle = tiles.read_tile(self.path, tiles.ENTRIES, number, width)
            if bundle is None:
                self.report.problem(f"entries {start} to {start + width - 1}: the bundle is absent")
                return start if suspect is None else suspect
            entries, whole = tiles.unpack_bundle(bundle)
            given = self._tile(0, number, width)
            for offset, entry in enumerate(entries[:width]):
                digest = leaf_hash(entry)
                if offset < len(given) and given[offset] != digest:
                    self.report.problem(f"entry {start + offset} does not hash to its place in the tile")
                    if suspect is None and self._authentic(0, number, given, checkpoint):
                        suspect = start + offset
                if self.require_json:
                    self._leaf(start + offset, entry)
                self._push(digest)
            self.report.entries_verified += min(len(entries), width)
            if len(entries) < width:
                index = start + len(entries)
                self.report.problem(f"entry {index}: the bundle ends before it")
                return index if suspect is None else suspect
            if not whole or len(entries) not in (width, tiles.WIDTH):
                self.report.problem(f"entries {start} to {start + width - 1}: something follows the last entry")
        return suspect

    def _leaf(self, index: int, raw: bytes) -> None:
        try:
            text = raw.decode()
            leaf: Any = _DECODE(text)
            canonical = _ENCODE(leaf) == text
        except (ValueError, RecursionError):
            leaf, canonical = None, False
        if not canonical or not isinstance(leaf, dict):
            self.report.problem(f"entry {index} is not canonical JSON")
            return
        self.report.types[str(leaf.get("type"))] += 1
        exchange = str(leaf.get("exchange_id"))
        if leaf.get("phase") == "outcome":
            for closed in _closed(leaf):
                self.open_releases.pop(closed, None)
        elif leaf.get("outcome") in ("allowed", "indeterminate"):
            self.open_releases[exchange] = None
        else:
            # A denial or an abort releases nothing, and resolves its intent.
            self.open_releases.pop(exchange, None)

    def _push(self, digest: bytes) -> None:
        level = 0
        while True:
            row = self.rows[level]
            row.append(digest)
            if len(row) < tiles.WIDTH:
                return
            self._compare(level, self.filled[level], row)
            digest = fold(row)
            row.clear()
            self.filled[level] += 1
            level += 1
            if level == len(self.rows):
                self.rows.append([])
                self.filled.append(0)

    def _partial_tiles(self) -> None:
        for level, row in enumerate(self.rows):
            if row:
                self._compare(level, self.filled[level], row)

    def _compare(self, level: int, number: int, row: list[bytes]) -> None:
        raw = tiles.read_tile(self.path, level, number, len(row))
        path = tiles.tile_path(level, number, len(row))
        if raw is None:
            self.report.problem(f"{path}: the tile is absent")
        elif len(raw) not in (len(row) * HASH_SIZE, tiles.WIDTH * HASH_SIZE):
            self.report.problem(f"{path}: the tile has the wrong length")
        elif raw[: len(row) * HASH_SIZE] != b"".join(row):
            self.report.problem(f"{path}: the tile differs from the entries")

    def _tile(self, level: int, number: int, width: int) -> list[bytes]:
        try:
            return tiles.split_hashes(tiles.read_tile(self.path, level, number, width) or b"")[:width]
        except FormatError:
            return []

    def _authentic(self, level: int, number: int, given: list[bytes], checkpoint: Checkpoint) -> bool:
        """Do the signed root and the tiles above vouch for this tile? Then a mismatch is the entry's fault."""
        count = checkpoint.size >> (8 * level)
        width = min(tiles.WIDTH, count - number * tiles.WIDTH)
        if len(given) != width:
            return False
        if width < tiles.WIDTH:
            return self._edge_root(checkpoint.size) == checkpoint.root
        parent_count = count >> 8
        parent_number, place = divmod(number, tiles.WIDTH)
        parent = self._tile(level + 1, parent_number, min(tiles.WIDTH, parent_count - parent_number * tiles.WIDTH))
        return (
            place < len(parent)
            and parent[place] == fold(given)
            and self._authentic(level + 1, parent_number, parent, checkpoint)
        )

    def _edge_root(self, size: int) -> bytes:
        """The root according to the partial tiles on the right edge (they hold every node that it needs)."""
        rows = []
        for level, count in tiles.tiles_for(size):
            row = self._tile(level, count // tiles.WIDTH, count % tiles.WIDTH) if count % tiles.WIDTH else []
            if len(row) != count % tiles.WIDTH:
                return b""
            rows.append(row)
        return _combine(rows)

    def _root(self) -> bytes:
        return _combine(self.rows)


def _combine(rows: list[list[bytes]]) -> bytes:
    """Root from the partial row of each tile level, lowest first (RFC 6962, 2.1: split at powers of two)."""
    root = b""
    for row in rows:
        for node in _perfect_parts(row):
            root = node_hash(node, root) if root else node
    return root or EMPTY_ROOT


def _perfect_parts(row: list[bytes]) -> Iterator[bytes]:
    """Roots of the perfect subtrees of a row, smallest (rightmost) first."""
    end = len(row)
    while end:
        width = end & -end
        yield fold(row[end - width : end])
        end -= width


def _closed(leaf: dict[str, Any]) -> Iterator[str]:
    """Exchange ids that an outcome entry closes: its own, or those of its group."""
    yield str(leaf.get("exchange_id"))
    group = leaf.get("outcomes")
    if isinstance(group, list):
        for item in group:
            if isinstance(item, list) and item:
                yield str(item[0])
