"""ReportService: each method from its request to stored items. The release stage makes the response of them."""

from __future__ import annotations

from typing import cast

from broker.domain.answer import Answer, Call, StoredItem
from broker.domain.clock import Clock
from broker.domain.errors import HiddenError
from broker.domain.hit import ID_ROOM, SEARCH_ROOM, Looks
from broker.handle.cursor import Cursors, query_digest
from broker.handle.report.places import opened, place_after
from broker.handle.report.query import conditions
from broker.handle.report.refusals import not_found
from broker.handle.report.size import fitting
from broker.handle.report.subscription import Subscription
from broker.handle.report.translate import RECORD_TYPE
from broker.handle.report.writing import Writing
from broker.store.beside import Place
from broker.store.records import LARGEST, StoredVersion
from broker.store.store import Store
from entente.report.v1 import report_pb2, report_service_pb2

DEFAULT_PAGE = 100
# A page is cut where it would come near the 4 MiB that clients take.
PAGE_BYTES = 3_500_000


class ReportHandlers:
    """The handlers, named after their methods."""

    def __init__(self, store: Store, cursors: Cursors, clock: Clock, home_broker: str) -> None:
        self._store, self._cursors = store, cursors
        self._writing = Writing(store, clock, home_broker)

    def get_report(self, call: Call) -> Answer:
        """One report, or a version of it, or a pointer. Raises HiddenError where hidden or missing."""
        request = cast(report_service_pb2.GetReportRequest, call.request)
        found = self._store.find(
            call.grant,
            request.record_id,
            request.version if request.HasField("version") else None,
            agency=str(call.caller.agency),
        )
        if found is None or found.record_type != RECORD_TYPE:
            raise self._unseen(call, request.record_id)
        return Answer(items=(self._item(found),), looks=Looks(ID_ROOM))

    def search_reports(self, call: Call) -> Answer:
        """A page of reports, newest first; after the last of them pointers, where the search may find some."""
        request = cast(report_service_pb2.SearchReportsRequest, call.request)
        query = query_digest(request)
        place = opened(self._cursors.open(call, query, request.page_token)) if request.page_token else Place()
        wanted = conditions(call, request)
        if wanted is None:
            return Answer(looks=Looks(SEARCH_ROOM))
        size = request.page_size or DEFAULT_PAGE
        found = self._store.search(call.grant, wanted, place, size + 1, agency=str(call.caller.agency))
        items = [self._item(one) for one in found.versions[:size]]
        fit = fitting(items, call.grant, PAGE_BYTES)
        more = fit < len(found.versions)
        token = self._cursors.seal(call, query, place_after(found.versions[fit - 1])) if more else None
        envelope = report_service_pb2.SearchReportsResponse(next_page_token=token)
        return Answer(envelope.SerializeToString(), tuple(items[:fit]), looks=Looks(SEARCH_ROOM, found.hits))

    def list_report_versions(self, call: Call) -> Answer:
        """A page of a report's versions, newest first. Raises HiddenError where hidden or missing."""
        request = cast(report_service_pb2.ListReportVersionsRequest, call.request)
        query = query_digest(request)
        below = self._cursors.open_number(call, query, request.page_token) if request.page_token else LARGEST
        size = request.page_size or DEFAULT_PAGE
        found = self._store.history(call.grant, request.record_id, below, size + 1, agency=str(call.caller.agency))
        if found is None or any(one.record_type != RECORD_TYPE for one in found):
            raise self._unseen(call, request.record_id)
        items: list[StoredItem] = []
        for one in found[:size]:
            kind = report_pb2.ChangeKind.Value(f"CHANGE_KIND_{one.kind}")
            items.append(one.item(report_service_pb2.ReportVersion(kind=kind).SerializeToString()))
        fit = fitting(items, call.grant, PAGE_BYTES)
        token = self._cursors.seal_number(call, query, found[fit - 1].version) if fit < len(found) else None
        envelope = report_service_pb2.ListReportVersionsResponse(next_page_token=token)
        return Answer(envelope.SerializeToString(), tuple(items[:fit]), looks=Looks(ID_ROOM))

    def _item(self, found: StoredVersion) -> StoredItem:
        """What goes to the release stage: of a pointer with its originator's contact, which the directory shows too."""
        originator = self._store.agency(found.originator) if found.as_pointer else None
        return found.item(contact="" if originator is None else originator.contact)

    def _unseen(self, call: Call, record_id: str) -> HiddenError:
        """The refusal of a read by id, in the same steps whether somebody is told of it or not."""
        hit = self._store.silent_holder(call.grant, record_id, agency=str(call.caller.agency))
        return not_found(Looks(ID_ROOM, () if hit is None else (hit,)))

    async def submit_report(self, call: Call) -> Answer:
        """Take a report in."""
        return await self._writing.submit(call, cast(report_service_pb2.SubmitReportRequest, call.request))

    async def amend_report(self, call: Call) -> Answer:
        """Change a report."""
        return await self._writing.amend(call, cast(report_service_pb2.AmendReportRequest, call.request))

    async def retract_report(self, call: Call) -> Answer:
        """Withdraw a report."""
        return await self._writing.retract(call, cast(report_service_pb2.RetractReportRequest, call.request))

    def open_subscription(self, call: Call, start: report_service_pb2.SubscribeStart) -> Subscription:
        """Open a subscription at its start. Raises RequestError CURSOR_INVALID or REQUEST_INVALID."""
        return Subscription(self._store, self._cursors, call, start)
