# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""Who would see what of a report, before it is submitted."""

from __future__ import annotations

from collections.abc import Sequence

from entente.common.v1 import exchange_pb2
from entente.report.v1 import audience_service_pb2 as wire
from entente.report.v1 import report_pb2
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk._sync.pages import Pages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class SyncAudience:
    """`entente.report.v1.AudienceService`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def preview(
        self,
        subject: report_pb2.Report | str,
        *,
        agencies: Sequence[str] = (),
        purposes: Sequence[str] = (),
        reader: wire.ReaderFacts | None = None,
        draft_agreement: str | None = None,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Pages[wire.PreviewAudienceResponse, wire.AudienceView]:
        """What readers of each agency and purpose would see of a draft, or of an own report (its id).

        `agencies` (`trust-domain/agency`) and `purposes` (such as `INVESTIGATION`): none stands for all.
        `draft_agreement`: as if this one of the own agency (a document, JWS in JSON serialization, signed or not yet)
        were in force. Nothing is stored. Raises RequestError where the draft would not be taken in, NotFoundError,
        ValueError for a purpose that there is not.
        """
        request = wire.PreviewAudienceRequest(
            justification=self._calls.justification(justification).to_message(),
            agencies=agencies,
            purposes=[exchange_pb2.Purpose.Value(f"PURPOSE_{one}") for one in purposes],
            reader=reader,
            draft_agreement=draft_agreement,
            page_size=page_size,
        )
        if isinstance(subject, str):
            request.record_id = subject
        else:
            request.report.CopyFrom(subject)

        def fetch(token: str) -> Answer[wire.PreviewAudienceResponse]:
            if token:
                request.page_token = token
            else:
                request.ClearField("page_token")
            return self._calls.unary(_methods.PREVIEW_AUDIENCE, request, seconds)

        return Pages(fetch, lambda page: page.views)
