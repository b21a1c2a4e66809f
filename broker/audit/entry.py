"""An entry of the ledger: what is said in the leaf, what is sealed beside it, what is only committed to.

MUSTs:
1. A leaf is canonical JSON (RFC 8785), at most 65,535 bytes; encoding that fails is a refusal, never a shorter leaf.
   Where the fields of the disclosures alone make it longer, the leaf commits to them and the sealed detail holds them:
   otherwise one record with many differently marked portions could not be read, and would end every stream.
2. No field value, free text, token or plain record id reaches a leaf (audit invariant 15): what the caller supplied is
   committed to under the exchange's salt, and lies in clear in the sealed detail alone.
3. `sealed` is always present, so that its presence says nothing.
4. Integers are below 2^53; time is UTC in microseconds.

The actor (agency, user, roles, certificate, token id) is in the leaf: the ledger exists to name who asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from broker.audit.seal import SealKeys
from broker.domain.caller import Caller, Peer
from broker.domain.clock import Clock
from broker.domain.errors import LimitError, RequestError
from broker.domain.exchange import DisclosureGroup, Exchange, Justification, PolicyReference, Transformed, Withheld
from entente_tlog.commitment import SALT_SIZE, content_hash, record_commitment, text_commitment
from entente_tlog.tiles import MAX_ENTRY_BYTES

VERSION = 1
TYPES = frozenset(
    "consultation disclosure collection alteration combination erasure denial outcome admin audit-access gap".split()
)
PHASES = frozenset(("intent", "release", "outcome"))
OUTCOMES = frozenset(("allowed", "denied", "aborted", "indeterminate"))
UNKNOWN_METHOD = "unknown"
_METHOD = re.compile(r"/[A-Za-z0-9_.]{1,150}/[A-Za-z0-9_]{1,80}", re.ASCII)
_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


@dataclass(frozen=True, slots=True)
class Node:
    """Which broker writes, and which start of it (monotonic times compare only within one boot id)."""

    name: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended: *handed to gRPC*, never *delivered* (audit invariant 10)."""

    exchange_id: str
    outcome: str
    status: str
    bytes: int = 0
    duration_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, before it is encoded.

    `caller` is the Peer alone when the person was not identified. `request` and `response` are wire bytes, hashed and
    dropped. `records` are those touched beyond the disclosures (a write's target); `owners` the agencies whose records
    they all are (sealed: an owner's auditor finds the entry by it). `count` is above one where a flood of
    equal refusals is one entry. `outcomes` closes a group of exchanges. `unacknowledged`: the end of a stream names
    the entries, in this log, of batches that were handed over and of which nobody knows whether they arrived.
    `detail` (JSON values) is sealed.
    """

    type: str
    phase: str
    exchange: Exchange
    caller: Caller | Peer | None = None
    justification: Justification | None = None
    policy: PolicyReference | None = None
    disclosures: tuple[DisclosureGroup, ...] = ()
    records: tuple[tuple[str, int], ...] = ()
    recipients: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    request: bytes | None = None
    response: bytes | None = None
    outcome: str = "allowed"
    status: str = "OK"
    reason: str = ""
    bytes: int = 0
    duration_us: int = 0
    count: int = 1
    outcomes: tuple[Outcome, ...] = ()
    unacknowledged: tuple[int, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """`leaf` and `sealed` go to the ledger; `salt` to the caller, in the receipt."""

    leaf: bytes
    sealed: bytes
    salt: bytes


def canonical(value: object) -> bytes:
    """Canonical JSON for ASCII keys, strings, booleans and integers below 2^53. Raises RequestError."""
    try:
        return orjson.dumps(value, option=_CANONICAL)
    except orjson.JSONEncodeError as error:
        raise RequestError("REQUEST_INVALID", "A value cannot be put on record.", detail=str(error)) from error


def context(exchange_id: str, phase: str) -> bytes:
    """What a sealed part is bound to."""
    return f"{exchange_id}/{phase}".encode()


def encode(entry: Entry, *, node: Node, clock: Clock, keys: SealKeys, salt: bytes | None = None) -> Encoded:
    """Entry -> leaf, sealed part and salt.

    Give the `salt` of an earlier phase to keep one salt for an exchange; a new one is drawn otherwise. Raises
    LimitError when the leaf would exceed 65,535 bytes (nothing was recorded, so nothing may be released).
    """
    salt = os.urandom(SALT_SIZE) if salt is None else salt
    groups = [_disclosure(group, salt) for group in entry.disclosures]
    detail = _detail(entry, salt)
    leaf = b""
    for told in (groups, [_folded(group, salt) for group in groups]):
        sealed = keys.seal(canonical(detail), context(entry.exchange.exchange_id, entry.phase))
        leaf = canonical(_leaf(entry, salt, sealed.commitment, node, clock, told))
        if len(leaf) <= MAX_ENTRY_BYTES:
            return Encoded(leaf, sealed.ciphertext, salt)
        detail["disclosures"] = groups
    raise LimitError(
        "ANSWER_TOO_LARGE",
        "The answer is too large for one audit entry; ask for fewer records.",
        detail=f"leaf of {len(leaf)} bytes",
    )


def outcome_entry(exchange: Exchange, outcomes: Sequence[Outcome]) -> Entry:
    """One entry that closes a group of exchanges (audit invariant 10); `exchange` is the broker's own."""
    return Entry(type="outcome", phase="outcome", exchange=exchange, outcomes=tuple(outcomes))


def _leaf(
    entry: Entry, salt: bytes, sealed: str, node: Node, clock: Clock, groups: list[dict[str, Any]]
) -> dict[str, Any]:
    exchange = entry.exchange
    if entry.type not in TYPES or entry.phase not in PHASES or entry.outcome not in OUTCOMES:
        raise ValueError(f"no such entry: {entry.type} {entry.phase} {entry.outcome}")
    seconds, micros = divmod(clock.now_us(), 1_000_000)
    leaf: dict[str, Any] = {
        "v": VERSION,
        "type": entry.type,
        "phase": entry.phase,
        "exchange_id": exchange.exchange_id,
        "time_utc": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z",
        "node": node.name,
        "boot_id": node.boot_id,
        "monotonic_us": clock.monotonic_us(),
        "method": exchange.method if _METHOD.fullmatch(exchange.method) else UNKNOWN_METHOD,
        "address": exchange.address,
        "outcome": entry.outcome,
        "status": entry.status,
        "bytes": entry.bytes,
        "duration_us": entry.duration_us,
        "sealed": sealed,
    }
    if exchange.session is not None:
        leaf["tls"] = {"version": exchange.session.version, "group": exchange.session.group}
    if entry.caller is not None:
        leaf["actor"] = _actor(entry.caller)
    if isinstance(entry.caller, Caller) and entry.caller.on_behalf_of:
        leaf["on_behalf_of"] = list(entry.caller.on_behalf_of)
    if entry.request is not None:
        leaf["request_hash"] = content_hash(salt, entry.request)
    if entry.response is not None:
        leaf["response_hash"] = content_hash(salt, entry.response)
    if entry.justification is not None:
        leaf["purpose"] = _purpose(entry.justification, salt)
    if entry.policy is not None:
        leaf["policy"] = _policy(entry.policy)
    if groups:
        leaf["disclosures"] = groups
    if entry.records:
        leaf["records"] = [record_commitment(salt, record, version) for record, version in entry.records]
    if entry.recipients:
        leaf["recipients"] = list(entry.recipients)
    if entry.reason:
        leaf["reason"] = entry.reason
    if entry.count != 1:
        leaf["count"] = entry.count
    if entry.unacknowledged:
        leaf["unacknowledged"] = list(entry.unacknowledged)
    if entry.outcomes:
        leaf["outcomes"] = [[o.exchange_id, o.outcome, o.status, o.bytes, o.duration_us] for o in entry.outcomes]
    return leaf


def _actor(caller: Caller | Peer) -> dict[str, Any]:
    actor: dict[str, Any] = {
        "agency": str(caller.agency),
        "workload": caller.workload,
        "certificate": {"serial": caller.serial, "sha256": caller.thumbprint.hex()},
    }
    if isinstance(caller, Caller):
        actor["user"] = caller.user
        actor["roles"] = sorted(caller.roles)
        actor["token"] = {"iss": caller.issuer, "jti": caller.token_id, "sub": caller.subject}
        if caller.client:
            actor["token"]["client_id"] = caller.client
    return actor


_COMMITTED = ("legal_basis", "case_reference", "authoriser", "reason")


def _purpose(justification: Justification, salt: bytes) -> dict[str, Any]:
    purpose: dict[str, Any] = {"code": justification.purpose}
    for name in _COMMITTED:
        if text := getattr(justification, name):
            purpose[name] = text_commitment(salt, name, text)
    return purpose


def _policy(policy: PolicyReference) -> dict[str, Any]:
    return {
        "engine": policy.engine,
        "bundle": policy.bundle,
        "data": policy.data,
        "decision_id": policy.decision_id,
        "input_hash": policy.input_hash,
    }


def _disclosure(group: DisclosureGroup, salt: bytes) -> dict[str, Any]:
    return {
        "plan": group.plan,
        "level": group.level,
        "records": [record_commitment(salt, record, version) for record, version in group.records],
        "released": group.released,
        "withheld": [
            [one.path, one.field_class, one.rule, one.reason, *_portions(one, salt)] for one in group.withheld
        ],
        "transformed": [[one.path, one.transform, *_portions(one, salt)] for one in group.transformed],
    }


def _folded(group: dict[str, Any], salt: bytes) -> dict[str, Any]:
    """A group whose fields are only committed to; the sealed detail has it whole."""
    kept = {name: group[name] for name in ("plan", "level", "records")}
    return {**kept, "fields": content_hash(salt, canonical(group))}


def _portions(one: Withheld | Transformed, salt: bytes) -> list[list[str]]:
    """Local keys are the originator's own words, so a leaf may only commit to them.

    Half a hash is enough: who could look for a collision (the originator) gains nothing from one.
    """
    return [[text_commitment(salt, "portion", key)[:22] for key in one.portions]] if one.portions else []


def _detail(entry: Entry, salt: bytes) -> dict[str, Any]:
    records = [list(pair) for group in entry.disclosures for pair in group.records]
    detail: dict[str, Any] = {
        **entry.detail,
        "salt": salt.hex(),
        "records": records + [list(pair) for pair in entry.records],
    }
    if entry.owners:
        detail["owners"] = sorted(set(entry.owners))
    if not _METHOD.fullmatch(entry.exchange.method):
        detail["method"] = entry.exchange.method[:1024]
    if entry.justification is not None:
        clear = {name: getattr(entry.justification, name) for name in (*_COMMITTED, "on_behalf_of")}
        detail["purpose"] = {name: text for name, text in clear.items() if text}
    if isinstance(entry.caller, Caller):
        detail["nationalities"] = sorted(entry.caller.nationalities)
        detail["clearance"] = entry.caller.clearance
    portions = {key for group in entry.disclosures for one in group.withheld for key in one.portions}
    portions |= {key for group in entry.disclosures for one in group.transformed for key in one.portions}
    if portions:
        detail["portions"] = sorted(portions)
    return detail
