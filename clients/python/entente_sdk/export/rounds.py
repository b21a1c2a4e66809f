"""Which page of an export comes next.

MUST: a report that is amended while the pages are read moves to their front, past the reader. What changed since the
export began is asked for again, until a round of it is of one moment; such a report is there once for each version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_sdk.export.page import Page, moment

# A write takes its time before it is committed: what changed so long before a round began is looked at again.
OVERLAP = timedelta(seconds=5)


@dataclass(slots=True)
class Progress:
    """How far the pages were read, and which one comes next.

    Pages are read in rounds: all, then what has changed since the round before began. A round of a single page is of
    one moment, so it is the last.
    """

    last: Page | None = None
    began: datetime | None = None
    rounds: int = 0
    # The versions that were changed since the present round began, or shortly before.
    recent: set[tuple[str, int]] = field(default_factory=set)
    done: bool = False

    def take(self, page: Page) -> bool:
        """Whether the page says something new: one that does not ends it all."""
        starts = not page.request.page_token
        # A round lists what has changed since the one before began.
        found = set(_versions(page.answer.reports, (self.began or page.time) - OVERLAP))
        if starts or self.began is None:
            self.began, self.rounds = page.time, self.rounds + 1
        news = self.rounds == 1 or not starts or bool(found - self.recent)
        self.recent = found if starts else self.recent | found
        self.done = not news or (starts and not page.answer.next_page_token)
        if news:
            self.last = page
        return news

    def next(self, first: wire.SearchReportsRequest) -> wire.SearchReportsRequest | None:
        """The request for the next page, without justification; None: everything is there."""
        request = wire.SearchReportsRequest()
        request.CopyFrom(first)
        if self.done:
            return None
        if self.last is None or self.began is None:
            return request
        if self.last.answer.next_page_token:
            request.CopyFrom(self.last.request)
            request.page_token = self.last.answer.next_page_token
            return request
        since = self.began - OVERLAP
        if request.HasField("updated_before") and moment(request.updated_before) <= since:
            return None
        if not request.HasField("updated_after") or moment(request.updated_after) < since:
            request.updated_after.FromDatetime(since)
        return request


def _versions(reports: Iterable[report_pb2.DisclosedReport], since: datetime) -> Iterator[tuple[str, int]]:
    for one in reports:
        header = one.report.header
        if header.HasField("update_time") and moment(header.update_time) >= since:
            yield header.record_id, header.version
