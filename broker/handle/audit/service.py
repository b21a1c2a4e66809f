"""AuditService: entries of the ledger within the reader's scope, and the proofs that they are there.

Scope: an inspector sees every entry. An auditor sees the entries of its own agency's calls, and those about its own
agency's records; asked about a record of another agency, or for a case reference, only what its own agency did.
A silent hit is one of the things that are done with a record: told to the auditors of the record's originator and to
inspectors, never to the auditors of the agency that looked.
Checkpoint and proofs are everybody's: they tell sizes and hashes, and no entry.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from broker.audit.reader import AuditItem, AuditPage, AuditQuery, AuditReader, Log
from broker.domain.answer import Answer, Call
from broker.domain.errors import RequestError
from broker.handle.cursor import Cursors, query_digest
from broker.handle.inspection import inspects
from broker.handle.times import microseconds, timestamp
from broker.store.store import Store
from entente.audit.v1 import audit_pb2, audit_service_pb2
from entente.common.v1 import exchange_pb2

DEFAULT_PAGE = 100
# Conditions that the request and the reader's query call alike.
_ALIKE = ("agency", "user", "type", "outcome", "reason", "exchange_id", "record_id", "case_reference")

PageRequest = audit_service_pb2.SearchAuditEntriesRequest | audit_service_pb2.GetRecordHistoryRequest


class AuditHandlers:
    """The handlers, named after their methods."""

    def __init__(self, reader: AuditReader, cursors: Cursors, store: Store) -> None:
        self._reader, self._cursors, self._store = reader, cursors, store

    async def search_audit_entries(self, call: Call) -> Answer:
        """A page of entries, newest first."""
        request = cast(audit_service_pb2.SearchAuditEntriesRequest, call.request)
        query = self._scoped(call, _query(request))
        page = await self._page(call, request, query, newest_first=True)
        response = audit_service_pb2.SearchAuditEntriesResponse(
            entries=await self._entries(call, page),
            next_page_token=self._token(call, request, page),
            ledger_size=page.sizes[0][1],
            log_sizes=map(_log_size, page.sizes),
        )
        return Answer(response.SerializeToString())

    async def get_record_history(self, call: Call) -> Answer:
        """Who touched a record: a page of entries, oldest first."""
        request = cast(audit_service_pb2.GetRecordHistoryRequest, call.request)
        query = self._scoped(call, AuditQuery(scope=None, record_id=request.record_id))
        page = await self._page(call, request, query, newest_first=False)
        response = audit_service_pb2.GetRecordHistoryResponse(
            entries=await self._entries(call, page),
            next_page_token=self._token(call, request, page),
            ledger_size=page.sizes[0][1],
            log_sizes=map(_log_size, page.sizes),
        )
        return Answer(response.SerializeToString())

    async def get_checkpoint(self, call: Call) -> Answer:
        """The newest signed checkpoint of a log. Raises REQUEST_INVALID for a log that this broker does not have."""
        request = cast(audit_service_pb2.GetCheckpointRequest, call.request)
        _, _, checkpoint = await self._head(request.log)
        response = audit_service_pb2.GetCheckpointResponse(checkpoint=checkpoint.decode())
        return Answer(response.SerializeToString())

    async def get_inclusion_proof(self, call: Call) -> Answer:
        """Proofs under the newest checkpoint. Raises REQUEST_INVALID for an index, a size or a log that it does not
        have."""
        request = cast(audit_service_pb2.GetInclusionProofRequest, call.request)
        log, size, checkpoint = await self._head(request.log)
        if request.index >= size:
            raise _beyond("index", "the log has no such entry yet")
        old = request.consistent_with_size
        if old > size:
            raise _beyond("consistent_with_size", "the log has not grown to this size yet")
        inclusion, consistency = await self._reader.proofs(log, request.index, old, size)
        response = audit_service_pb2.GetInclusionProofResponse(
            inclusion=inclusion, consistency=consistency, checkpoint=checkpoint.decode()
        )
        return Answer(response.SerializeToString())

    async def _head(self, name: str) -> tuple[Log, int, bytes]:
        found = await self._reader.head(name)
        if found is None:
            raise _beyond("log", "this broker has no such log, or nothing of it is published yet")
        return found

    def _scoped(self, call: Call, query: AuditQuery) -> AuditQuery | None:
        """The query within the caller's scope; None where nothing of it lies within."""
        own = str(call.caller.agency)
        # Whoever was dismissed a moment ago is decided on again, not served from a former grant.
        self._store.require_current(call.grant)
        if inspects(self._store, call):
            return replace(query, with_hits=True)
        foreign = query.record_id is not None and self._store.owner(query.record_id) != own
        # Another agency's case reference is sealed: a hit would confirm a guess at it.
        if not foreign and query.case_reference is None:
            return replace(query, scope=(own,), with_hits=True)
        return replace(query, scope=(own,), agency=own) if query.agency in (None, own) else None

    async def _entries(self, call: Call, page: AuditPage) -> list[audit_pb2.AuditEntry]:
        """The page's entries, with the silent hits that the reader may know of."""
        everything, own = inspects(self._store, call), str(call.caller.agency)
        return [
            _entry(item, [hit.record_id for hit in hits if everything or hit.originator == own])
            for item, hits in zip(page.items, await self._reader.hits(page.items), strict=True)
        ]

    async def _page(
        self, call: Call, request: PageRequest, query: AuditQuery | None, *, newest_first: bool
    ) -> AuditPage:
        cursor = None
        if request.page_token:
            cursor = self._cursors.open(call, query_digest(request), request.page_token)
        if query is None:
            return AuditPage((), None, await self._reader.sizes())
        return await self._reader.search(
            query, cursor=cursor, limit=request.page_size or DEFAULT_PAGE, newest_first=newest_first
        )

    def _token(self, call: Call, request: PageRequest, page: AuditPage) -> str | None:
        if page.next_cursor is None:
            return None
        return self._cursors.seal(call, query_digest(request), page.next_cursor)


