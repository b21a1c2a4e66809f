"""Reading the logs: what handlers may use of the audit stage.

Finds by the projections, answers with the logs' own bytes. Every search first waits until each projection holds all
that was durable (of another worker's log: published) when it began, so that an answer says of which sizes it is true.

Each worker writes a log of its own, and there is no order among logs: a page merges them by the time of their entries,
and within each log follows its index, so that paging loses and repeats nothing however the clocks went.

Does not decide who may read: `scope` is the caller's to set from the grant. Reading is recorded by the pipeline, like
any exchange.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any, Protocol

import orjson

from broker.audit.hits import hits_in
from broker.audit.log import Ledger
from broker.audit.projection import Projection, case_blind, open_detail, record_blind
from broker.audit.published import PublishedLog
from broker.audit.seal import SealError, SealKeys
from broker.domain.hit import SilentHit
from broker.domain.simulated import RecordedDecision
from broker.store.audit_index import AuditIndex
from broker.store.audit_rows import DecisionRow, EntryRow, IndexQuery

# A page is cut where it would come near the 4 MiB that clients take: a leaf may have 64 KiB.
PAGE_BYTES = 3_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Conditions that must all hold; None is no condition.

    `scope`: entries by one of these agencies (`trust-domain/agency`), or about their records; None sees all, ()
    nothing. Times in microseconds since the epoch, start inclusive, end exclusive. `hits_of`: entries that hit this
    agency's records silently. `record_id` finds the entries that hit it silently too where `with_hits` says so: never
    for the agency that looked.
    """

    scope: tuple[str, ...] | None
    start_us: int | None = None
    end_us: int | None = None
    agency: str | None = None
    user: str | None = None
    method: str | None = None
    type: str | None = None
    outcome: str | None = None
    purpose: str | None = None
    reason: str | None = None
    exchange_id: str | None = None
    record_id: str | None = None
    case_reference: str | None = None
    hits_of: str | None = None
    with_hits: bool = False


@dataclass(frozen=True, slots=True)
class AuditItem:
    """An entry that was found: the log that it is in, its columns, and its exact bytes."""

    log: str
    row: EntryRow
    leaf: bytes

    @property
    def index(self) -> int:
        return self.row.index

    def parsed(self) -> dict[str, Any]:
        """The leaf's content."""
        content: dict[str, Any] = orjson.loads(self.leaf)
        return content


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page. `next_cursor` None: the last one. `sizes`: (log, size that the search covered), this worker's first."""

    items: tuple[AuditItem, ...]
    next_cursor: bytes | None
    sizes: tuple[tuple[str, int], ...]


class Log(Protocol):
    """A log that can be searched and proven: this worker's own, or another's as it is published."""

    @property
    def origin(self) -> str: ...
    @property
    def index(self) -> AuditIndex: ...
    def leaf(self, index: int) -> bytes: ...
    def sealed(self, index: int) -> bytes: ...
    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]: ...
    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]: ...


@dataclass(frozen=True, slots=True)
class OwnLog:
    """The log that this worker writes."""

    ledger: Ledger
    index: AuditIndex

    @property
    def origin(self) -> str:
        return self.ledger.origin

    def leaf(self, index: int) -> bytes:
        return self.ledger.entry(index)

    def sealed(self, index: int) -> bytes:
        return self.ledger.sealed(index)

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        return self.ledger.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        return self.ledger.consistency_proof(old, new)


