"""The receipt at the end of every response: what the SDK checks before it hands data over.

A response's bytes end with field 15, `entente.common.v1.Receipt { bytes leaf = 1; bytes salt = 2; string proof = 3; }`.

MUSTs (audit invariant 9; architecture, rule 9):
1. only received bytes count: the top level is walked by hand, nothing is re-serialised;
2. exactly one field 15, length-delimited, last; no top-level field above 15, no groups, no tag above 32 bits (parsers
   differ on those, and a parser that differs from this walk could be shown other content);
3. the leaf binds the request's bytes and the response's bytes before the receipt, under one salt;
4. the proof holds under a checkpoint signed by a trusted key whose name is the log's origin and that was in its time.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from . import checkpoint as checkpoints
from . import proof as proofs
from .commitment import SALT_SIZE, content_hash
from .errors import FormatError, ReceiptError, VerificationError
from .note import Verifier

RECEIPT_FIELD = 15
_LENGTH_DELIMITED = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogKey:
    """A trusted log key and when entries under it may have been written (microseconds since the epoch)."""

    verifier: Verifier
    not_before_us: int = 0
    not_after_us: int = 2**63

    @classmethod
    def parse(cls, vkey: str) -> LogKey:
        return cls(Verifier.parse(vkey))


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt's three parts, unverified."""

    leaf: bytes
    salt: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What the ledger says of this exchange, and where. `response` is the message without its receipt."""

    leaf: dict[str, Any]
    leaf_bytes: bytes
    salt: bytes
    index: int
    origin: str
    size: int
    root: bytes
    response: bytes


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise FormatError("a number does not end")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(raw: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, wire type, start of the field, start of its value, end) along the top level; raises FormatError."""
    at = 0
    while at < len(raw):
        start = at
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if not number or tag > 0xFFFF_FFFF or at - start > 5:
            raise FormatError("not a field")
        value = at
        if wire == 0:
            _, at = _varint(raw, at)
        elif wire == 1:
            at += 8
        elif wire == _LENGTH_DELIMITED:
            length, value = _varint(raw, at)
            at = value + length
        elif wire == 5:
            at += 4
        else:
            raise FormatError("groups are not used")
        if at > len(raw):
            raise FormatError("the message ends inside a field")
        yield number, wire, start, value, at


def split_receipt(raw: bytes) -> tuple[bytes, bytes]:
    """Received bytes -> (the response without its receipt, the Receipt message). Raises ReceiptError."""
    found: tuple[int, int, int] | None = None
    try:
        for number, wire, start, value, end in _fields(raw):
            if found is not None:
                raise ReceiptError("malformed", "something follows the receipt")
            if number > RECEIPT_FIELD:
                raise ReceiptError("malformed", f"field {number} is not allowed in a response")
            if number == RECEIPT_FIELD:
                if wire != _LENGTH_DELIMITED:
                    raise ReceiptError("malformed", "the receipt is not a message")
                found = start, value, end
    except FormatError as error:
        raise ReceiptError("malformed", f"the response: {error}") from error
    if found is None:
        raise ReceiptError("missing", "the response ends without a receipt")
    start, value, end = found
    return raw[:start], raw[value:end]


def parse_receipt(raw: bytes) -> Receipt:
    """The Receipt message: each of its three fields exactly once, nothing else. Raises ReceiptError."""
    parts: dict[int, bytes] = {}
    try:
        for number, wire, _, value, end in _fields(raw):
            if wire != _LENGTH_DELIMITED or number > 3 or number in parts:
                raise FormatError("a field that does not belong")
            parts[number] = raw[value:end]
    except FormatError as error:
        raise ReceiptError("malformed", f"the receipt: {error}") from error
    if len(parts) != 3 or len(parts[2]) != SALT_SIZE:
        raise ReceiptError("malformed", "the receipt lacks its leaf, its 32-byte salt or its proof")
    return Receipt(parts[1], parts[2], parts[3])


def verify_receipt(
    *, request: bytes, response: bytes, keys: Iterable[LogKey], not_before_us: int = 0
) -> VerifiedReceipt:
    """Verify a response as received. Raises ReceiptError, and then nothing of the response may be used.

    Args:
        request: the request's bytes as sent.
        response: the response's bytes as received, with the receipt.
        keys: the trusted logs.
        not_before_us: when the call began, less the tolerated clock difference; an older entry is `stale` (an earlier
            answer to the same request bytes would otherwise pass).
    """
    body, raw = split_receipt(response)
    receipt = parse_receipt(raw)
    verified = _verify(receipt, request, body, keys, not_before_us)
    if not _same(verified.leaf.get("response_hash"), content_hash(receipt.salt, body)):
        raise ReceiptError("wrong_content", "the ledger's entry is for another response")
    return verified


def verify_refusal(
    *, request: bytes, receipt: bytes, keys: Iterable[LogKey], not_before_us: int = 0
) -> VerifiedReceipt:
    """Verify the Receipt message in a refusal's details: it binds the request; there is no response.

    A refusal that came before a byte of the request was read (no valid certificate or token) binds no request.
    """
    parsed = parse_receipt(receipt)
    leaf, _ = _leaf(parsed.leaf)
    if "request_hash" not in leaf:
        return _proven(parsed, b"", keys, not_before_us)
    return _verify(parsed, request, b"", keys, not_before_us)


def _verify(
    receipt: Receipt, request: bytes, body: bytes, keys: Iterable[LogKey], not_before_us: int
) -> VerifiedReceipt:
    leaf, _ = _leaf(receipt.leaf)
    if not _same(leaf.get("request_hash"), content_hash(receipt.salt, request)):
        raise ReceiptError("wrong_request", "the ledger's entry is for another request")
    return _proven(receipt, body, keys, not_before_us)


def _proven(receipt: Receipt, body: bytes, keys: Iterable[LogKey], not_before_us: int) -> VerifiedReceipt:
    """The receipt, once its proof holds under a trusted key that was in its time."""
    leaf, written_us = _leaf(receipt.leaf)
    try:
        proof = proofs.parse(receipt.proof)
        origin = checkpoints.peek(proof.checkpoint).origin
    except FormatError as error:
        raise ReceiptError("malformed", f"the proof: {error}") from error
    named = [key for key in keys if key.verifier.name == origin]
    if not named:
        raise ReceiptError("unknown_log", "no trusted key bears the log's name")
    current = [key.verifier for key in named if key.not_before_us <= written_us <= key.not_after_us]
    if not current or written_us < not_before_us:
        raise ReceiptError("stale", "the entry lies outside the time of the log's key, or before the call")
    try:
        checkpoint = proofs.verify(proof, receipt.leaf, current)
    except (FormatError, VerificationError) as error:
        raise ReceiptError("bad_proof", str(error)) from error
    return VerifiedReceipt(
        leaf, receipt.leaf, receipt.salt, proof.index, origin, checkpoint.size, checkpoint.root, body
    )


def _leaf(raw: bytes) -> tuple[dict[str, Any], int]:
    try:
        leaf = json.loads(raw)
        written = datetime.fromisoformat(leaf["time_utc"])
        return leaf, (written - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReceiptError("malformed", "the leaf is not an entry") from error


def _same(claimed: object, actual: str) -> bool:
    return isinstance(claimed, str) and claimed.isascii() and hmac.compare_digest(claimed, actual)
