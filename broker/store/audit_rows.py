"""What goes into the ledger's index and what comes out: rows of entries and decisions, and a search's conditions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry's searchable columns."""

    index: int
    time_us: int
    type: str
    phase: str
    exchange_id: str
    method: str
    agency: str
    user: str
    purpose: str
    outcome: str
    status: str
    reason: str
    case_blind: bytes | None
    bytes: int
    duration_us: int


@dataclass(frozen=True, slots=True)
class Projected:
    """One entry, its (record blind, version), the agencies that own those records, the (exchange, outcome) it
    closes, the (originator, record blind) that it hit silently, the (input hash, bundle, method, allowed) of the
    decision that it rests on."""

    row: EntryRow
    records: tuple[tuple[bytes, int], ...] = ()
    owners: tuple[str, ...] = ()
    outcomes: tuple[tuple[str, str], ...] = ()
    hits: tuple[tuple[str, bytes], ...] = ()
    decision: tuple[str, str, str, bool] | None = None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Equal decisions: the input's hash, the revision that decided, the method, whether policy allowed the call; the
    newest of them, and how many there are."""

    input_hash: str
    bundle: str
    method: str
    allowed: bool
    index: int
    time_us: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexQuery:
    """Conditions that must all hold; None is no condition.

    `scope`: entries by one of these agencies, or about records that one of them owns; None sees all, () nothing.
    `start_us` inclusive, `end_us` exclusive. `hits_of`: a record of this agency was hit silently. `with_hits`:
    `record_blind` holds also where the record was hit silently.
    """

    scope: tuple[str, ...] | None = None
    start_us: int | None = None
    end_us: int | None = None
    agency: str | None = None
    user: str | None = None
    method: str | None = None
    type: str | None = None
    outcome: str | None = None
    purpose: str | None = None
    reason: str | None = None
    exchange_id: str | None = None
    record_blind: bytes | None = None
    case_blind: bytes | None = None
    hits_of: str | None = None
    with_hits: bool = False
