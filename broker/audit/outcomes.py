"""How exchanges ended, in batches: a leaf for each group, never one for each call (audit invariant 10).

An outcome says *handed to gRPC*, never *delivered*. What cannot be written now is kept, within bounds, for when the
ledger is back; a release without an outcome shows as indeterminate.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from broker.audit.entry import Entry, Outcome, outcome_entry
from broker.audit.floods import Floods
from broker.audit.scribe import Scribe
from broker.domain.errors import UnavailableError

# Outcomes wait for company this long; a release without one within five minutes counts as indeterminate.
FLUSH_SECONDS = 0.5
OUTCOMES_PER_LEAF = 400
# Kept while the ledger is down.
MOST_OUTCOMES = 100_000
MOST_FLOODS = 1_000


class Outcomes:
    """Outcomes that wait for their leaf, and floods of calls that never started. One for each ledger."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._waiting: list[Outcome] = []
        self._floods: Counter[str] = Counter()
        self.refusals = Floods(scribe)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush."""
        self._task = asyncio.create_task(self._flush_often(), name="outcomes")

    async def aclose(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.flush(last=True)

    def add(self, outcome: Outcome) -> None:
        """An exchange has ended."""
        self._waiting.append(outcome)
        if len(self._waiting) >= OUTCOMES_PER_LEAF:
            self.flush()

    def resolved(self, exchange_id: str, *, written: bool) -> None:
        """A write that a crash or a defect cut off: the change row says whether it was done."""
        self._waiting.append(Outcome(exchange_id, "allowed" if written else "aborted", "UNKNOWN"))

    def unresolved(self, exchange_id: str) -> None:
        """A release whose outcome is not known: to be treated as disclosed."""
        self._waiting.append(Outcome(exchange_id, "indeterminate", "UNKNOWN"))

    def not_started(self, method: str) -> None:
        """A call that ended before its handler ran; counted, one entry for each method and second."""
        # The path is the caller's: past so many, what they are called is no longer kept.
        self._floods[method if method in self._floods or len(self._floods) < MOST_FLOODS else ""] += 1

    def flush(self, *, last: bool = False) -> None:
        """Write what waits, as far as the ledger takes it."""
        taken, self._waiting = self._waiting, []
        floods, self._floods = self._floods, Counter()
        try:
            while taken:
                own = self._scribe.exchange("/entente/outcomes")
                self._leave(outcome_entry(own, taken[:OUTCOMES_PER_LEAF]))
                del taken[:OUTCOMES_PER_LEAF]
            while floods:
                method, count = next(iter(floods.items()))
                self._leave(self._flood(method, count))
                del floods[method]
            self.refusals.flush(all_=last)
        except UnavailableError:
            self._waiting = (taken + self._waiting)[-MOST_OUTCOMES:]
            self._floods.update(floods)

    def _flood(self, method: str, count: int) -> Entry:
        return Entry(
            type="denial",
            phase="release",
            exchange=self._scribe.exchange(method),
            outcome="aborted",
            status="CANCELLED",
            reason="CANCELLED",
            count=count,
            detail={"not_started": True},
        )

    def _leave(self, entry: Entry) -> None:
        self._scribe.leave(self._scribe.encode(entry))

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.flush()
