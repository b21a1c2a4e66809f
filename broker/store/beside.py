"""What a search finds: the visible records, and beside them what their originators chose to have told.

MUSTs:
1. A pointer is found only by one exact value and nothing else, in a record that the grant points at, and only where the
   value's own portion asks for nothing beyond its record's marks: the hit confirms the value, as its originator chose.
2. Pointers come after the records, in the order of their random ids: places tell neither time nor number of changes.
3. Every search asks what it hits silently, in the transaction of its rows, in the same steps whether it hits or not;
   what it finds is for the entry's sealed part, and changes nothing else.
4. A record is hit silently where all conditions hold on all that it says, at least one of them in a portion or a record
   on which the grant is silent. Those of the caller's own agency are not: this is what others are not told.

Of more than `WINDOW` such records that hold even the rarest of what is asked for, the newest are looked at: the work is
bounded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, LargeBinary, bindparam, case, func, or_, select, true

from broker.domain.grant import Grant
from broker.domain.hit import MOST_HITS, SilentHit
from broker.store.counts import VisibleCounts
from broker.store.engine import each, flagged
from broker.store.fresh import require_fresh
from broker.store.mark_sets import flags
from broker.store.prepared import Driver, Prepared
from broker.store.records import LARGEST, VERSIONS, StoredVersion, pointed_at, stored
from broker.store.schema import beside_index, record, version
from broker.store.search import Conditions, search

WORD = "WORD"
WINDOW = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: below a `seq`, or, past the records, after the id of a pointer."""

    below_seq: int = LARGEST
    after_pointer: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page, pointers last, and what was hit silently, newest first."""

    versions: list[StoredVersion]
    hits: tuple[SilentHit, ...]


def term(kind: str, normal_form: str) -> str:
    """How a value or word is kept here."""
    return f"{kind} {normal_form}"


def find_all(
    driver: Driver, counts: VisibleCounts, grant: Grant, wanted: Conditions, place: Place, most: int, *, agency: str
) -> Found:
    """At most so many records and pointers from a place on. `agency` is the caller's own. Raises StaleGrantError."""
    found: list[StoredVersion] = []
    if place.after_pointer is None:
        found = search(driver, counts, grant, wanted, place.below_seq, most)
    else:
        require_fresh(driver, grant)
    if wanted.pointable and len(found) < most:
        found += pointers(driver, grant, wanted, place.after_pointer or "", most - len(found))
    return Found(found, silent_hits(driver, grant, wanted, agency))


def pointers(driver: Driver, grant: Grant, wanted: Conditions, after: str, most: int) -> list[StoredVersion]:
    """Records that a search by one value may be pointed at, by their ids."""
    values: dict[str, Any] = {
        "term": _terms(wanted)[0],
        "pointers": flags(grant.pointers),
        "record_type": wanted.record_type,
        "originator": wanted.originator or "",
        "after_id": after,
        "most": most,
    }
    return [pointed_at(stored(row)) for row in _POINTERS.all(driver, values)]


def silent_hits(driver: Driver, grant: Grant, wanted: Conditions, agency: str) -> tuple[SilentHit, ...]:
    """Records whose originators are told of this search, newest first, one more than `MOST_HITS` at most."""
    terms = _terms(wanted)
    if not terms or wanted.reference is not None:
        # Nothing identifies a record, or the caller's own reference does: so says the request alone.
        return ()
    lead, *others = sorted(terms, key=lambda one: _held_by(driver, one))
    values: dict[str, Any] = {"silent": flags(grant.silent), "term": lead}
    # By `seq`: whether one of the terms is held where the grant is silent.
    heard: dict[int, int] = dict(_LEAD.all(driver, values))
    for other in others:
        found: dict[int, int] = dict(_ALSO.all(driver, {**values, "term": other, "seqs": json.dumps(list(heard))}))
        heard = {seq: silent | found[seq] for seq, silent in heard.items() if seq in found}
    values = {
        "seqs": json.dumps([seq for seq, silent in heard.items() if silent]),
        "own": agency,
        "record_type": wanted.record_type,
        "originator": wanted.originator or "",
        "after": -LARGEST if wanted.after_us is None else wanted.after_us,
        "before": LARGEST if wanted.before_us is None else wanted.before_us,
        "most": MOST_HITS + 1,
    }
    return tuple(SilentHit(*row) for row in _SILENT.all(driver, values))


def silent_holder(driver: Driver, grant: Grant, record_id: str, *, agency: str) -> SilentHit | None:
    """The hit of a caller who names a record that it does not see. Asked for every id that was not found."""
    require_fresh(driver, grant)
    values = {"wanted": record_id, "silent": flags(grant.silent), "own": agency}
    row = _HOLDER.first(driver, values)
    return None if row is None else SilentHit(*row)


def _terms(wanted: Conditions) -> list[str]:
    """What must be held, each once: values, then words."""
    values = [term(one.kind, one.value) for one in wanted.values]
    return list(dict.fromkeys(values + [term(WORD, word) for word in wanted.words]))


def _held_by(driver: Driver, one: str) -> int:
    """How many rows there are of a term, counted up to `WINDOW`."""
    row = _ROWS.first(driver, {"term": one})
    return 0 if row is None else int(row[0])


_originator = or_(bindparam("originator") == "", record.c.originator == bindparam("originator"))
_silent = bindparam("silent", type_=LargeBinary())

_POINTED = select(beside_index.c.seq).where(
    beside_index.c.term == bindparam("term"),
    beside_index.c.pointed.is_(true()),
    flagged(bindparam("pointers", type_=LargeBinary()), beside_index.c.container),
)
_POINTERS = Prepared(
    VERSIONS.where(
        version.c.seq.in_(_POINTED),
        record.c.seq == version.c.seq,
        record.c.active.is_(true()),
        record.c.record_type == bindparam("record_type"),
        _originator,
        record.c.record_id > bindparam("after_id"),
    )
    .order_by(record.c.record_id)
    .limit(bindparam("most"))
)

_ROWS = Prepared(
    select(func.count()).select_from(
        select(beside_index.c.seq).where(beside_index.c.term == bindparam("term")).limit(WINDOW).subquery()
    )
)
_of_term = select(
    beside_index.c.seq,
    func.max(case((or_(*(flagged(_silent, beside_index.c[name]) for name in ("portion", "container"))), 1), else_=0)),
).where(beside_index.c.term == bindparam("term"))
_LEAD = Prepared(_of_term.group_by(beside_index.c.seq).order_by(beside_index.c.seq.desc()).limit(WINDOW))
_among = each("seqs", Integer)
_ALSO = Prepared(_of_term.where(beside_index.c.seq.in_(select(_among.c.value))).group_by(beside_index.c.seq))
_SILENT = Prepared(
    select(record.c.record_id, record.c.originator)
    .where(
        record.c.seq.in_(select(_among.c.value)),
        record.c.originator != bindparam("own"),
        record.c.active.is_(true()),
        record.c.record_type == bindparam("record_type"),
        record.c.updated_us >= bindparam("after"),
        record.c.updated_us < bindparam("before"),
        _originator,
    )
    .order_by(record.c.seq.desc())
    .limit(bindparam("most"))
)
_HOLDER = Prepared(
    select(record.c.record_id, record.c.originator).where(
        record.c.record_id == bindparam("wanted"),
        record.c.originator != bindparam("own"),
        record.c.active.is_(true()),
        flagged(_silent, record.c.mark_set),
    )
)
