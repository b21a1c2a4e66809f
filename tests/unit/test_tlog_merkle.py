"""Merkle proofs: the published vectors, and the tree against a definition taken word for word from RFC 6962."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entente_tlog.errors import VerificationError
from entente_tlog.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash, verify_consistency, verify_inclusion
from tests.support.shared import shared_data


def _vectors(kind: str) -> list[dict[str, Any]]:
    paths = sorted((shared_data("merkle-proofs") / kind).rglob("*.json"))
    return [{"path": str(path), **json.loads(path.read_text())} for path in paths]


def _hash(text: str | None) -> bytes:
    return b64decode(text or "")


def test_every_inclusion_vector_is_judged_as_published() -> None:
    vectors = _vectors("inclusion")
    assert len(vectors) == 49
    for vector in vectors:
        wrong = False
        try:
            verify_inclusion(
                _hash(vector["leafHash"]),
                vector["leafIdx"],
                vector["treeSize"],
                [_hash(one) for one in vector["proof"] or ()],
                _hash(vector["root"]),
            )
        except VerificationError:
            wrong = True
        assert wrong == vector["wantErr"], vector["path"]


def test_every_consistency_vector_is_judged_as_published() -> None:
    vectors = _vectors("consistency")
    assert len(vectors) == 43
    for vector in vectors:
        wrong = False
        try:
            verify_consistency(
                vector["size1"],
                vector["size2"],
                _hash(vector["root1"]),
                _hash(vector["root2"]),
                [_hash(one) for one in vector["proof"] or ()],
            )
        except VerificationError:
            wrong = True
        assert wrong == vector["wantErr"], vector["path"]


def _definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(_definition(leaves[:split]), _definition(leaves[split:]))


LEAVES = [leaf_hash(b"%d" % index) for index in range(70)]


@pytest.fixture(scope="module")
def tree() -> Tree:
    tree = Tree()
    tree.extend(b"".join(LEAVES))
    return tree


def test_root_of_every_size_is_the_definitions(tree: Tree) -> None:
    for size in range(len(LEAVES) + 1):
        assert tree.root(size) == _definition(LEAVES[:size])


def test_every_inclusion_proof_of_every_size_verifies(tree: Tree) -> None:
    for size in range(1, len(LEAVES) + 1):
        for index in range(size):
            verify_inclusion(LEAVES[index], index, size, tree.inclusion_proof(index, size), tree.root(size))


def test_every_consistency_proof_of_every_pair_verifies(tree: Tree) -> None:
    for new in range(1, len(LEAVES) + 1):
        for old in range(1, new + 1):
            verify_consistency(old, new, tree.root(old), tree.root(new), tree.consistency_proof(old, new))


@given(st.data())
def test_no_altered_inclusion_proof_verifies(tree: Tree, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    proof = list(tree.inclusion_proof(index, size))
    kind = data.draw(st.sampled_from(["longer", "shorter", "flip", "index"]))
    if kind == "longer":
        proof.insert(data.draw(st.integers(0, len(proof))), LEAVES[0])
    elif kind == "shorter":
        proof.pop(data.draw(st.integers(0, len(proof) - 1)))
    elif kind == "flip":
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        proof[at] = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
    else:
        index = (index + data.draw(st.integers(1, size - 1))) % size
    original = LEAVES[index] if kind != "index" else leaf_hash(b"other")
    with pytest.raises(VerificationError):
        verify_inclusion(original, index, size, proof, tree.root(size))


def test_a_proof_from_the_empty_tree_fails(tree: Tree) -> None:
    with pytest.raises(VerificationError):
        verify_consistency(0, 3, EMPTY_ROOT, tree.root(3), ())


@pytest.mark.parametrize(("index", "size"), [(3, 3), (-1, 3), (0, 71)])
def test_proofs_outside_the_tree_are_refused(tree: Tree, index: int, size: int) -> None:
    with pytest.raises(ValueError):
        tree.inclusion_proof(index, size)
