"""No new-enemy answer: B's right is removed, *then* a secret is added; B, who reads all the while, never sees it.

One process takes away and adds; two others, with a store and a decider of their own over the same file, read as B as
fast as they can. The rights are an agreement with the secret's originator, or membership of its compartment, one for
each cycle; a decoy under the same marks was there before, so that neither new marks nor an empty answer hide the race.

    python -m tests.proof.enemy STORE READS [late]

`late` is the mutant: whether the grant still holds is asked in a transaction of its own, a moment before the rows are
read. It must leak; a test that cannot fail shows nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.decide.decider import Decider
from broker.decide.embedded import EmbeddedEngine
from broker.decide.rollout import FixedPolicy
from broker.domain.answer import Answer
from broker.domain.clock import SystemClock
from broker.domain.directory import Agency, Agreement
from broker.domain.errors import HiddenError
from broker.domain.exchange import Justification
from broker.domain.grant import Grant, StaleGrantError
from broker.domain.marks import MarkSet
from broker.handle.cursor import Cursors
from broker.handle.report.service import ReportHandlers
from broker.store import fresh, records
from broker.store.drafts import NewVersion
from broker.store.store import Store
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import a_call, a_caller
from tests.support.questions import BUNDLE, CATALOGUE, PURPOSES

B = "polizei.example/bund"
FOREVER_US = 2**52
# Between decision and rows: in the broker the ledger is awaited there.
LONGEST_PAUSE_SECONDS = 0.004
AT_ONCE = 24
INVESTIGATE = Justification("INVESTIGATION")
SERVICE = "/entente.report.v1.ReportService/"


HOME = "police.example/home"


def originator(cycle: int) -> str:
    """Whose secret it is: each cycle's own where the agreement goes, one agency's where the compartment does."""
    return HOME if cycle % 2 else f"police.example/force-{cycle}"


def secret_id(cycle: int) -> str:
    """Known to the readers beforehand: they ask for it from the start."""
    return f"{cycle + 1:032x}"


@dataclass
class Directory:
    """What is left of B's rights; cycle n takes the n-th away."""

    cycles: int
    removed: set[int] = field(default_factory=set)

    def load(self, store: Store) -> None:
        """Put it in force: durable when this returns."""
        left = [n for n in range(self.cycles) if n not in self.removed]
        owners = sorted({originator(n) for n in range(self.cycles)})
        agencies = [Agency(name, name, "GB", "NATIONAL") for name in owners]
        inside = frozenset(f"op-{n}" for n in left if n % 2)
        agreed = [HOME, *(originator(n) for n in left if n % 2 == 0)]
        agreements = [
            Agreement(f"with {name}", frozenset({B, name}), PURPOSES, "SECRET", 0, FOREVER_US) for name in agreed
        ]
        store.load_directory([*agencies, Agency(B, B, "DE", "NATIONAL", compartments=inside)], agreements)


def marks(cycle: int) -> MarkSet:
    """What a cycle's decoy and secret carry."""
    inside = frozenset({f"op-{cycle}"}) if cycle % 2 else frozenset()
    return MarkSet("report", originator(cycle), "OFFICIAL", handling_code="P", tlp="AMBER", compartments=inside)


async def add(store: Store, cycle: int, record_id: str) -> None:
    """A report of a cycle's marks. Durable when this returns."""
    report = report_pb2.Report(title=f"of {cycle}")
    report.header.record_id, report.header.originator, report.header.version = record_id, originator(cycle), 1

    def work(tx: Any) -> None:
        wanted = marks(cycle)
        tx.add(
            NewVersion(
                record_id=record_id,
                record_type="report",
                originator=originator(cycle),
                version=1,
                mark_set=tx.intern((wanted,))[wanted],
                portion_mark_sets=(),
                payload=report.SerializeToString(),
                kind="SUBMITTED",
                exchange_id=record_id,
                etag=record_id,
                time_us=cycle,
            )
        )

    await store.write(work)


