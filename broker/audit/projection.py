"""Feeds the search index from the ledger, entry by entry in the order of the index.

Guarantees: the index is a function of the ledger and the keys; dropped and fed again it is equal (audit invariant 11).
It trails the ledger by a fraction of a second and never gates it; who needs to see everything up to a size waits for
it.

A sealed part whose key was destroyed is projected without its records and its case (audit invariant 16).
"""

from __future__ import annotations

import asyncio
import contextlib
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import structlog

from broker.audit.entry import context
from broker.audit.hits import hits_in
from broker.audit.log import Ledger
from broker.audit.seal import SealError, SealKeys, blind
from broker.domain.errors import UnavailableError
from broker.store.audit_index import AuditIndex
from broker.store.audit_rows import EntryRow, Projected

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The public reasons of calls that policy does not allow.
REFUSED_BY_POLICY = frozenset(("METHOD_NOT_PERMITTED", "PURPOSE_NOT_PERMITTED"))
# What one slice may hold: as much as is fed in a millisecond or two.
_SLICE_ENTRIES = 32
_SLICE_BYTES = 64 * 1024
# Entries gather for this long when nobody waits for them: one transaction for many costs a tenth.
_GATHER_S = 0.2
_RETRY_S = 1.0

_logger = structlog.get_logger("entente.audit.index")


def record_blind(keys: SealKeys, record_id: str) -> bytes:
    """The search key of a record."""
    return blind(keys.blind_key, "record", record_id)


def case_blind(keys: SealKeys, reference: str) -> bytes:
    """The search key of a case reference: found whatever its case, width or outer spaces."""
    return blind(keys.blind_key, "case", unicodedata.normalize("NFKC", reference).casefold().strip())


def open_detail(keys: SealKeys, leaf: dict[str, Any], sealed: bytes) -> dict[str, Any]:
    """An entry's sealed detail, checked against its leaf. Raises SealError."""
    plain = keys.unseal(sealed, context(leaf["exchange_id"], leaf["phase"]), leaf["sealed"])
    detail: dict[str, Any] = orjson.loads(plain)
    return detail


def project(index: int, raw: bytes, sealed: bytes, keys: SealKeys) -> Projected:
    """One entry -> its rows."""
    leaf: dict[str, Any] = orjson.loads(raw)
    detail: dict[str, Any] = {}
    with contextlib.suppress(SealError):
        detail = open_detail(keys, leaf, sealed)
    actor = leaf.get("actor", {})
    reference = detail.get("purpose", {}).get("case_reference")
    row = EntryRow(
        index=index,
        time_us=(datetime.fromisoformat(leaf["time_utc"]) - _EPOCH) // timedelta(microseconds=1),
        agency=actor.get("agency", ""),
        user=actor.get("user", ""),
        purpose=leaf.get("purpose", {}).get("code", ""),
        reason=leaf.get("reason", ""),
        case_blind=case_blind(keys, reference) if reference else None,
        **{name: leaf[name] for name in ("type", "phase", "exchange_id", "method", "outcome", "status")},
        **{name: leaf[name] for name in ("bytes", "duration_us")},
    )
    records = tuple((record_blind(keys, record), version) for record, version in detail.get("records", ()))
    outcomes = tuple((one[0], one[1]) for one in leaf.get("outcomes", ()))
    if leaf["phase"] == "outcome" and not outcomes:
        outcomes = ((leaf["exchange_id"], leaf["outcome"]),)
    found = hits_in(detail)
    # Whose record was hit silently finds the entry as one about its own records; the hits say which.
    owners = (*detail.get("owners", ()), *(hit.originator for hit in found))
    hits = tuple((hit.originator, record_blind(keys, hit.record_id)) for hit in found)
    return Projected(row, records, owners, outcomes, hits, _decision(leaf, detail))


def _decision(leaf: dict[str, Any], detail: dict[str, Any]) -> tuple[str, str, str, bool] | None:
    """What policy decided on an exchange, once for each: (input hash, revision, method, whether the call may be)."""
    policy = leaf.get("policy")
    if policy is None or leaf["phase"] != "release":
        return None
    # Handlers refuse for these reasons too; the rule is policy's. Where nothing opens, the reason is all that is left.
    refused = "rule" in detail if detail else leaf.get("reason") in REFUSED_BY_POLICY
    return policy["input_hash"], policy["bundle"], leaf["method"], not refused


class Projection:
    """Keeps an AuditIndex up with a Ledger.

    Feeding runs on the event loop, in slices of a millisecond or two: on a thread it would fight the loop for the
    interpreter's lock at every row, which costs each call more than the work itself. Searches run on a thread.
    """

    def __init__(self, ledger: Ledger, keys: SealKeys, index: AuditIndex) -> None:
        self._ledger, self._keys, self._index = ledger, keys, index
        self._thread = ThreadPoolExecutor(1, "audit-index")
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._progress = asyncio.Condition()
        self.size = 0

    async def start(self) -> None:
        """Begin to feed, where the index left off. An index ahead of its ledger is another ledger's: rebuilt."""
        self.size = await self.run(self._index.size)
        if self.size > len(self._ledger):
            await self.run(self._index.clear)
            self.size = 0
        self._task = asyncio.create_task(self._feed(), name="audit-projection")

    async def rebuild(self) -> None:
        """Drop everything and feed it again."""
        await self._stop()
        await self.run(self._index.clear)
        await self.start()

    async def aclose(self) -> None:
        await self._stop()
        await self.run(self._index.close)
        self._thread.shutdown()

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call on the index's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def caught_up(self, size: int, timeout_s: float = 2.0) -> None:
        """Wait until the first `size` entries can be found. Raises UnavailableError when that takes too long."""
        try:
            async with asyncio.timeout(timeout_s), self._progress:
                while self.size < size:
                    self._wanted.set()
                    await self._progress.wait()
        except TimeoutError as error:
            raise UnavailableError(
                "LEDGER_UNAVAILABLE", "The audit index is behind; retry later.", detail=f"{self.size} of {size}"
            ) from error

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _feed(self) -> None:
        while True:
            try:
                await self._follow()
            except UnavailableError:
                # A poisoned or closed ledger grows no more: what was found so far stays searchable.
                return
            except Exception as error:
                # Loud, and tried again: readers are refused meanwhile, never shown an index with a gap.
                _logger.error("audit_index_not_fed", at=self.size, error=type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        while True:
            await self._ledger.grown(self.size)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._wanted.wait()
            while self.size < len(self._ledger):
                end = self.size + self._add(self.size)
                async with self._progress:
                    self.size = end
                    self._progress.notify_all()
                # Calls first.
                await asyncio.sleep(0)
            self._wanted.clear()

    def _add(self, start: int) -> int:
        """Add a slice of entries; how many."""
        slice_: list[Projected] = []
        size = 0
        for leaf, sealed in self._ledger.pairs(start, min(start + _SLICE_ENTRIES, len(self._ledger))):
            slice_.append(project(start + len(slice_), leaf, sealed, self._keys))
            size += len(leaf) + len(sealed)
            if size >= _SLICE_BYTES:
                break
        self._index.add(slice_)
        return len(slice_)