def _query(request: audit_service_pb2.SearchAuditEntriesRequest) -> AuditQuery:
    conditions = {name: getattr(request, name) for name in _ALIKE if request.HasField(name)}  # type: ignore[arg-type]
    if request.HasField("method"):
        conditions["method"] = f"/{request.method.removeprefix('/')}"
    if request.HasField("purpose"):
        conditions["purpose"] = exchange_pb2.Purpose.Name(request.purpose).removeprefix("PURPOSE_")
    return AuditQuery(
        scope=None,
        start_us=microseconds(request.start_time) if request.HasField("start_time") else None,
        end_us=microseconds(request.end_time) if request.HasField("end_time") else None,
        **conditions,
    )


def _entry(item: AuditItem, silent_hits: list[str]) -> audit_pb2.AuditEntry:
    row, leaf = item.row, item.parsed()
    return audit_pb2.AuditEntry(
        index=row.index,
        log=item.log,
        leaf=item.leaf,
        time=timestamp(row.time_us),
        type=row.type,
        phase=row.phase,
        exchange_id=row.exchange_id,
        method=row.method.removeprefix("/"),
        agency=row.agency or None,
        user=row.user or None,
        purpose=dict(exchange_pb2.Purpose.items()).get(f"PURPOSE_{row.purpose}"),
        outcome=row.outcome,
        reason=row.reason or None,
        disclosures=map(_disclosure, leaf.get("disclosures", ())),
        silent_hits=silent_hits,
    )


def _disclosure(group: dict[str, Any]) -> audit_pb2.AuditDisclosure:
    return audit_pb2.AuditDisclosure(
        level=group["level"],
        records=len(group["records"]),
        # Absent where the leaf only commits to them.
        released=group.get("released", ()),
        withheld=[audit_pb2.AuditWithheld(path=one[0], rule=one[2]) for one in group.get("withheld", ())],
    )


def _log_size(covered: tuple[str, int]) -> audit_service_pb2.LogSize:
    return audit_service_pb2.LogSize(log=covered[0], size=covered[1])


def _beyond(field: str, why: str) -> RequestError:
    return RequestError("REQUEST_INVALID", f"{field}: {why}", fields=((field, why),))