@dataclass
class Enemy:
    """B, reading. `late`: the mutant."""

    store: Store
    decider: Decider
    late: bool
    rnd: random.Random
    cycles: int
    reads: int = 0
    decoys: int = 0
    stale: int = 0
    leaks: int = 0

    async def read(self) -> None:
        """One read, by any of the ways that there are, decided again as often as it has to be."""
        way = self.rnd.choice((self._get, self._get, self._search, self._versions, self._follow))
        record_id = secret_id(self.rnd.randrange(self.cycles))
        while True:
            grant = await self.decider.decide(a_caller(B, purposes=PURPOSES), _rule("GetReport"), INVESTIGATE)
            try:
                if self.late:
                    self.store.look(lambda driver, grant=grant: _sound(driver, grant))  # type: ignore[misc]
                await asyncio.sleep(self.rnd.random() * LONGEST_PAUSE_SECONDS)
                answer = await way(grant, record_id)
                break
            except StaleGrantError:
                self.stale += 1
                await self.decider.refresh()
        self.reads += 1
        for item in answer.items:
            self.decoys += int(item.record_id, 16) > self.cycles
            self.leaks += int(item.record_id, 16) <= self.cycles

    async def _get(self, grant: Grant, record_id: str) -> Answer:
        return self._handled("get_report", report_service_pb2.GetReportRequest(record_id=record_id), grant)

    async def _search(self, grant: Grant, _: str) -> Answer:
        return self._handled("search_reports", report_service_pb2.SearchReportsRequest(page_size=20), grant)

    async def _versions(self, grant: Grant, record_id: str) -> Answer:
        request = report_service_pb2.ListReportVersionsRequest(record_id=record_id)
        return self._handled("list_report_versions", request, grant)

    async def _follow(self, grant: Grant, _: str) -> Answer:
        start = report_service_pb2.SubscribeReportsRequest()
        call = a_call(start, grant, caller=a_caller(B), method=SERVICE + "SubscribeReports")
        batch = await self._handlers.open_subscription(call, start.start).next_batch(call, 0)
        assert batch is not None
        return batch.answer

    def _handled(self, name: str, request: Any, grant: Grant) -> Answer:
        call = a_call(request, grant, caller=a_caller(B), method=SERVICE + name)
        try:
            found: Answer = getattr(self._handlers, name)(call)
        except HiddenError:
            return Answer()
        return found

    @property
    def _handlers(self) -> ReportHandlers:
        return ReportHandlers(self.store, Cursors(bytes(32)), SystemClock(), "broker.example")


def _rule(name: str) -> Any:
    return CATALOGUE.find(SERVICE + name)


_FRESH = fresh.is_fresh


def _sound(driver: Any, grant: Grant) -> None:
    row = fresh._STATE.first(driver, {})
    if row is None or not _FRESH(grant, *row):
        raise StaleGrantError


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Store, Decider]]:
    """A store and a decider over it, as a worker has them."""
    clock = SystemClock()
    store = Store.open(path, clock)
    decider = Decider(FixedPolicy(EmbeddedEngine(BUNDLE), BUNDLE), CATALOGUE, store, clock)
    await decider.start()
    try:
        yield store, decider
    finally:
        await decider.close()
        store.close()


async def main(path: Path, reads: int, cycles: int, *, late: bool) -> dict[str, int]:
    """Read so often, some at once; what came of it."""
    if late:
        fresh.is_fresh = records.is_fresh = lambda *_: True
    async with opened(path) as (store, decider):
        enemy = Enemy(store, decider, late, random.Random(reads), cycles)
        print("reading", flush=True)

        async def some() -> None:
            while enemy.reads < reads:
                await enemy.read()

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return {"reads": enemy.reads, "decoys": enemy.decoys, "stale": enemy.stale, "leaks": enemy.leaks}


if __name__ == "__main__":
    said = asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), late="late" in sys.argv[4:]))
    print(json.dumps(said), flush=True)
