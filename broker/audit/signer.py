"""Signs tree heads, and never two that contradict each other (audit invariant 7).

MUST NOT sign a tree that is smaller than, or not an extension of, the last one signed (c2sp.org/tlog-checkpoint). What
was signed is persisted before anyone outside sees it: the checkpoint that receipts bear lies in the journal frame that
is fdatasync'd before its waiters wake; the published one is preceded by `tree-state`.
"""

from __future__ import annotations

from entente_tlog.checkpoint import Checkpoint
from entente_tlog.merkle import Tree
from entente_tlog.note import Signer


class InconsistentTreeError(Exception):
    """The tree does not extend the one that was signed before."""


class HeadSigner:
    """The log's signer with its memory. `size`, `root` and `note`: the last tree signed."""

    def __init__(self, signer: Signer, size: int, root: bytes) -> None:
        self._signer = signer
        self.note = b""
        self.size = size
        self.root = root

    def sign(self, tree: Tree) -> bytes:
        """The signed checkpoint of the whole tree. Raises InconsistentTreeError."""
        if len(tree) < self.size or tree.root(self.size) != self.root:
            raise InconsistentTreeError(f"the tree of {len(tree)} does not extend the signed one of {self.size}")
        root = tree.root()
        self.note = self._signer.sign(Checkpoint(self._signer.name, len(tree), root).text())
        self.size, self.root = len(tree), root
        return self.note
