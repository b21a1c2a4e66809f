"""Entries: canonical, bounded, and without any value that a leaf must not hold."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.entry import Entry, Node, Outcome, canonical, encode, outcome_entry
from broker.audit.projection import open_detail
from broker.audit.seal import SealError, SealKeys, blind
from broker.domain.caller import AgencyId, Caller
from broker.domain.errors import LimitError, RequestError
from broker.domain.exchange import (
    DisclosureGroup,
    Exchange,
    Justification,
    PolicyReference,
    Session,
    Transformed,
    Withheld,
)
from entente_tlog.commitment import content_hash, record_commitment, text_commitment

NODE = Node("broker-1", "0" * 32)
KEYS = SealKeys.generate()
CANARY = "canary-7f3a"


class FixedClock:
    def now_us(self) -> int:
        return 1_790_000_000_000_042

    def monotonic_us(self) -> int:
        return 12_345


CALLER = Caller(
    agency=AgencyId("north.example", "police"),
    workload="gateway",
    thumbprint=bytes(32),
    serial="0a",
    user="officer.1",
    roles=frozenset({"officer", "analyst"}),
    clearance="SECRET",
    nationalities=frozenset({"GB"}),
    purposes=frozenset({"INVESTIGATION"}),
    issuer="https://issuer.north.example",
    token_id="t-1",
    expires_at=2_000_000_000,
)
EXCHANGE = Exchange("ab" * 16, "/entente.report.v1.ReportService/GetReport", 1, 1, "ipv4:192.0.2.1:5000")


def entry(records: int = 1, **changes: object) -> Entry:
    group = DisclosureGroup(
        plan="report/3",
        level="redacted",
        records=tuple((f"{CANARY}-{number}", 2) for number in range(records)),
        released=tuple(f"report.field_{number}" for number in range(40)),
        withheld=(Withheld("report.source", "SOURCE", "source_stays", "ORIGINATOR_ONLY", (f"{CANARY}-line",)),),
        transformed=(Transformed("report.birth_date", "year", (f"{CANARY}-entity",)),),
    )
    content: dict[str, object] = {
        "type": "disclosure",
        "phase": "release",
        "exchange": EXCHANGE,
        "caller": CALLER,
        "justification": Justification("INVESTIGATION", *(f"{CANARY}-{number}" for number in range(5))),
        "policy": PolicyReference("embedded", "00" * 32, 7, "d-1", "11" * 32),
        "disclosures": (group,),
        "owners": ("south.example/police",),
        "request": CANARY.encode(),
        "response": CANARY.encode() * 2,
        "detail": {"policy_input": f'{{"case":"{CANARY}"}}', "error": CANARY},
        **changes,
    }
    return Entry(**content)  # type: ignore[arg-type]


def write(what: Entry) -> tuple[dict, dict, bytes]:  # type: ignore[type-arg]
    encoded = encode(what, node=NODE, clock=FixedClock(), keys=KEYS)
    leaf = json.loads(encoded.leaf)
    return leaf, open_detail(KEYS, leaf, encoded.sealed), encoded.salt


def test_a_leaf_is_canonical_by_an_independent_encoder() -> None:
    raw = encode(entry(), node=NODE, clock=FixedClock(), keys=KEYS).leaf
    assert rfc8785.dumps(json.loads(raw)) == raw


KEYS_ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS_ASCII, inner),
    max_leaves=20,
)


@given(VALUES)
def test_canonical_equals_rfc8785_and_the_verifiers_form(value: object) -> None:
    raw = canonical(value)
    assert raw == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert raw == json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


@pytest.mark.parametrize("value", [2**53, "\ud800", {1: 2}, b""])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(RequestError):
        canonical(value)


def test_no_value_reaches_a_leaf() -> None:
    """Audit invariant 15."""
    raw = encode(
        entry(exchange=Exchange("ab" * 16, f"/no such/{CANARY} method", 1, 1, "")),
        node=NODE,
        clock=FixedClock(),
        keys=KEYS,
    )
    assert CANARY.encode() not in raw.leaf
    assert CANARY.encode() not in raw.sealed
    assert json.loads(raw.leaf)["method"] == "unknown"


def test_a_leaf_says_what_the_connection_agreed_on() -> None:
    leaf, _, _ = write(entry(exchange=replace(EXCHANGE, session=Session("TLSv1.3", "X25519MLKEM768"))))
    assert leaf["tls"] == {"version": "TLSv1.3", "group": "X25519MLKEM768"}
    assert "tls" not in write(entry())[0], "no connection stands behind it"


def test_a_leaf_says_who_what_and_when() -> None:
    leaf, detail, salt = write(entry())
    assert leaf["time_utc"] == "2026-09-21T14:13:20.000042Z"
    assert leaf["actor"]["user"] == "officer.1"
    assert leaf["actor"]["roles"] == ["analyst", "officer"]
    assert leaf["actor"]["token"] == {"iss": "https://issuer.north.example", "jti": "t-1", "sub": "officer.1"}
    assert leaf["request_hash"] == content_hash(salt, CANARY.encode())
    assert leaf["response_hash"] == content_hash(salt, CANARY.encode() * 2)
    (group,) = leaf["disclosures"]
    assert group["records"] == [record_commitment(salt, f"{CANARY}-0", 2)]
    assert leaf["purpose"]["case_reference"] == text_commitment(salt, "case_reference", f"{CANARY}-1")
    assert detail["purpose"]["case_reference"] == f"{CANARY}-1"
    assert detail["salt"] == salt.hex()
    assert detail["records"] == [[f"{CANARY}-0", 2]]


def test_the_sealed_commitment_does_not_use_the_callers_salt() -> None:
    """The caller gets the receipt's salt: with it, private detail could be guessed."""
    one = encode(entry(), node=NODE, clock=FixedClock(), keys=KEYS, salt=bytes(32))
    two = encode(entry(), node=NODE, clock=FixedClock(), keys=KEYS, salt=bytes(32))
    assert json.loads(one.leaf)["sealed"] != json.loads(two.leaf)["sealed"]


