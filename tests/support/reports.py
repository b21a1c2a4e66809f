"""Reports for tests of store and handlers, and one agency's way of working with them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.domain.answer import Answer, Call
from broker.domain.caller import Caller
from broker.domain.directory import Agency, Agreement
from broker.domain.grant import Grant
from broker.handle.cursor import Cursors
from broker.handle.report.service import ReportHandlers
from broker.store.store import Store
from entente.common.v1 import entity_pb2, grading_pb2, marks_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import a_call, a_caller, grant_all

NORTH, SOUTH = "police.example/north", "police.example/south"
AGENCIES = [
    Agency(NORTH, "North", "GB", "LOCAL", compartments=frozenset({"op-lime", "op-fig"}), inspectorate=True),
    Agency(SOUTH, "South", "GB", "LOCAL", parent=NORTH, contact="desk@south.example"),
]
AGREEMENTS = [Agreement("a1", frozenset({NORTH, SOUTH}), frozenset({"INVESTIGATION"}), "SECRET", 0, 2**52)]
GRADING = grading_pb2.Grading(
    grading_3x5x2=grading_pb2.Grading3x5x2(
        source=grading_pb2.SOURCE_EVALUATION_RELIABLE, assessment=grading_pb2.ASSESSMENT_KNOWN_DIRECTLY
    )
)


@dataclass
class TickingClock:
    """Moves one millisecond with each look."""

    now: int = 1_800_000_000_000_000

    def now_us(self) -> int:
        self.now += 1000
        return self.now

    def monotonic_us(self) -> int:
        return self.now


def marks(classification: str = "OFFICIAL", **changes: Any) -> marks_pb2.Marks:
    """Marks that are complete: handling code P."""
    return marks_pb2.Marks(
        classification=marks_pb2.Classification.Value(f"CLASSIFICATION_{classification}"),
        handling_code=marks_pb2.HANDLING_CODE_P,
        **changes,
    )


def report(title: str = "a title", **changes: Any) -> report_pb2.Report:
    """A report as it is submitted, with marks on its head."""
    made = report_pb2.Report(title=title, **changes)
    if not made.header.HasField("marks"):
        made.header.marks.CopyFrom(marks())
    return made


def line(key: str, information: str, **changes: Any) -> report_pb2.ReportLine:
    return report_pb2.ReportLine(key=key, information=information, grading=GRADING, **changes)


def person(key: str, name: str, *aliases: str, **changes: Any) -> entity_pb2.Entity:
    return entity_pb2.Entity(key=key, person=entity_pb2.Person(name=name, aliases=aliases), **changes)


def link(key: str, from_key: str, to_key: str, **changes: Any) -> entity_pb2.Link:
    return entity_pb2.Link(
        key=key, from_key=from_key, to_key=to_key, type=entity_pb2.LINK_TYPE_ASSOCIATES_WITH, **changes
    )


def open_store(path: Path) -> Store:
    """A store with two agencies that have an agreement."""
    store = Store.open(path, TickingClock())
    store.load_directory(AGENCIES, AGREEMENTS)
    return store


@dataclass
class Desk:
    """One agency at work: calls the handlers with a fresh grant of everything, unless it is given another."""

    store: Store
    caller: Caller = field(default_factory=a_caller)
    cursors: Cursors = field(default_factory=lambda: Cursors(bytes(32)))

    def __post_init__(self) -> None:
        self.handlers = ReportHandlers(self.store, self.cursors, TickingClock(), "broker.example")

    def call(self, request: Any, grant: Grant | None = None) -> Call:
        return a_call(request, grant or grant_all(self.store), caller=self.caller)

    async def submit(
        self, sent: report_pb2.Report, grant: Grant | None = None, key: str = ""
    ) -> report_service_pb2.SubmitReportResponse:
        request = report_service_pb2.SubmitReportRequest(idempotency_key=key or str(uuid.uuid4()), report=sent)
        answer = await self.handlers.submit_report(self.call(request, grant))
        return report_service_pb2.SubmitReportResponse.FromString(answer.envelope)

    async def amend(
        self, record_id: str, etag: str, paths: list[str], sent: report_pb2.Report, grant: Grant | None = None
    ) -> report_service_pb2.AmendReportResponse:
        request = report_service_pb2.AmendReportRequest(
            idempotency_key=str(uuid.uuid4()), record_id=record_id, etag=etag, report=sent
        )
        request.update_mask.paths.extend(paths)
        answer = await self.handlers.amend_report(self.call(request, grant))
        return report_service_pb2.AmendReportResponse.FromString(answer.envelope)

    async def retract(
        self, record_id: str, etag: str, reason: str = "wrong", grant: Grant | None = None
    ) -> report_service_pb2.RetractReportResponse:
        request = report_service_pb2.RetractReportRequest(
            idempotency_key=str(uuid.uuid4()), record_id=record_id, etag=etag, reason=reason
        )
        answer = await self.handlers.retract_report(self.call(request, grant))
        return report_service_pb2.RetractReportResponse.FromString(answer.envelope)

    def get(self, record_id: str, version: int | None = None, grant: Grant | None = None) -> Answer:
        request = report_service_pb2.GetReportRequest(record_id=record_id, version=version)
        return self.handlers.get_report(self.call(request, grant))

    def read(self, record_id: str, version: int | None = None, grant: Grant | None = None) -> report_pb2.Report:
        """The stored payload behind a Get."""
        (item,) = self.get(record_id, version, grant).items
        return report_pb2.Report.FromString(item.payload)

    def search(self, grant: Grant | None = None, **conditions: Any) -> list[str]:
        """The ids on the first page."""
        return [item.record_id for item in self.search_answer(grant, **conditions).items]

    def search_answer(self, grant: Grant | None = None, **conditions: Any) -> Answer:
        request = report_service_pb2.SearchReportsRequest(**conditions)
        return self.handlers.search_reports(self.call(request, grant))

    def versions(self, record_id: str, grant: Grant | None = None) -> Answer:
        request = report_service_pb2.ListReportVersionsRequest(record_id=record_id)
        return self.handlers.list_report_versions(self.call(request, grant))
