"""Who looked for what one's own agency holds silently. Whoever looked was told that there is nothing."""

from __future__ import annotations

from datetime import datetime

from entente.report.v1 import hit_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._async.calls import AsyncCalls
from entente_sdk._async.pages import AsyncPages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification
from entente_sdk.queries import timestamp


class AsyncHits:
    """`entente.report.v1.HitService`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    def list(
        self,
        *,
        record_id: str | None = None,
        since: datetime | None = None,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> AsyncPages[wire.ListHitsResponse, wire.Hit]:
        """Silent hits on one's own agency's reports that one may see oneself, newest first.

        Args:
            record_id: only on this report (32 hexadecimal digits).
            since: only looks at or after this time; it needs a time zone.
            page_size: 1 to 1000; absent: 100.
            justification: in place of the profile's.
            seconds: the deadline of each page.

        Raises ConfigurationError for a time without a zone, DecisionError where the caller may not read reports. The
        looks that another worker of the broker served come about a second later.
        """
        why = self._calls.justification(justification).to_message()
        start = timestamp(since)

        async def fetch(token: str) -> Answer[wire.ListHitsResponse]:
            request = wire.ListHitsRequest(
                justification=why,
                record_id=record_id,
                start_time=start,
                page_size=page_size,
                page_token=token or None,
            )
            return await self._calls.unary(_methods.LIST_HITS, request, seconds)

        return AsyncPages(fetch, lambda page: page.hits)