class AuditReader:
    """Searches, histories, proofs. `others` names the logs of this broker's other workers, as of now."""

    def __init__(
        self,
        ledger: Ledger,
        projection: Projection,
        index: AuditIndex,
        keys: SealKeys,
        others: Callable[[], Sequence[PublishedLog]] = tuple,
    ) -> None:
        self._ledger, self._projection, self._keys = ledger, projection, keys
        self._own = OwnLog(ledger, index)
        self._others = others

    async def search(
        self, query: AuditQuery, *, cursor: bytes | None = None, limit: int = 100, newest_first: bool = True
    ) -> AuditPage:
        """Entries that match, a page at a time. Raises UnavailableError when an index cannot catch up, ValueError for
        a cursor that is none."""
        sizes = await self._sizes()
        wanted = _Page(self._blinded(query), limit, newest_first, _places(cursor))
        return await self._projection.run(lambda: wanted.read(sizes))

    async def record_history(
        self, record_id: str, *, scope: tuple[str, ...] | None, cursor: bytes | None = None, limit: int = 100
    ) -> AuditPage:
        """Who saw or changed this record, oldest first."""
        query = AuditQuery(scope=scope, record_id=record_id)
        return await self.search(query, cursor=cursor, limit=limit, newest_first=False)

    def detail(self, index: int) -> dict[str, Any]:
        """The sealed detail of an entry of this worker's log. Raises IndexError or SealError (altered, or its key was
        destroyed)."""
        leaf, sealed = next(self._ledger.pairs(index, index + 1))
        return open_detail(self._keys, orjson.loads(leaf), sealed)

    async def opened(self, item: AuditItem) -> dict[str, Any]:
        """The sealed detail of an entry that was found, in whichever log; empty where it does not open: its key was
        destroyed, or it was altered."""
        logs: tuple[Log, ...] = (self._own, *self._others())
        log = next((log for log in logs if log.origin == item.log), None)
        if log is None:
            return {}
        return await self._projection.run(lambda: _opened(self._keys, log, item))

    async def hits(self, items: Sequence[AuditItem]) -> list[tuple[SilentHit, ...]]:
        """What each of these entries hit silently, newest record first. Not for the agency that looked."""
        every: tuple[Log, ...] = (self._own, *self._others())
        logs = {log.origin: log for log in every}

        def read() -> list[tuple[SilentHit, ...]]:
            hitting = {
                (origin, index)
                for origin, log in logs.items()
                for index in log.index.hitting([item.index for item in items if item.log == origin])
            }
            return [
                hits_in(_opened(self._keys, logs[item.log], item)) if (item.log, item.index) in hitting else ()
                for item in items
            ]

        return await self._projection.run(read)

    async def decisions(self, since_us: int, most: int) -> list[tuple[RecordedDecision, int]]:
        """(equal decisions, when the last of them was taken) since a time, over all logs: at most so many distinct
        ones, the newest first. Raises UnavailableError when an index cannot catch up."""
        sizes = await self._sizes()
        return await self._projection.run(lambda: _decided(self._keys, [log for log, _ in sizes], since_us, most))

    async def open_releases(self, before_us: int) -> list[str]:
        """Exchanges of this worker without an outcome that began before a time: to be closed as `indeterminate`."""
        await self._projection.caught_up(len(self._ledger))
        return await self._projection.run(lambda: self._own.index.open_releases(before_us))

    def size(self) -> int:
        """Entries of this worker's log that are durable now."""
        return len(self._ledger)

    async def sizes(self) -> tuple[tuple[str, int], ...]:
        """(log, entries that a search would cover now), this worker's first."""
        return tuple((log.origin, size) for log, size in await self._sizes())

    async def head(self, log: str) -> tuple[Log, int, bytes] | None:
        """A log, its size and the signed checkpoint of that size; "" is this worker's. None: there is no such log."""
        if log in ("", self._own.origin):
            # Without an await in between, the checkpoint is of this size.
            return self._own, len(self._ledger), self._ledger.checkpoint
        for other in self._others():
            if other.origin == log:
                note, checkpoint = await self._projection.run(other.head)
                return None if checkpoint is None else (other, checkpoint.size, note)
        return None

    async def proofs(self, log: Log, index: int, old: int, size: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """(inclusion of an entry, consistency with an earlier size or nothing for 0). Raises ValueError."""

        def prove() -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
            return log.inclusion_proof(index, size), log.consistency_proof(old, size) if old else ()

        return prove() if log is self._own else await self._projection.run(prove)

    async def _sizes(self) -> list[tuple[Log, int]]:
        size = len(self._ledger)
        await self._projection.caught_up(size)
        others = [(other, await other.ready(self._projection.run)) for other in self._others()]
        return [(self._own, size), *others]

    def _blinded(self, query: AuditQuery) -> IndexQuery:
        return IndexQuery(
            record_blind=None if query.record_id is None else record_blind(self._keys, query.record_id),
            case_blind=None if query.case_reference is None else case_blind(self._keys, query.case_reference),
            **{name: getattr(query, name) for name in _SHARED},
        )


def _decided(keys: SealKeys, logs: list[Log], since_us: int, most: int) -> list[tuple[RecordedDecision, int]]:
    """Equal decisions of several logs are one; a log that another broker fed may hold fewer than it has."""
    found: dict[tuple[str, str, str, bool], tuple[Log, DecisionRow, int]] = {}
    for log in logs:
        for row in log.index.decisions(since_us, most):
            key = (row.input_hash, row.bundle, row.method, row.allowed)
            where, newest, count = found.get(key, (log, row, 0))
            later = (log, row) if row.time_us > newest.time_us else (where, newest)
            found[key] = (*later, count + row.count)
    rows = sorted(found.values(), key=lambda one: -one[1].time_us)[:most]
    return [(_recorded(keys, log, row, count), row.time_us) for log, row, count in rows]


def _recorded(keys: SealKeys, log: Log, row: DecisionRow, count: int) -> RecordedDecision:
    asked = b""
    with contextlib.suppress(SealError, IndexError, KeyError):
        leaf = orjson.loads(log.leaf(row.index))
        asked = open_detail(keys, leaf, log.sealed(row.index))["policy_input"].encode()
    # What is replayed is what the leaf's hash says, or nothing.
    if hashlib.sha256(asked).hexdigest() != row.input_hash:
        asked = b""
    return RecordedDecision(row.method, row.bundle, row.allowed, asked, count)


def _opened(keys: SealKeys, log: Log, item: AuditItem) -> dict[str, Any]:
    with contextlib.suppress(SealError, IndexError):
        return open_detail(keys, item.parsed(), log.sealed(item.index))
    return {}


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a search over all logs. Blocks."""

    query: IndexQuery
    limit: int
    newest_first: bool
    places: dict[bytes, int] | None

    def read(self, sizes: list[tuple[Log, int]]) -> AuditPage:
        """Merge the logs by time, each in the order of its index."""
        places = {_name(log.origin): self._place(log, size) for log, size in sizes}
        found = [self._rows(log, size, places[_name(log.origin)]) for log, size in sizes]
        merged = merge(*found, key=lambda one: one[1].time_us, reverse=self.newest_first)
        items: list[AuditItem] = []
        left, more = PAGE_BYTES, False
        for log, row in merged:
            leaf = log.leaf(row.index)
            # Beside its leaf an item repeats what the leaf says was disclosed.
            left -= 2 * len(leaf)
            if len(items) == self.limit or (items and left < 0):
                more = True
                break
            items.append(AuditItem(log.origin, row, leaf))
            places[_name(log.origin)] = row.index if self.newest_first else row.index + 1
        covered = tuple((log.origin, size) for log, size in sizes)
        return AuditPage(tuple(items), _cursor(places) if more else None, covered)

    def _place(self, log: Log, size: int) -> int:
        """Where to go on: below this index, or from it upwards. A log that is new since the first page adds nothing."""
        if self.places is None:
            return size if self.newest_first else 0
        return self.places.get(_name(log.origin), 0)

    def _rows(self, log: Log, size: int, place: int) -> list[tuple[Log, EntryRow]]:
        rows = log.index.search(
            self.query,
            cursor=place if self.newest_first else place - 1,
            limit=self.limit + 1,
            newest_first=self.newest_first,
            size=size,
        )
        return [(log, row) for row in rows]


_NAME_BYTES, _INDEX_BYTES = 8, 8


def _name(origin: str) -> bytes:
    return hashlib.sha256(origin.encode()).digest()[:_NAME_BYTES]


def _cursor(places: dict[bytes, int]) -> bytes:
    """A place in each log: of one length for one number of logs."""
    return b"".join(name + place.to_bytes(_INDEX_BYTES, "big") for name, place in sorted(places.items()))


def _places(cursor: bytes | None) -> dict[bytes, int] | None:
    if cursor is None:
        return None
    step = _NAME_BYTES + _INDEX_BYTES
    if len(cursor) % step:
        raise ValueError("not a place in the logs")
    parts = (cursor[at : at + step] for at in range(0, len(cursor), step))
    return {part[:_NAME_BYTES]: int.from_bytes(part[_NAME_BYTES:], "big") for part in parts}


_SHARED = (
    "scope",
    "start_us",
    "end_us",
    "agency",
    "user",
    "method",
    "type",
    "outcome",
    "purpose",
    "reason",
    "exchange_id",
    "hits_of",
    "with_hits",
)
