"""Following changes: batches of what the caller may see, with a cursor that resumes.

Guarantees: each batch is read with the grant of its own call; the position moves only when a batch is returned, so
that one that was refused or cut off is read again; hidden changes neither wake the client nor show in cursors or in
`up_to_date`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from broker.domain.answer import Answer, Call, StoredItem
from broker.domain.errors import RequestError
from broker.domain.grant import StaleGrantError
from broker.handle.cursor import Cursors, query_digest
from broker.handle.report.size import fitting
from broker.store.records import StoredVersion
from broker.store.store import Store
from entente.report.v1 import report_pb2, report_service_pb2

# With its receipt, a batch stays under the wire's 256 KiB; only a single large report goes above it.
BATCH_BYTES = 200_000
BATCH_CHANGES = 64
# The bell rings at this process's commits, and within a look of the watch at every other's. Look anyway this often.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """An answer, and the cursor in it: acknowledging it acknowledges the batch."""

    answer: Answer
    cursor: str


class Subscription:
    """One client's place in the feed. Driven by one task."""

    def __init__(self, store: Store, cursors: Cursors, call: Call, start: report_service_pb2.SubscribeStart) -> None:
        self._store, self._cursors = store, cursors
        self._originator = start.originator if start.HasField("originator") else None
        self._query = query_digest(report_service_pb2.SubscribeStart(originator=self._originator))
        self._greeted = False
        self._after = self._start(call, start)

    def _start(self, call: Call, start: report_service_pb2.SubscribeStart) -> int:
        if start.HasField("cursor"):
            if start.from_now:
                raise RequestError(
                    "REQUEST_INVALID",
                    "start from a cursor or from now, not both",
                    fields=(("start.from_now", "goes without a cursor"),),
                )
            return self._cursors.open_number(call, self._query, start.cursor)
        return self._store.newest_change() if start.from_now else 0

    async def next_batch(self, call: Call, seconds: float) -> Batch | None:
        """The next batch, or None when nothing came within `seconds`. The first one comes at once, empty or not.

        Raises:
            StaleGrantError: decide again, and call again with the new grant.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            # Listen before looking: a change in between is then seen, or wakes.
            change = self._store.change_signal()
            try:
                batch = await self._look(call)
                left = deadline - loop.time()
                if batch is not None or left <= 0:
                    return batch
                await asyncio.wait((change,), timeout=min(left, LOOK_SECONDS))
            finally:
                change.cancel()

    async def _look(self, call: Call) -> Batch | None:
        """A batch of what is there, or None when the client knows already that there is nothing."""
        if self._store.clock.now_us() >= call.grant.valid_until_us:
            # It ended while the change was waited for.
            raise StaleGrantError
        found: list[StoredVersion] = []
        upto, end = self._after, False
        while not end and len(found) <= BATCH_CHANGES:
            scanned = self._store.changes(
                call.grant,
                upto,
                BATCH_CHANGES + 1 - len(found),
                agency=str(call.caller.agency),
                originator=self._originator,
            )
            found += scanned.found
            upto, end = scanned.upto, scanned.end
            if not end:
                await asyncio.sleep(0)
        if not found and self._greeted:
            # All of it is hidden: the place moves on, and nobody is told.
            self._after = upto
            return None
        return self._batch(call, found, upto)

    def _batch(self, call: Call, found: list[StoredVersion], upto: int) -> Batch:
        items = [_item(one) for one in found[:BATCH_CHANGES]]
        fit = fitting(items, call.grant, BATCH_BYTES)
        up_to_date = fit == len(found)
        self._after = upto if up_to_date else found[fit - 1].seq
        self._greeted = up_to_date
        cursor = self._cursors.seal_number(call, self._query, self._after)
        envelope = report_service_pb2.SubscribeReportsResponse(cursor=cursor, up_to_date=up_to_date)
        return Batch(Answer(envelope.SerializeToString(), tuple(items[:fit])), cursor)


def _item(found: StoredVersion) -> StoredItem:
    kind = report_pb2.ChangeKind.Value(f"CHANGE_KIND_{found.kind}")
    return found.item(report_service_pb2.ReportChange(kind=kind).SerializeToString())
