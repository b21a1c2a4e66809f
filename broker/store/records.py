"""Records and their versions, read through a grant.

Guarantees: a version is found only if the grant's rows hold its own mark set and the latest version's, so that a record
that was tightened does not leak through its past; of a retracted record only the last version is found, except by its
originator's agency. Hidden and missing are both None.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from sqlalchemy import LargeBinary, String, bindparam, select

from broker.domain.answer import StoredItem
from broker.domain.grant import Grant, StaleGrantError
from broker.store.engine import flagged
from broker.store.fresh import STATE, is_fresh
from broker.store.mark_sets import flags
from broker.store.prepared import Driver, Prepared, Row
from broker.store.schema import record, version

# What the databases' integers hold; a version or a time beyond it cannot be stored, so it is not looked for.
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version, and what of its record bears on who may see it. `as_pointer`: only that it exists may be known."""

    record_id: str
    record_type: str
    originator: str
    version: int
    mark_set: int
    portion_mark_sets: tuple[int, ...]
    payload: bytes
    kind: str
    exchange_id: str
    etag: str
    time_us: int
    seq: int
    latest: int
    latest_mark_set: int
    active: bool
    as_pointer: bool = False

    def item(self, wrapper: bytes = b"", contact: str = "") -> StoredItem:
        """What the release stage needs of it."""
        return StoredItem(
            self.record_id,
            self.version,
            self.mark_set,
            self.payload,
            self.portion_mark_sets,
            wrapper=wrapper,
            as_pointer=self.as_pointer,
            originator=self.originator,
            contact=contact,
        )


_COLUMNS = (
    version.c.record_id,
    record.c.record_type,
    record.c.originator,
    version.c.version,
    version.c.mark_set,
    version.c.portion_mark_sets,
    version.c.payload,
    version.c.kind,
    version.c.exchange_id,
    version.c.etag,
    version.c.time_us,
    version.c.seq,
    record.c.version.label("latest"),
    record.c.mark_set.label("latest_mark_set"),
    record.c.active,
)
# In the order of StoredVersion's fields: `stored` relies on it.
VERSIONS = select(*_COLUMNS).join_from(version, record, version.c.record_id == record.c.record_id)

_wanted = bindparam("wanted", type_=String())
_state = select(*STATE).subquery()
# The latest version together with what the grant is tested on: one statement is one moment, and one trip.
_LATEST = Prepared(
    select(_state, *_COLUMNS)
    .select_from(_state)
    .outerjoin(record, record.c.record_id == _wanted)
    .outerjoin(version, version.c.seq == record.c.seq)
)
_ONE = Prepared(VERSIONS.where(record.c.record_id == _wanted, version.c.version == bindparam("number")))
_OWNER = Prepared(select(record.c.originator).where(record.c.record_id == _wanted))
_HISTORY = Prepared(
    VERSIONS.where(
        record.c.record_id == _wanted,
        version.c.version < bindparam("below"),
        flagged(bindparam("rows", type_=LargeBinary()), version.c.mark_set),
    )
    .order_by(version.c.version.desc())
    .limit(bindparam("most"))
)


def find(
    driver: Driver, grant: Grant, record_id: str, number: int | None = None, *, agency: str
) -> StoredVersion | None:
    """A version (None: the latest) as far as the grant goes, or None where it is hidden or missing.

    `agency` is the caller's own. Where only the pointer is granted, the latest version is returned `as_pointer`,
    whichever was asked for: the answer tells nothing about which versions there are. With a number, call it within a
    transaction. Raises StaleGrantError.
    """
    row = _LATEST.first(driver, {"wanted": record_id})
    if row is None or not is_fresh(grant, *row[: len(STATE)]):
        raise StaleGrantError
    if row[len(STATE)] is None:
        return None
    latest = stored(row[len(STATE) :])
    if not grant.rows >> latest.mark_set & 1:
        pointed = latest.active and grant.pointers >> latest.mark_set & 1
        return pointed_at(latest) if pointed else None
    if number is None or number == latest.version:
        return latest
    if number > LARGEST or not (latest.active or latest.originator == agency):
        return None
    row = _ONE.first(driver, {"wanted": record_id, "number": number})
    found = None if row is None else stored(row)
    return found if found is not None and grant.rows >> found.mark_set & 1 else None


def history(
    driver: Driver, grant: Grant, record_id: str, below: int, most: int, *, agency: str
) -> list[StoredVersion] | None:
    """At most so many visible versions below a number, newest first; None where the record is hidden or missing."""
    latest = find(driver, grant, record_id, agency=agency)
    if latest is None or latest.as_pointer:
        return None
    if not latest.active and latest.originator != agency:
        return [latest] if latest.version < below else []
    values = {"wanted": record_id, "below": below, "rows": flags(grant.rows), "most": most}
    return [stored(row) for row in _HISTORY.all(driver, values)]


def pointed_at(latest: StoredVersion) -> StoredVersion:
    """A latest version of which only a pointer may be shown."""
    return replace(latest, as_pointer=True)


def owner(driver: Driver, record_id: str) -> str | None:
    """The record's originator."""
    row = _OWNER.first(driver, {"wanted": record_id})
    return None if row is None else row[0]


def stored(row: Row) -> StoredVersion:
    """A row of `VERSIONS`."""
    values: Row = (*row[:5], unpack(row[5]), *row[6:14], bool(row[14]))
    return StoredVersion(*values)


def pack(numbers: tuple[int, ...]) -> bytes:
    """Mark-set ids as little-endian 32-bit integers."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def unpack(packed: bytes) -> tuple[int, ...]:
    """The inverse of `pack`."""
    return struct.unpack(f"<{len(packed) // 4}I", packed)
