"""RFC 6962 Merkle trees: hashing, an append-only tree in memory, and the verification of proofs.

Guarantees: a proof from `Tree` verifies with `verify_inclusion` / `verify_consistency`; those accept nothing but the
one right proof (a longer, shorter or reordered one fails).

Sources: RFC 6962 section 2.1 (hashes, proofs); RFC 9162 sections 2.1.3.2 and 2.1.4.2 (verification).

Does not persist anything. Memory is 64 bytes for each entry (all interior hashes are kept: a proof is then a handful of
slices, about 20 us at 10^6 entries).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from .errors import VerificationError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of an entry's bytes (RFC 6962, 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node (RFC 6962, 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect subtree over 2^k hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


class Tree:
    """An append-only tree. Level k holds the hashes of all complete subtrees of 2^k leaves, left to right.

    Appending happens in one thread; others may read any prefix meanwhile (rows only grow).
    """

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, leaf: bytes) -> int:
        """Add a leaf *hash*; returns its index."""
        index = self._size
        levels = self._levels
        levels[0] += leaf
        carry, node, level = index, leaf, 0
        while carry & 1:
            row = levels[level]
            node = sha256(b"\x01" + row[-64:]).digest()
            level += 1
            if level == len(levels):
                levels.append(bytearray())
            levels[level] += node
            carry >>= 1
        self._size = index + 1
        return index

    def extend(self, hashes: bytes) -> None:
        """Add concatenated leaf hashes (as a level-0 tile holds them)."""
        if len(hashes) % HASH_SIZE:
            raise ValueError("leaf hashes are 32 bytes each")
        for at in range(0, len(hashes), HASH_SIZE):
            self.append(hashes[at : at + HASH_SIZE])

    def row(self, level: int, start: int, end: int) -> bytes:
        """Concatenated hashes start..end of complete subtrees of 2^level leaves."""
        return bytes(self._levels[level][start * HASH_SIZE : end * HASH_SIZE])

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` entries (all by default)."""
        size = self._checked(self._size if size is None else size)
        return self._range_root(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Siblings from the leaf up (RFC 6962, 2.1.1)."""
        if not 0 <= index < self._checked(size):
            raise ValueError(f"no entry {index} in a tree of {size}")
        return self._path(index, 0, size)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Hashes that show the tree of `old` entries to be a prefix of that of `new` (RFC 6962, 2.1.2)."""
        if not 1 <= old <= self._checked(new):
            raise ValueError(f"no consistency proof from {old} to {new}")
        if old == new:
            return ()
        # The largest perfect subtree that ends exactly at `old`; its hash is implied when it is the whole old tree.
        level = (old & -old).bit_length() - 1
        index = (old - 1) >> level
        path = self._path(index, level, new)
        return path if index == 0 else (self._node(level, index), *path)

    def _checked(self, size: int) -> int:
        if not 0 <= size <= self._size:
            raise ValueError(f"the tree holds {self._size} entries, not {size}")
        return size

    def _node(self, level: int, index: int) -> bytes:
        at = index * HASH_SIZE
        return bytes(self._levels[level][at : at + HASH_SIZE])

    def _range_root(self, start: int, end: int) -> bytes:
        """Root over start..end, where start is a multiple of a power of two not below end - start."""
        width = end - start
        root = b""
        level = 0
        while width >> level:
            if width >> level & 1:
                node = self._node(level, (start >> level) + ((width >> (level + 1)) << 1))
                root = node_hash(node, root) if root else node
            level += 1
        return root

    def _path(self, index: int, level: int, size: int) -> tuple[bytes, ...]:
        path: list[bytes] = []
        last = (size - 1) >> level
        while last:
            sibling = index ^ 1
            if sibling < size >> level:
                path.append(self._node(level, sibling))
            elif sibling == last:  # the ragged right edge: at most once on a path
                path.append(self._range_root(sibling << level, size))
            index >>= 1
            last >>= 1
            level += 1
        return tuple(path)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise VerificationError unless `leaf` (a hash) is entry `index` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise VerificationError(f"entry {index} is outside a tree of {size}")
    _check_hashes(leaf, root, *proof)
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise VerificationError("the inclusion proof is too long")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        at >>= 1
        last >>= 1
    if last:
        raise VerificationError("the inclusion proof is too short")
    if node != root:
        raise VerificationError("the inclusion proof does not lead to the root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise VerificationError unless the old tree is a prefix of the new (RFC 9162, 2.1.4.2).

    old = 0 fails: an empty tree is a prefix of anything, so a proof from it would prove nothing. (The witness protocol
    treats it apart.)
    """
    if not 1 <= old <= new:
        raise VerificationError(f"no consistency from {old} to {new}")
    _check_hashes(old_root, new_root, *proof)
    if old == new:
        if proof or old_root != new_root:
            raise VerificationError("two roots for one size")
        return
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path or not proof:
        raise VerificationError("the consistency proof is empty")
    at, last = old - 1, new - 1
    while at & 1:
        at >>= 1
        last >>= 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise VerificationError("the consistency proof is too long")
        if at & 1 or at == last:
            first = node_hash(sibling, first)
            second = node_hash(sibling, second)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            second = node_hash(second, sibling)
        at >>= 1
        last >>= 1
    if last:
        raise VerificationError("the consistency proof is too short")
    if first != old_root or second != new_root:
        raise VerificationError("the consistency proof does not lead to both roots")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(one) != HASH_SIZE for one in hashes):
        raise VerificationError("a hash is not 32 bytes")
