"""Between the wire and the domain: marks, and the order in which a report's portions are counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from broker.domain.marks import MarkSet
from entente.common.v1 import entity_pb2, marks_pb2
from entente.report.v1 import report_pb2

RECORD_TYPE = "report"
# The fields of Report with portions, in the descriptor's order: mark-set ids are kept in this one.
PORTIONS = ("lines", "entities", "links")

Portion = report_pb2.ReportLine | entity_pb2.Entity | entity_pb2.Link

_SET_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("markings", marks_pb2.Marking, "MARKING_"),
    ("handling_conditions", marks_pb2.HandlingCondition, "HANDLING_CONDITION_"),
    ("europol_handling", marks_pb2.EuropolHandling, "EUROPOL_HANDLING_"),
)
_ONE_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("classification", marks_pb2.Classification, "CLASSIFICATION_"),
    ("handling_code", marks_pb2.HandlingCode, "HANDLING_CODE_"),
    ("tlp", marks_pb2.Tlp, "TLP_"),
    ("sanitisation", marks_pb2.Sanitisation, "SANITISATION_"),
    ("fallback", marks_pb2.Fallback, "FALLBACK_"),
    ("reach", marks_pb2.Reach, "REACH_"),
)


def portions(report: report_pb2.Report) -> Iterator[tuple[str, int, Portion]]:
    """(field, index, portion) of every portion, in the order in which mark sets are kept."""
    for field in PORTIONS:
        for index, portion in enumerate(getattr(report, field)):
            yield field, index, portion


def mark_set(marks: marks_pb2.Marks, originator: str) -> MarkSet:
    """The wire's marks as a mark set, nothing inherited."""
    one: dict[str, Any] = {
        name: "" if (number := getattr(marks, name)) == 0 else enum.Name(number).removeprefix(prefix)
        for name, enum, prefix in _ONE_FIELDS
    }
    several: dict[str, Any] = {
        name: frozenset(enum.Name(number).removeprefix(prefix) for number in getattr(marks, name))
        for name, enum, prefix in _SET_FIELDS
    }
    return MarkSet(
        record_type=RECORD_TYPE,
        originator=originator,
        compartments=frozenset(marks.compartments),
        releasable_to=frozenset(marks.releasable_to.agencies) if marks.HasField("releasable_to") else None,
        **one,
        **several,
    )


def marks_message(marks: MarkSet) -> marks_pb2.Marks:
    """A mark set as the wire's marks: the inverse of `mark_set`."""
    message = marks_pb2.Marks(compartments=sorted(marks.compartments))
    for name, enum, prefix in _ONE_FIELDS:
        value = getattr(marks, name)
        if value:
            setattr(message, name, enum.Value(prefix + value))
    for name, enum, prefix in _SET_FIELDS:
        getattr(message, name).extend(sorted(enum.Value(prefix + value) for value in getattr(marks, name)))
    if marks.releasable_to is not None:
        message.releasable_to.SetInParent()
        message.releasable_to.agencies.extend(sorted(marks.releasable_to))
    return message
