"""What is previewed: a report with its mark sets, numbered for this preview alone.

Guarantees: a draft is refused for whatever it would be refused for if it were submitted, but for what is taken already;
of an own report only what the caller sees of it is looked at. Pure: no store, no clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from broker.domain.answer import StoredItem
from broker.domain.grant import Grant
from broker.domain.marks import CLASSIFICATIONS, MarkSet
from broker.handle.report.rules import (
    portion_marks,
    refuse_beyond,
    refuse_broker_set,
    refuse_loose,
    refuse_repeated_references,
    refuse_unknown_fields,
    rekey,
)
from broker.handle.report.translate import PORTIONS, portions
from broker.handle.report.writing import record_marks
from broker.store.records import StoredVersion
from entente.report.v1 import audience_service_pb2 as wire
from entente.report.v1 import report_pb2


@dataclass(frozen=True, slots=True)
class Draft:
    """A report as it would be kept. `mark_sets` are numbered from 1; the item's numbers are theirs."""

    item: StoredItem
    mark_sets: tuple[tuple[int, MarkSet], ...]
    names: tuple[tuple[str, str], ...]

    @property
    def classification(self) -> str:
        """The highest in it."""
        return max((marks.classification for _, marks in self.mark_sets), key=CLASSIFICATIONS.index)

    def portions(self) -> Iterator[tuple[str, str, int]]:
        """(field, key, mark set's number) of each portion."""
        for (field, key), number in zip(self.names, self.item.portion_mark_sets, strict=True):
            yield field, key, number


def drafted(request: wire.PreviewAudienceRequest, agency: str, clearance: str, compartments: frozenset[str]) -> Draft:
    """The draft of a request by this agency's officer. Raises RequestError as submitting it would."""
    refuse_unknown_fields(request)
    refuse_broker_set(request.report.header)
    refuse_repeated_references(request.report.header.external_references)
    report = report_pb2.Report()
    report.CopyFrom(request.report)
    # Keys and ends are checked as on submission, on a copy: the answer names portions by the keys of the draft.
    rekey(report)
    report.CopyFrom(request.report)
    record = record_marks(report.header, agency)
    marked = [(f"report.{name}[{i}]", portion_marks(record, portion)) for name, i, portion in portions(report)]
    refuse_loose(record, marked)
    refuse_beyond(clearance, compartments, [("report.header", record), *marked])
    return _numbered(report, record, [marks for _, marks in marked])


def kept(found: StoredVersion, grant: Grant) -> Draft:
    """An own report's latest version, as far as the caller sees it."""
    whole = report_pb2.Report.FromString(found.payload)
    report = report_pb2.Report()
    report.CopyFrom(whole)
    for field in PORTIONS:
        report.ClearField(field)  # type: ignore[arg-type]
    for (field, _, portion), number in zip(portions(whole), found.portion_mark_sets, strict=True):
        if grant.sees(number, found.mark_set):
            getattr(report, field).append(portion)
    # A link is seen only where both of its ends are.
    ends = {entity.key for entity in report.entities}
    links = [link for link in report.links if {link.from_key, link.to_key} <= ends]
    del report.links[:]
    report.links.extend(links)
    record = record_marks(report.header, found.originator)
    return _numbered(report, record, [portion_marks(record, portion) for _, _, portion in portions(report)])


def _numbered(report: report_pb2.Report, record: MarkSet, of_portions: Sequence[MarkSet]) -> Draft:
    numbers = {marks: number for number, marks in enumerate(dict.fromkeys((record, *of_portions)), 1)}
    report.header.record_id = secrets.token_hex(16)
    report.header.originator = record.originator
    item = StoredItem(
        record_id=report.header.record_id,
        version=1,
        mark_set=numbers[record],
        payload=report.SerializeToString(),
        portion_mark_sets=tuple(numbers[marks] for marks in of_portions),
        originator=record.originator,
    )
    names = tuple((field, portion.key) for field, _, portion in portions(report))
    return Draft(item, tuple((number, marks) for marks, number in numbers.items()), names)
