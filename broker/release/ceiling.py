"""The hard ceiling once more, on the records that are about to leave: whatever the grant says, however it came to be.

It reads the marks that each record itself carries, and who the caller is. It knows no policy and believes no mark-set
id, so that a fault in either ends here. MUSTs, each a ReleaseError before a byte is made:

1. a record or portion in compartments leaves only to a member of each, its originator's officers too;
2. others get nothing that has a list of recipients without them, that is source-protected, or that reaches nobody else;
3. others get nothing of `OWNER_CLASSES`, in no form; and of what reaches them redacted only `OPEN_CLASSES` in full;
4. a pointer leaves only where its originator asked for one, and within 1: by `reach` in the place of what would itself
   leave within 2, by `fallback` to others too.

Does not say what a caller may see: `decide` does. A record's earlier versions carry the marks that they had; that later
ones bind them is `decide`'s to hold.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from broker.domain.answer import Answer, StoredItem
from broker.domain.grant import FULL, WITHHELD, Grant
from broker.release.errors import ReleaseError
from broker.release.records import RecordType, item_slot
from entente.common.v1 import marks_pb2

OWNER_CLASSES = frozenset(("SOURCE", "INTERNAL", "REFERENCE"))
OPEN_CLASSES = frozenset(("ENVELOPE", "HEADER", "MARKING", "SUMMARY", "TEAR_LINE", "GRADING"))
_OUTWARD = (marks_pb2.REACH_UNSPECIFIED, marks_pb2.REACH_REDACTED)
_REMEMBERED = 4_096

Levels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one set of marks asks for, as far as the ceiling goes."""

    compartments: frozenset[str]
    recipients: frozenset[str] | None
    protected: bool
    reach: int
    fallback: int


@dataclass(frozen=True, slots=True)
class _Carried:
    """A record's own bounds, and those of the portions that state any, by their place among all portions."""

    payload_hash: int
    originator: str
    record: _Bounds
    portions: tuple[tuple[int, _Bounds], ...]


class Ceiling:
    """Tests what is about to leave. Remembers what the last records carried; for one event loop."""

    def __init__(self) -> None:
        self._carried: OrderedDict[tuple[str, int], _Carried] = OrderedDict()

    def require(self, answer: Answer, response: type[Message], grant: Grant, agency: str) -> None:
        """Raises ReleaseError where an item is beyond the ceiling of this agency (`trust-domain/agency`)."""
        if not answer.items:
            return
        descriptor: Descriptor = response.DESCRIPTOR  # type: ignore[assignment]
        slot = item_slot(descriptor)
        if slot is None:
            raise ReleaseError(f"{descriptor.full_name} has no place for records")
        for item in answer.items:
            carried = self._of(slot.record, item)
            fault = _pointer_fault(carried, grant, agency) if item.as_pointer else _fault(carried, item, grant, agency)
            if fault is not None:
                raise ReleaseError(f"record {item.record_id} is beyond the ceiling: {fault}")

    def _of(self, record: RecordType, item: StoredItem) -> _Carried:
        key = (item.record_id, item.version)
        found = self._carried.get(key)
        if found is None or found.payload_hash != hash(item.payload):
            found = self._carried[key] = _read(record, item)
            if len(self._carried) > _REMEMBERED:
                self._carried.popitem(last=False)
        return found


def _read(record: RecordType, item: StoredItem) -> _Carried:
    try:
        source: Any = record.make.FromString(item.payload)
    except DecodeError as error:
        raise ReleaseError(f"record {item.record_id}: the stored bytes are no {record.message.full_name}") from error
    portions = (portion for rule in record.portions for portion in getattr(source, rule.name))
    stated = [(place, _bounds(one.marks)) for place, one in enumerate(portions) if one.HasField("marks")]
    header = source.header
    return _Carried(hash(item.payload), header.originator, _bounds(header.marks), tuple(stated))


def _bounds(marks: Any) -> _Bounds:
    return _Bounds(
        compartments=frozenset(marks.compartments),
        recipients=frozenset(marks.releasable_to.agencies) if marks.HasField("releasable_to") else None,
        protected=marks.sanitisation == marks_pb2.SANITISATION_SOURCE_PROTECTED,
        reach=marks.reach,
        fallback=marks.fallback,
    )


def _fault(carried: _Carried, item: StoredItem, grant: Grant, agency: str) -> str | None:
    own = carried.originator == agency
    fault = _refused(carried.record, grant, agency, own=own)
    # Of the portions those that the grant shows: each with the bounds that it states itself, and each view once.
    shown = {number for number in {*item.portion_mark_sets} if grant.sees(number, item.mark_set)}
    redacted = dict.fromkeys((item.mark_set, *shown), carried.record.reach == marks_pb2.REACH_REDACTED)
    for place, bounds in carried.portions:
        number = item.portion_mark_sets[place]
        if number in shown:
            fault = fault or _refused(bounds, grant, agency, own=own)
            redacted[number] = redacted[number] or bounds.reach == marks_pb2.REACH_REDACTED
    if fault is not None or own:
        return fault
    views = ((grant.view(number, item.mark_set), coarse) for number, coarse in redacted.items())
    return next((fault for view, coarse in views if (fault := _class_fault(view.levels, redacted=coarse))), None)


def _refused(bounds: _Bounds, grant: Grant, agency: str, *, own: bool) -> str | None:
    if not bounds.compartments <= grant.compartments:
        return "compartments"
    if own:
        return None
    return _withheld_from(bounds, agency) or (None if bounds.reach in _OUTWARD else "reach")


def _withheld_from(bounds: _Bounds, agency: str) -> str | None:
    """What keeps this from another agency, whatever its reach."""
    if bounds.recipients is not None and agency not in bounds.recipients:
        return "recipients"
    return "source protection" if bounds.protected else None


@lru_cache(maxsize=4_096)
def _class_fault(levels: Levels, *, redacted: bool) -> str | None:
    """A class that others are given beyond the ceiling."""
    for name, level in levels:
        if level != WITHHELD and name in OWNER_CLASSES:
            return name
        if redacted and level == FULL and name not in OPEN_CLASSES:
            return f"{name} of what is redacted"
    return None


def _pointer_fault(carried: _Carried, grant: Grant, agency: str) -> str | None:
    bounds = carried.record
    if not bounds.compartments <= grant.compartments:
        return "compartments"
    by_reach = bounds.reach == marks_pb2.REACH_POINTER
    if bounds.fallback == marks_pb2.FALLBACK_POINTER and (by_reach or bounds.reach in _OUTWARD):
        return None
    if not by_reach:
        return "no pointer was asked for"
    return _withheld_from(bounds, agency)
