"""C2SP tlog-proof: index, inclusion proof and checkpoint in one text that verifies offline.

    c2sp.org/tlog-proof@v1
    index 73894
    <base64 hash, leaf's sibling first>
    ...
    <blank line>
    <checkpoint, verbatim>

An `extra` line is parsed and ignored (the specification: it is not authenticated).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .checkpoint import Checkpoint, open_checkpoint, parse_decimal
from .errors import FormatError
from .merkle import leaf_hash, verify_inclusion
from .note import Verifier, decode64

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """A parsed proof: nothing in it is trusted before `verify`."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes


def encode(index: int, hashes: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The proof's text, as bytes."""
    parts = [b"c2sp.org/tlog-proof@v1\nindex %d\n" % index]
    parts += [b64encode(one) + b"\n" for one in hashes]
    parts += (b"\n", checkpoint)
    return b"".join(parts)


def parse(raw: bytes) -> Proof:
    """Text -> Proof; raises FormatError."""
    head, blank, checkpoint = raw.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError("a proof's head is ASCII") from error
    if not blank or not checkpoint or lines[0] != HEADER:
        raise FormatError("not a tlog-proof")
    rest = lines[1:]
    if rest and rest[0].startswith("extra "):
        decode64(rest.pop(0).removeprefix("extra "))
    if not rest or not rest[0].startswith("index "):
        raise FormatError("the proof lacks its index")
    hashes = tuple(decode64(line, 32) for line in rest[1:])
    if len(hashes) > MAX_HASHES:
        raise FormatError("the proof is too long")
    return Proof(parse_decimal(rest[0].removeprefix("index ")), hashes, checkpoint)


def verify(proof: Proof, leaf: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The signed checkpoint that holds the entry's bytes at the index. Raises FormatError or VerificationError."""
    checkpoint = open_checkpoint(proof.checkpoint, verifiers)
    verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return checkpoint
