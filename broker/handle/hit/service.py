"""HitService: who looked for what the caller's agency holds silently.

MUSTs:
1. A hit is told to people of the record's originator alone, and of them to those whose grant shows the record now: for
   everybody else it is not there, and leaves no gap in a page.
2. It says which records, when, which agency, for which purpose, and what to quote; never what was asked, nor by whom.
3. It is read from the logs of all workers, each as far as it was durable (of another worker: published) at the call.

Bounded: a call reads at most `MOST_READ` looks. A page that ends there is short, and its token goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from broker.audit.reader import AuditItem, AuditQuery, AuditReader
from broker.domain.answer import Answer, Call
from broker.handle import names
from broker.handle.cursor import Cursors, query_digest
from broker.handle.times import microseconds, timestamp
from broker.store.store import Store
from entente.report.v1 import hit_service_pb2

DEFAULT_PAGE = 100
MOST_READ = 2_000
# Records looked at before other calls come in between: some 5 ms.
_AT_ONCE = 50


class HitHandlers:
    """The handlers, named after their methods."""

    def __init__(self, reader: AuditReader, cursors: Cursors, store: Store) -> None:
        self._reader, self._cursors, self._store = reader, cursors, store

    async def list_hits(self, call: Call) -> Answer:
        """A page of hits on the caller's agency's records, newest first."""
        request = cast(hit_service_pb2.ListHitsRequest, call.request)
        query = query_digest(request)
        place = self._cursors.open(call, query, request.page_token) if request.page_token else None
        hits, place = await self._page(call, request, place)
        token = None if place is None else self._cursors.seal(call, query, place)
        return Answer(hit_service_pb2.ListHitsResponse(hits=hits, next_page_token=token).SerializeToString())

    async def _page(
        self, call: Call, request: hit_service_pb2.ListHitsRequest, place: bytes | None
    ) -> tuple[list[hit_service_pb2.Hit], bytes | None]:
        """Hits from a place on, and the place after them; None at the end."""
        wanted = AuditQuery(
            scope=None,
            hits_of=str(call.caller.agency),
            start_us=microseconds(request.start_time) if request.HasField("start_time") else None,
            record_id=request.record_id if request.HasField("record_id") else None,
            with_hits=True,
        )
        size = request.page_size or DEFAULT_PAGE
        found: list[hit_service_pb2.Hit] = []
        read = 0
        while True:
            page = await self._reader.search(wanted, cursor=place, limit=size - len(found))
            found += await self._told(call, page.items, wanted.record_id)
            read += max(1, len(page.items))
            place = page.next_cursor
            if place is None or len(found) == size or read >= MOST_READ:
                return found, place

    async def _told(self, call: Call, looks: Sequence[AuditItem], record_id: str | None) -> list[hit_service_pb2.Hit]:
        """Those of these looks that hit something which the caller may see."""
        own = str(call.caller.agency)
        hit = [[one.record_id for one in hits if one.originator == own] for hits in await self._reader.hits(looks)]
        wanted = {one for ids in hit for one in ids if record_id in (None, one)}
        shown = set()
        for number, one in enumerate(sorted(wanted), 1):
            if self._shows(call, one, own):
                shown.add(one)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return [
            self._hit(look, seen)
            for look, ids in zip(looks, hit, strict=True)
            if (seen := [one for one in ids if one in shown])
        ]

    def _shows(self, call: Call, record_id: str, own: str) -> bool:
        """Whether the caller sees this record, as its originator's officer."""
        found = self._store.find(call.grant, record_id, agency=own)
        return found is not None and found.originator == own and not found.as_pointer

    def _hit(self, look: AuditItem, record_ids: list[str]) -> hit_service_pb2.Hit:
        agency = self._store.agency(look.row.agency)
        return hit_service_pb2.Hit(
            record_ids=record_ids,
            look_time=timestamp(look.row.time_us),
            agency=look.row.agency,
            purpose=names.purpose(look.row.purpose) or None,
            exchange_id=look.row.exchange_id,
            contact=(agency.contact if agency is not None else "") or None,
        )
