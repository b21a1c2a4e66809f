"""Reading the ledger: what handlers may use of the audit stage.

Finds by the projection, answers with the ledger's own bytes. Every search first waits until the projection holds all
that was durable when it began, so that an answer says of which ledger size it is true.

Does not decide who may read: `scope` is the caller's to set from the grant. Reading is recorded by the pipeline, like
any exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from broker.audit.log import Ledger
from broker.audit.projection import Projection, case_blind, open_detail, record_blind
from broker.audit.seal import SealKeys
from broker.store.audit_index import AuditIndex, EntryRow, IndexQuery

# A page is cut where it would come near the 4 MiB that clients take: a leaf may have 64 KiB.
PAGE_BYTES = 3_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Conditions that must all hold; None is no condition.

    `scope`: entries by one of these agencies (`trust-domain/agency`), or about their records; None sees all, ()
    nothing. Times in microseconds since the epoch, start inclusive, end exclusive.
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


@dataclass(frozen=True, slots=True)
class AuditItem:
    """An entry that was found: its columns, and its exact bytes."""

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
    """A page. `next_cursor` None: the last one. `size`: the ledger's size that the search covered."""

    items: tuple[AuditItem, ...]
    next_cursor: int | None
    size: int


class AuditReader:
    """Searches, histories, proofs."""

    def __init__(self, ledger: Ledger, projection: Projection, index: AuditIndex, keys: SealKeys) -> None:
        self._ledger, self._projection, self._index, self._keys = ledger, projection, index, keys

    async def search(
        self, query: AuditQuery, *, cursor: int | None = None, limit: int = 100, newest_first: bool = True
    ) -> AuditPage:
        """Entries that match, a page at a time. Raises UnavailableError when the index cannot catch up."""
        return await self._page(self._blinded(query), cursor, limit, newest_first)

    async def record_history(
        self, record_id: str, *, scope: tuple[str, ...] | None, cursor: int | None = None, limit: int = 100
    ) -> AuditPage:
        """Who saw or changed this record, oldest first."""
        query = AuditQuery(scope=scope, record_id=record_id)
        return await self._page(self._blinded(query), cursor, limit, newest_first=False)

    def detail(self, index: int) -> dict[str, Any]:
        """An entry's sealed detail. Raises IndexError or SealError (altered, or its key was destroyed)."""
        leaf, sealed = next(self._ledger.pairs(index, index + 1))
        return open_detail(self._keys, orjson.loads(leaf), sealed)

    async def open_releases(self, before_us: int) -> list[str]:
        """Exchanges without an outcome that began before a time: to be closed as `indeterminate`."""
        await self._projection.caught_up(len(self._ledger))
        return await self._projection.run(lambda: self._index.open_releases(before_us))

    def size(self) -> int:
        """Entries that are durable now."""
        return len(self._ledger)

    def leaf(self, index: int) -> bytes:
        """An entry's exact bytes. Raises IndexError."""
        return self._ledger.entry(index)

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint (a signed note), of `size()` entries."""
        return self._ledger.checkpoint

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Raises ValueError for an index outside the size, or a size beyond the ledger's."""
        return self._ledger.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Raises ValueError for an old size of 0 or above the new."""
        return self._ledger.consistency_proof(old, new)

    async def _page(self, query: IndexQuery, cursor: int | None, limit: int, newest_first: bool) -> AuditPage:
        size = len(self._ledger)
        await self._projection.caught_up(size)

        def find() -> tuple[list[EntryRow], list[bytes]]:
            rows = self._index.search(query, cursor=cursor, limit=limit + 1, newest_first=newest_first)
            leaves: list[bytes] = []
            left = PAGE_BYTES
            for row in rows[:limit]:
                leaf = self._ledger.entry(row.index)
                # Beside its leaf an item repeats what the leaf says was disclosed.
                left -= 2 * len(leaf)
                if leaves and left < 0:
                    break
                leaves.append(leaf)
            return rows, leaves

        rows, leaves = await self._projection.run(find)
        items = tuple(AuditItem(row, leaf) for row, leaf in zip(rows, leaves, strict=False))
        return AuditPage(items, items[-1].index if len(rows) > len(items) else None, size)

    def _blinded(self, query: AuditQuery) -> IndexQuery:
        return IndexQuery(
            record_blind=None if query.record_id is None else record_blind(self._keys, query.record_id),
            case_blind=None if query.case_reference is None else case_blind(self._keys, query.case_reference),
            **{name: getattr(query, name) for name in _SHARED},
        )


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
)
