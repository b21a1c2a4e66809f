"""Starting a ledger: from its files to a tree that extends everything that was ever signed or acknowledged.

MUSTs (audit invariants 5 and 6):
1. Only an unacknowledged torn tail is dropped.
2. Refuse to start (DamagedLedgerError) when a bad frame precedes a valid one, when indexes have a gap, when the
   recovered size is below the published checkpoint, or when the tree lacks a signed root.
3. Nothing recovered is believed durable because it can be read: after a failed fdatasync the page cache may hold what
   the disk does not. The ledger publishes all of it into new files before it accepts an entry.

What a local cut of whole final frames hides is shown by receipts and witnesses, not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from broker.audit import journal
from broker.audit.journal import DamagedLedgerError
from broker.audit.publish import CHECKPOINT, TREE_STATE, TreeState, sealed_path, unpack_sealed
from entente_tlog import tiles
from entente_tlog.checkpoint import Checkpoint, open_checkpoint
from entente_tlog.errors import TlogError
from entente_tlog.merkle import EMPTY_ROOT, HASH_SIZE, Tree, leaf_hash
from entente_tlog.note import Verifier

JOURNAL = "journal"


@dataclass(slots=True)
class Recovered:
    """The ledger as its files give it. `leaves` and `sealed` start at `base`; `published` of the entries have tiles."""

    tree: Tree
    published: int
    base: int
    leaves: list[bytes] = field(default_factory=list)
    sealed: list[bytes] = field(default_factory=list)


def recover(directory: Path, verifier: Verifier) -> Recovered:
    """Read a ledger's directory. Raises DamagedLedgerError."""
    state, checkpoint = _published(directory, verifier)
    tree = _tree(directory, state.size)
    if tree.root() != state.root or tree.root(checkpoint.size) != checkpoint.root:
        raise DamagedLedgerError("the hash tiles lack the signed root")
    base = state.size // tiles.WIDTH * tiles.WIDTH
    recovered = Recovered(tree, state.size, base)
    if state.size > base:
        recovered.leaves, recovered.sealed = _last_bundles(directory, state.size)
    _replay(directory, verifier, recovered)
    return recovered


def _published(directory: Path, verifier: Verifier) -> tuple[TreeState, Checkpoint]:
    empty = TreeState(0, EMPTY_ROOT)
    state_path, checkpoint_path = directory / TREE_STATE, directory / CHECKPOINT
    state = TreeState.parse(state_path.read_bytes()) if state_path.exists() else empty
    if not checkpoint_path.exists():
        # tree-state is written first: alone, it is the trace of a crash during the very first publishing.
        return state, Checkpoint(verifier.name, 0, EMPTY_ROOT)
    note = checkpoint_path.read_bytes()
    try:
        checkpoint = open_checkpoint(note, [verifier])
    except TlogError as error:
        raise DamagedLedgerError(f"the published checkpoint: {error}") from error
    if checkpoint.size > state.size:
        raise DamagedLedgerError("the published checkpoint is ahead of the tree state")
    return state, checkpoint


def _tree(directory: Path, size: int) -> Tree:
    tree = Tree()
    for number, start in enumerate(range(0, size, tiles.WIDTH)):
        width = min(tiles.WIDTH, size - start)
        raw = tiles.read_tile(directory, 0, number, width)
        if raw is None or len(raw) < width * HASH_SIZE:
            raise DamagedLedgerError(f"{tiles.tile_path(0, number, width)} is absent or short")
        tree.extend(raw[: width * HASH_SIZE])
    return tree


def read_bundle(directory: Path, number: int, width: int) -> tuple[list[bytes], list[bytes]]:
    """Leaves and sealed parts of a published bundle (the first `width`). Raises DamagedLedgerError."""
    raw = tiles.read_tile(directory, tiles.ENTRIES, number, width)
    sealed = b""
    for wide in (width, tiles.WIDTH):
        path = directory / sealed_path(number, wide)
        if path.exists():
            sealed = path.read_bytes()
            break
    leaves, _ = tiles.unpack_bundle(raw or b"")
    parts = unpack_sealed(sealed)
    if len(leaves) < width or len(parts) < width:
        raise DamagedLedgerError(f"bundle {number} lacks entries")
    return leaves[:width], parts[:width]


def _last_bundles(directory: Path, size: int) -> tuple[list[bytes], list[bytes]]:
    return read_bundle(directory, size // tiles.WIDTH, size % tiles.WIDTH)


def _replay(directory: Path, verifier: Verifier, into: Recovered) -> None:
    found = journal.segments(directory / JOURNAL)
    if not found:
        if into.published:
            raise DamagedLedgerError("the journal is absent")
        return
    tree = into.tree
    last: journal.Frame | None = None
    for segment in found:
        for frame in journal.read(segment, is_last=segment == found[-1]):
            _apply(frame, into)
            last = frame
    if journal.first_index(found[-1]) > len(tree):
        raise DamagedLedgerError("entries are missing before the last segment")
    if last is not None:
        _check_head(last, verifier, tree)


def _apply(frame: journal.Frame, into: Recovered) -> None:
    tree = into.tree
    if frame.first > len(tree):
        raise DamagedLedgerError(f"entries {len(tree)} to {frame.first - 1} are missing")
    for index, (leaf, sealed) in enumerate(zip(frame.leaves, frame.sealed, strict=True), frame.first):
        digest = leaf_hash(leaf)
        if index < len(tree):
            if tree.row(0, index, index + 1) != digest:
                raise DamagedLedgerError(f"entry {index} differs between the journal and the tiles")
            continue
        tree.append(digest)
        into.leaves.append(leaf)
        into.sealed.append(sealed)


def _check_head(frame: journal.Frame, verifier: Verifier, tree: Tree) -> None:
    """The last frame's checkpoint covers every entry before it: one signature and one root say all."""
    try:
        head = open_checkpoint(frame.checkpoint, [verifier])
    except TlogError as error:
        raise DamagedLedgerError(f"the journal's last checkpoint: {error}") from error
    if head.size != frame.first + len(frame.leaves) or tree.root(head.size) != head.root:
        raise DamagedLedgerError("the journal's entries lack the root that was signed for them")