def test_a_page_of_1000_records_fits_and_more_is_a_typed_refusal() -> None:
    assert len(encode(entry(1000), node=NODE, clock=FixedClock(), keys=KEYS).leaf) <= 65_535
    with pytest.raises(LimitError) as refused:
        encode(entry(1500), node=NODE, clock=FixedClock(), keys=KEYS)
    assert refused.value.reason == "ANSWER_TOO_LARGE"


def test_sealed_is_always_present() -> None:
    leaf, detail, _ = write(Entry(type="denial", phase="release", exchange=EXCHANGE, outcome="denied"))
    assert len(leaf["sealed"]) == 64
    assert set(detail) == {"salt", "records"}


def test_outcomes_are_grouped() -> None:
    """Audit invariant 10."""
    leaf, _, _ = write(
        outcome_entry(EXCHANGE, [Outcome("a", "allowed", "OK", 5, 6), Outcome("b", "aborted", "CANCELLED")])
    )
    assert leaf["outcomes"] == [["a", "allowed", "OK", 5, 6], ["b", "aborted", "CANCELLED", 0, 0]]


def test_a_sealed_part_opens_only_in_its_place() -> None:
    sealed = KEYS.seal(b"detail", b"a/release")
    assert KEYS.unseal(sealed.ciphertext, b"a/release", sealed.commitment) == b"detail"
    for raw, context, commitment in (
        (sealed.ciphertext, b"b/release", sealed.commitment),
        (sealed.ciphertext[:-1], b"a/release", sealed.commitment),
        (sealed.ciphertext, b"a/release", "00" * 32),
        (b"", b"a/release", sealed.commitment),
    ):
        with pytest.raises(SealError):
            KEYS.unseal(raw, context, commitment)


def test_a_destroyed_key_leaves_the_leaf_and_nothing_of_the_detail() -> None:
    """Audit invariant 16."""
    encoded = encode(entry(), node=NODE, clock=FixedClock(), keys=KEYS)
    with pytest.raises(SealError):
        open_detail(SealKeys.generate(), json.loads(encoded.leaf), encoded.sealed)


def test_keys_are_made_once_and_kept_private(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = SealKeys.open(tmp_path / "keys")
    sealed = first.seal(b"detail", b"x")
    again = SealKeys.open(tmp_path / "keys")
    assert again.unseal(sealed.ciphertext, b"x", sealed.commitment) == b"detail"
    assert again.blind_key == first.blind_key
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "keys").iterdir())


def test_blind_indexes_separate_kinds() -> None:
    assert blind(b"k", "case", "x") != blind(b"k", "record", "x")
