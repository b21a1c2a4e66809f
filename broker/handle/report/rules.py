"""What a report must be to be taken in. Pure: no store, no clock.

Refuses, each path named and no value repeated: fields that the broker sets; portions looser than their record; marks
above the caller's clearance or of compartments that the caller's agency is not in; keys given twice; links without
ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from broker.domain.errors import RequestError
from broker.domain.marks import CLASSIFICATIONS, MarkSet, inherit, looser_than
from broker.handle.report.translate import Portion, mark_set, portions
from entente.common.v1 import entity_pb2, record_pb2
from entente.report.v1 import report_pb2

BROKER_SET = (
    "record_id",
    "home_broker",
    "originator",
    "version",
    "etag",
    "exchange_id",
    "create_time",
    "update_time",
    "state",
    "retraction_reason",
)

Faults = tuple[tuple[str, str], ...]


def refuse_unknown_fields(request: Message) -> None:
    """Raises FIELD_UNKNOWN: what the broker cannot classify it must not keep. Any depth."""
    known = type(request)()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    if known.ByteSize() != request.ByteSize():
        faults = tuple((path, "unknown field") for path in _unknown(request, ""))
        raise RequestError(
            "FIELD_UNKNOWN",
            "the request holds a field that this broker does not know; use the broker's protos",
            fields=faults,
        )


def _unknown(message: Message, path: str) -> Iterator[str]:
    if len(UnknownFieldSet(message)):
        yield path or "(request)"
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                yield from _unknown(child, f"{path}.{field.name}" if path else field.name)


def refuse_broker_set(header: record_pb2.RecordHeader) -> None:
    """Raises REQUEST_INVALID for fields of the head that only the broker sets."""
    given = [name for name in BROKER_SET if header.HasField(name)]  # type: ignore[arg-type]
    invalid((f"report.header.{name}", "the broker sets it; leave it out") for name in given)


def portion_marks(record: MarkSet, portion: Portion) -> MarkSet:
    """The portion's mark set, with what it leaves unsaid taken from its record."""
    return inherit(record, mark_set(portion.marks, record.originator))


def refuse_loose(record: MarkSet, marked: Iterable[tuple[str, MarkSet]]) -> None:
    """Raises MARKS_TOO_LOOSE naming each (path of portion, its marks) that is looser than the record's."""
    faults = tuple(
        (f"{path}.marks.{field}", "looser than the record's")
        for path, own in marked
        for field in looser_than(record, own)
    )
    if faults:
        raise RequestError(
            "MARKS_TOO_LOOSE",
            "a portion is marked looser than its record; raise the portion's marks or lower the record's",
            fields=faults,
        )


def refuse_beyond(clearance: str, compartments: frozenset[str], marked: Iterable[tuple[str, MarkSet]]) -> None:
    """Raises REQUEST_INVALID for marks that the caller could not see past: nobody writes above their own clearance."""
    invalid(_beyond(clearance, compartments, marked))


def _beyond(
    clearance: str, compartments: frozenset[str], marked: Iterable[tuple[str, MarkSet]]
) -> Iterator[tuple[str, str]]:
    highest = CLASSIFICATIONS.index(clearance) if clearance in CLASSIFICATIONS else -1
    for path, marks in marked:
        if CLASSIFICATIONS.index(marks.classification) > highest:
            yield f"{path}.marks.classification", "above your clearance"
        if not marks.compartments <= compartments:
            yield f"{path}.marks.compartments", "your agency is not a member of each"


def refuse_repeated_references(references: Iterable[record_pb2.ExternalReference]) -> None:
    """Raises REQUEST_INVALID for an external reference given twice."""
    seen: set[tuple[str, str]] = set()
    faults = []
    for index, one in enumerate(references):
        if (one.source, one.reference) in seen:
            faults.append((f"report.header.external_references[{index}]", "given twice"))
        seen.add((one.source, one.reference))
    invalid(faults)


def refuse_repeated_keys(report: report_pb2.Report) -> None:
    """Raises REQUEST_INVALID for a key that two portions of one field share."""
    seen: set[tuple[str, str]] = set()
    faults = []
    for field, index, portion in portions(report):
        if (field, portion.key) in seen:
            faults.append((f"report.{field}[{index}].key", "another portion has this key"))
        seen.add((field, portion.key))
    invalid(faults)


def fresh_key(taken: set[str]) -> str:
    """A random key of 8 hex digits that the record does not have yet; `taken` learns it."""
    while (key := secrets.token_hex(4)) in taken:
        pass
    taken.add(key)
    return key


def rekey(report: report_pb2.Report) -> None:
    """Replace every key by a random one, in place, and join the links to the new ones. Raises REQUEST_INVALID."""
    refuse_repeated_keys(report)
    taken: set[str] = set()
    renamed: dict[str, str] = {}
    for _, _, portion in portions(report):
        key = fresh_key(taken)
        if isinstance(portion, entity_pb2.Entity):
            renamed[portion.key] = key
        portion.key = key
    rewire(report.links, renamed)


def rewire(links: Iterable[entity_pb2.Link], renamed: Mapping[str, str]) -> None:
    """Give the links' ends their entities' new keys, in place. Raises REQUEST_INVALID for an end that is not there."""
    faults = []
    for index, link in enumerate(links):
        for end in ("from_key", "to_key"):
            key = renamed.get(getattr(link, end))
            if key is None:
                faults.append((f"report.links[{index}].{end}", "no entity of the report has this key"))
            else:
                setattr(link, end, key)
    invalid(faults)


def invalid(faults: Iterable[tuple[str, str]]) -> None:
    """Raises REQUEST_INVALID with these faults, if there are any."""
    found = tuple(faults)
    if found:
        raise RequestError("REQUEST_INVALID", "the request breaks the rules of its fields; each is named", fields=found)
