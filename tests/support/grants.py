"""Grants made by hand over whatever mark sets a store holds, and calls that carry them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from broker.domain.answer import Call
from broker.domain.caller import AgencyId, Caller
from broker.domain.exchange import Exchange, Justification, PolicyReference
from broker.domain.grant import ClassGrant, Grant
from broker.store.store import Store
from entente.access.v1 import access_pb2

FIELD_CLASSES = tuple(
    name.removeprefix("FIELD_CLASS_")
    for name in access_pb2.FieldClass.keys()  # noqa: SIM118 - a wrapper, not a mapping
    if name not in ("FIELD_CLASS_UNSPECIFIED", "FIELD_CLASS_ENVELOPE")
)
POLICY = PolicyReference(engine="hand", bundle="0" * 64, data=0, decision_id="0" * 32, input_hash="0" * 64)


def _no_rule(name: str, number: int, full: bool) -> tuple[str, str]:
    return "hand", "NOT_GRANTED"


NOBODY = Grant(0, 0, {}, frozenset(), 0, 0, 2**53 - 1, POLICY, b"{}", _no_rule)


def grant_rows(
    store: Store,
    rows: Iterable[int],
    *,
    pointers: Iterable[int] = (),
    silent: Iterable[int] = (),
    without: Iterable[str] = (),
    part: Iterable[str] = (),
    only: dict[str, Iterable[int]] | None = None,
) -> Grant:
    """A fresh grant of these mark sets.

    Every class is released in full on all of them, but those in `without` (nowhere), in `part` (coarser), and in `only`
    (in full on the named mark sets alone).
    """
    visible = bits(rows)
    classes = {name: ClassGrant(full=visible) for name in FIELD_CLASSES if name not in set(without)}
    classes |= {name: ClassGrant() for name in without}
    classes |= {name: ClassGrant(part=visible) for name in part}
    classes |= {name: ClassGrant(full=bits(ids)) for name, ids in (only or {}).items()}
    numbers = [number for number, _ in store.mark_sets(0)]
    return Grant(
        rows=visible,
        pointers=bits(pointers),
        silent=bits(silent),
        classes=classes,
        answer_classes=frozenset(FIELD_CLASSES),
        watermark=max(numbers, default=0),
        data_revision=store.directory_revision,
        valid_until_us=2**53 - 1,
        policy=POLICY,
        policy_input=b"{}",
        explain=_no_rule,
    )


def grant_all(store: Store, **changes: Any) -> Grant:
    """A fresh grant of every mark set that the store holds."""
    return grant_rows(store, [number for number, _ in store.mark_sets(0)], **changes)


def bits(numbers: Iterable[int]) -> int:
    """A bitmap of these mark sets."""
    return sum(1 << number for number in set(numbers))


def a_caller(agency: str = "police.example/north", **changes: Any) -> Caller:
    """An officer of an agency, cleared for everything."""
    values: dict[str, Any] = {
        "agency": AgencyId.parse(agency),
        "workload": "desk",
        "thumbprint": b"\x01" * 32,
        "serial": "01",
        "user": "officer-1",
        "roles": frozenset({"officer"}),
        "clearance": "TOP_SECRET",
        "nationalities": frozenset({"GB"}),
        "purposes": frozenset({"INVESTIGATION"}),
        "issuer": "https://issuer.example",
        "token_id": "t1",
        "expires_at": 2_000_000_000,
    }
    return Caller(**{**values, **changes})


def a_call(request: Message, grant: Grant, *, caller: Caller | None = None, method: str | None = None) -> Call:
    """A decided call with this request; its method follows from the request's type."""
    raw = request.SerializeToString(deterministic=True)
    name = type(request).__name__.removesuffix("Request")
    return Call(
        exchange=Exchange(secrets.token_hex(16), method or f"/entente.test.v1.Test/{name}", 0, 0, "ipv4:127.0.0.1:1"),
        caller=caller or a_caller(),
        grant=grant,
        justification=Justification("INVESTIGATION"),
        request=request,
        request_digest=hashlib.sha256(raw).digest(),
    )
