# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""Share intelligence reports: submit, read, search, amend, retract, follow.

Each write carries one idempotency key for its logical call, also when attempts are repeated. Pass your own to make
a call repeatable after a crash of your program.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk._sync.export import export_reports
from entente_sdk._sync.pages import Pages
from entente_sdk._sync.subscription import Subscription
from entente_sdk.answers import Answer
from entente_sdk.export import Exported
from entente_sdk.justification import Justification
from entente_sdk.queries import ReportQuery


class Reports:
    """`entente.report.v1.ReportService`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def submit(
        self,
        report: report_pb2.Report,
        *,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.SubmitReportResponse]:
        """Share a report; its restriction is part of the call. Raises AlreadyExistsError, RequestError."""
        request = wire.SubmitReportRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            report=report,
        )
        return self._calls.unary(_methods.SUBMIT, request, seconds)

    def get(
        self,
        record_id: str,
        *,
        version: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.GetReportResponse]:
        """One report, or an earlier version of it. Raises NotFoundError: missing and hidden are one answer."""
        request = wire.GetReportRequest(
            justification=self._calls.justification(justification).to_message(), record_id=record_id, version=version
        )
        return self._calls.unary(_methods.GET, request, seconds)

    def search(
        self,
        query: ReportQuery | None = None,
        *,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Pages[wire.SearchReportsResponse, report_pb2.DisclosedReport]:
        """Reports that fit every condition, newest first. A condition on a hidden field matches nothing."""
        request = (query or ReportQuery()).to_request()
        request.justification.CopyFrom(self._calls.justification(justification).to_message())
        if page_size is not None:
            request.page_size = page_size

        def fetch(token: str) -> Answer[wire.SearchReportsResponse]:
            if token:
                request.page_token = token
            else:
                request.ClearField("page_token")
            return self._calls.unary(_methods.SEARCH, request, seconds)

        return Pages(fetch, lambda page: page.reports)

    def export(
        self,
        path: Path,
        query: ReportQuery | None = None,
        *,
        page_size: int | None = None,
        resume: bool = False,
        justification: Justification | None = None,
    ) -> Exported:
        """All reports that fit every condition into a new file: JSON lines with each page's receipt (`export.file`).

        The file stands under its name when it is whole. What was cut off is gone on with by `resume`, with the same
        conditions. `entente receipt verify` checks it later, offline. Raises ConfigurationError.
        """
        return export_reports(
            self._calls, path, query, page_size=page_size, resume=resume, justification=justification
        )

    def amend(
        self,
        record_id: str,
        report: report_pb2.Report,
        *,
        etag: str,
        paths: Sequence[str],
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.AmendReportResponse]:
        """Change the fields that `paths` name; the others stay. Raises ConflictError when the etag is stale."""
        request = wire.AmendReportRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            record_id=record_id,
            etag=etag,
            update_mask=FieldMask(paths=paths),
            report=report,
        )
        return self._calls.unary(_methods.AMEND, request, seconds)

    def retract(
        self,
        record_id: str,
        *,
        etag: str,
        reason: str,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.RetractReportResponse]:
        """Withdraw a report; `reason` is for those who relied on it. Raises ConflictError when the etag is stale."""
        request = wire.RetractReportRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            record_id=record_id,
            etag=etag,
            reason=reason,
        )
        return self._calls.unary(_methods.RETRACT, request, seconds)

    def list_versions(
        self,
        record_id: str,
        *,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Pages[wire.ListReportVersionsResponse, wire.ReportVersion]:
        """A report's versions, newest first, as far as the caller may see each."""
        why = self._calls.justification(justification).to_message()

        def fetch(token: str) -> Answer[wire.ListReportVersionsResponse]:
            request = wire.ListReportVersionsRequest(
                justification=why, record_id=record_id, page_size=page_size, page_token=token or None
            )
            return self._calls.unary(_methods.LIST_VERSIONS, request, seconds)

        return Pages(fetch, lambda page: page.versions)

    def subscribe(
        self,
        *,
        cursor: str | None = None,
        originator: str | None = None,
        from_now: bool = False,
        justification: Justification | None = None,
    ) -> Subscription:
        """Follow changes from a cursor, from the beginning, or from now. Acknowledge each batch within 5 s."""
        start = wire.SubscribeStart(
            justification=self._calls.justification(justification).to_message(),
            cursor=cursor,
            originator=originator,
            from_now=from_now or None,
        )
        return Subscription(self._calls, start)
