"""Grants and stored items for tests of the release stage: mark set k is released as the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.domain.answer import StoredItem
from broker.domain.exchange import PolicyReference
from broker.domain.grant import FULL, PART, PSEUDONYM, ClassGrant, Grant
from broker.release.classes import classes_within
from broker.release.records import RecordType, record_type
from entente.report.v1 import report_pb2

REPORT: RecordType = record_type(report_pb2.Report.DESCRIPTOR)
CLASSES = sorted(classes_within(report_pb2.Report.DESCRIPTOR))
EVERYTHING = dict.fromkeys(CLASSES, FULL)

Levels = Mapping[str, str]


def grant(
    *marks: Levels | None,
    pointers: int = 0,
    watermark: int | None = None,
    answer_classes: Sequence[str] = (),
    rule: str = "test.rule",
    reason: str = "ROLE",
) -> Grant:
    """A grant in which the k-th mark set releases classes as the k-th mapping says; None: it is not visible."""
    classes: dict[str, ClassGrant] = {}
    for name in CLASSES:
        held = [(mark or {}).get(name, "") for mark in marks]
        full = sum(1 << k for k, level in enumerate(held) if level == FULL)
        part = sum(1 << k for k, level in enumerate(held) if level == PART)
        named = sum(1 << k for k, level in enumerate(held) if level == PSEUDONYM)
        classes[name] = ClassGrant(full, part, named)
    return Grant(
        rows=sum(1 << k for k, mark in enumerate(marks) if mark is not None),
        pointers=pointers,
        classes=classes,
        answer_classes=frozenset(answer_classes),
        watermark=len(marks) - 1 if watermark is None else watermark,
        data_revision=1,
        valid_until_us=2**52,
        policy=PolicyReference("test", "0" * 64, 1, "test", "0" * 64),
        policy_input=b"{}",
        explain=lambda name, mark, full: (f"{rule}.{name.lower()}.{mark}.{'full' if full else 'any'}", reason),
    )


def item(
    report: report_pb2.Report,
    *portions: int,
    mark_set: int = 0,
    payload: bytes | None = None,
    wrapper: bytes = b"",
    as_pointer: bool = False,
) -> StoredItem:
    """The report as the store hands it over; without `portions` each has the report's own mark set."""
    count = len(report.lines) + len(report.entities) + len(report.links)
    return StoredItem(
        record_id=report.header.record_id,
        version=report.header.version,
        mark_set=mark_set,
        payload=report.SerializeToString() if payload is None else payload,
        portion_mark_sets=portions or (mark_set,) * count,
        wrapper=wrapper,
        as_pointer=as_pointer,
    )


def without(name: str, level: str = "") -> Levels:
    """Everything in full but this class."""
    return {**EVERYTHING, name: level}


def only(name: str) -> Levels:
    """Nothing but this class."""
    return {name: FULL}
