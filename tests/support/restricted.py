"""Restricted reports, shared; and the bytes of what is given back."""

from __future__ import annotations

from typing import Any

from certs.network import Party
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from entente_tlog.receipt import _fields
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    NATIONAL,
    SUBMIT,
    ask,
    submission,
)
from tests.support.house import House


def nested(raw: bytes, number: int) -> list[bytes]:
    """The bytes of each occurrence of a field, as they were received."""
    return [raw[value:end] for found, _, _, value, end in _fields(raw) if found == number]


async def share(place: House, report: report_pb2.Report, party: Party = NATIONAL) -> Any:
    return (await ask(place, SUBMIT, submission(report), party)).message


def only_for(*agencies: str) -> marks_pb2.Marks:
    """Marks that name the recipients; none: the originator alone."""
    marks = marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_OFFICIAL, handling_code=marks_pb2.HANDLING_CODE_P)
    marks.releasable_to.agencies.extend(agencies)
    marks.releasable_to.SetInParent()
    return marks


def restricted(number: int, *agencies: str) -> report_pb2.Report:
    report = sample_report(number)
    report.header.marks.CopyFrom(only_for(*agencies))
    return report


def portions(report: report_pb2.Report) -> list[Any]:
    return [*report.lines, *report.entities, *report.links]
