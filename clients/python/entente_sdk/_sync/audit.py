# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""For auditors: who saw what, with proof."""

from __future__ import annotations

from entente.audit.v1 import audit_pb2
from entente.audit.v1 import audit_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk._sync.pages import Pages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification
from entente_sdk.queries import AuditQuery


class Audit:
    """`entente.audit.v1.AuditService`. Reading the audit log is itself on the log."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def search(
        self,
        query: AuditQuery | None = None,
        *,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Pages[wire.SearchAuditEntriesResponse, audit_pb2.AuditEntry]:
        """Entries that fit every condition, newest first."""
        request = (query or AuditQuery()).to_request()
        request.justification.CopyFrom(self._calls.justification(justification).to_message())
        if page_size is not None:
            request.page_size = page_size

        def fetch(token: str) -> Answer[wire.SearchAuditEntriesResponse]:
            if token:
                request.page_token = token
            else:
                request.ClearField("page_token")
            return self._calls.unary(_methods.SEARCH_AUDIT, request, seconds)

        return Pages(fetch, lambda page: page.entries)

    def record_history(
        self,
        record_id: str,
        *,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Pages[wire.GetRecordHistoryResponse, audit_pb2.AuditEntry]:
        """Who saw this record: every exchange that touched it, oldest first."""
        why = self._calls.justification(justification).to_message()

        def fetch(token: str) -> Answer[wire.GetRecordHistoryResponse]:
            request = wire.GetRecordHistoryRequest(
                justification=why, record_id=record_id, page_size=page_size, page_token=token or None
            )
            return self._calls.unary(_methods.RECORD_HISTORY, request, seconds)

        return Pages(fetch, lambda page: page.entries)

    def checkpoint(
        self, log: str | None = None, *, seconds: float | None = None
    ) -> Answer[wire.GetCheckpointResponse]:
        """A log's latest signed checkpoint: of this origin, or of the worker that answers. Needs no justification."""
        return self._calls.unary(_methods.CHECKPOINT, wire.GetCheckpointRequest(log=log), seconds)

    def inclusion_proof(
        self,
        index: int,
        *,
        log: str | None = None,
        consistent_with_size: int | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.GetInclusionProofResponse]:
        """That an entry is in its log, and that the log extends an earlier size. Needs no justification."""
        request = wire.GetInclusionProofRequest(index=index, log=log, consistent_with_size=consistent_with_size)
        return self._calls.unary(_methods.INCLUSION_PROOF, request, seconds)
