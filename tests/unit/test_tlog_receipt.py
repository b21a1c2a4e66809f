"""Receipts: what the SDK must refuse (audit invariant 9)."""

from __future__ import annotations

import json

import pytest

from broker.audit.entry import Encoded
from broker.audit.receipt import receipt_field, receipt_message
from broker.audit.writer import Appended
from entente_tlog.checkpoint import Checkpoint
from entente_tlog.commitment import content_hash
from entente_tlog.errors import ReceiptError
from entente_tlog.merkle import Tree, leaf_hash
from entente_tlog.note import Signer
from entente_tlog.receipt import LogKey, split_receipt, verify_receipt, verify_refusal

SIGNER = Signer("ledger.example", bytes(32))
KEY = LogKey(SIGNER.verifier)
REQUEST, RESPONSE, SALT = b"\x0a\x03abc", b"\x0a\x04data\x10\x07", bytes(range(32))
WRITTEN_US = 1_790_000_000_000_000


def leaf(request: bytes = REQUEST, response: bytes = RESPONSE) -> bytes:
    content = {
        "request_hash": content_hash(SALT, request),
        "response_hash": content_hash(SALT, response),
        "time_utc": "2026-09-21T14:13:20.000000Z",
    }
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()


def append(raw: bytes, signer: Signer = SIGNER) -> Appended:
    tree = Tree()
    for other in range(6):
        tree.append(leaf_hash(b"%d" % other))
    tree.append(leaf_hash(raw))
    return Appended(6, 7, signer.sign(Checkpoint(signer.name, 7, tree.root()).text()), tree.inclusion_proof(6, 7))


def wire(raw: bytes | None = None, signer: Signer = SIGNER) -> bytes:
    raw = raw or leaf()
    return RESPONSE + receipt_field(Encoded(raw, b"", SALT), append(raw, signer))


def reason(response: bytes, request: bytes = REQUEST, keys: tuple[LogKey, ...] = (KEY,), since_us: int = 0) -> str:
    with pytest.raises(ReceiptError) as refused:
        verify_receipt(request=request, response=response, keys=keys, not_before_us=since_us)
    return refused.value.reason


def test_a_true_receipt_verifies() -> None:
    verified = verify_receipt(request=REQUEST, response=wire(), keys=[KEY], not_before_us=WRITTEN_US)
    assert (verified.response, verified.index, verified.size, verified.origin) == (RESPONSE, 6, 7, "ledger.example")
    assert verified.leaf == json.loads(leaf())


def test_an_empty_response_can_have_a_receipt() -> None:
    raw = leaf(response=b"")
    response = receipt_field(Encoded(raw, b"", SALT), append(raw))
    assert verify_receipt(request=REQUEST, response=response, keys=[KEY]).response == b""


def test_each_defect_has_its_reason() -> None:
    other = Signer("other.example", bytes(32))
    impostor = Signer("ledger.example", bytes(31) + b"\1")
    field = wire()[len(RESPONSE) :]
    assert reason(RESPONSE) == "missing"
    assert reason(b"") == "missing"
    assert reason(wire() + b"\x10\x01") == "malformed"
    assert reason(wire() + field) == "malformed"
    assert reason(b"\x82\x01\x00" + wire()) == "malformed"  # field 16
    assert reason(b"\x0b\x0c" + wire()) == "malformed"  # a group
    assert reason(RESPONSE + b"\x78\x01") == "malformed"  # field 15 as a varint
    assert reason(b"\x18\x01" + wire()) == "wrong_content"
    assert reason(wire()[1 + len(RESPONSE) - 1 :]) == "wrong_content"
    assert reason(wire(), request=b"other") == "wrong_request"
    assert reason(wire(signer=other)) == "unknown_log"
    assert reason(wire(signer=impostor)) == "bad_proof"
    assert reason(wire(), keys=(LogKey(SIGNER.verifier, not_after_us=WRITTEN_US - 1),)) == "stale"
    assert reason(wire(), keys=(LogKey(SIGNER.verifier, not_before_us=WRITTEN_US + 1),)) == "stale"
    assert reason(wire(), since_us=WRITTEN_US + 1) == "stale"


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    whole = wire()
    for at in range(len(whole)):
        assert reason(whole[:at])
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        assert reason(bytes(flipped))


def test_a_padded_tag_is_seen_for_what_it_is() -> None:
    """Field 15 written in two bytes is still field 15: hiding a second receipt that way fails."""
    field = wire()[len(RESPONSE) :]
    assert reason(b"\xfa\x00" + field[1:] + wire()) == "malformed"
    assert reason(b"\xfa\x80\x80\x80\x80\x00" + field[1:]) == "malformed"


def test_splitting_keeps_the_bytes() -> None:
    body, receipt = split_receipt(wire())
    assert body == RESPONSE
    assert wire().endswith(receipt)


def test_a_refusals_receipt_binds_its_request() -> None:
    raw = leaf()
    message = receipt_message(Encoded(raw, b"", SALT), append(raw))
    assert verify_refusal(request=REQUEST, receipt=message, keys=[KEY]).index == 6
    with pytest.raises(ReceiptError, match="wrong_request"):
        verify_refusal(request=b"", receipt=message, keys=[KEY])
