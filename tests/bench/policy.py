"""Grants, mark sets and pages at the sizes of the design: what is decided cold and warm, kept, and read.

    python -m tests.bench.policy                       # 100,000 records, 32,000 mark sets: about a minute
    python -m tests.bench.policy --records 1000000 --mark-sets 32000 235000

All in one run and one process, on the embedded engine; medians. Times are of the processor, in this process alone and
without a network: what the event loop is kept from other calls on a machine that has nothing else to do. What grows is
printed beside what it grew from.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from broker.decide.decider import MAX_GRANT_BYTES, Decider
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import EngineAnswer
from broker.decide.evaluation import Evaluation
from broker.decide.rollout import FixedPolicy
from broker.domain.answer import Answer
from broker.domain.exchange import Justification
from broker.domain.grant import ClassGrant, Grant
from broker.domain.marks import MarkSet
from broker.release.projector import Releaser
from broker.store.beside import Place
from broker.store.mark_sets import flags, numbers
from broker.store.search import Conditions, ValueCondition
from broker.store.store import Store
from entente.report.v1 import report_service_pb2
from tests.bench import policy_world as network
from tests.bench.policy_store import NAMES_IN_USE, fill
from tests.support.grants import FIELD_CLASSES, POLICY
from tests.support.questions import BUNDLE, CATALOGUE, GET_REPORT, FakeClock
from tests.support.reports import TickingClock

DAY_CALLS = 20_000
ME = network.NAMES[0]
SHARES = (("72%", 0.72), ("8%", 0.08), ("0.1%", 0.001), ("nothing", 0.0))


class CountingEngine(EmbeddedEngine):
    """Counts what it is asked."""

    grants = methods = 0

    async def grant(self, question: bytes) -> EngineAnswer:
        self.grants += 1
        return await super().grant(question)

    async def method(self, question: bytes) -> EngineAnswer:
        self.methods += 1
        return await super().method(question)


class CountingDecider(Decider):
    """Counts decisions that were not kept ready, and evaluations that were asked for."""

    afresh = evaluated = 0

    async def _decide_afresh(self, *given: Any) -> Grant:
        self.afresh += 1
        return await super()._decide_afresh(*given)

    async def _evaluate(self, *given: Any) -> Evaluation:
        self.evaluated += 1
        return await super()._evaluate(*given)


def spread(seconds: list[float]) -> str:
    """Median and p99 in ms."""
    ordered = sorted(seconds)
    return f"p50 {statistics.median(ordered) * 1e3:8.3f} ms   p99 {ordered[int(len(ordered) * 0.99)] * 1e3:8.3f} ms"


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return found


def resident_mib() -> float:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def started(world: network.World) -> tuple[CountingDecider, CountingEngine]:
    engine = CountingEngine(BUNDLE)
    decider = CountingDecider(FixedPolicy(engine, BUNDLE), CATALOGUE, world, FakeClock())
    await decider.start()
    return decider, engine


def asks(decider: Decider, officer: Any, purpose: str, authoriser: str = "") -> Awaitable[Grant]:
    rule = CATALOGUE.find(GET_REPORT)
    assert rule is not None
    return decider.decide(officer, rule, Justification(purpose, authoriser=authoriser))


async def grants(sets: list[MarkSet]) -> None:
    """Cold and warm grants, and what a new mark set costs them."""
    print(f"\n## {len(sets):,} mark sets")
    before, start = resident_mib(), time.process_time()
    decider, _ = await started(network.World(sets, 3))
    print(f"start: index of all mark sets in {time.process_time() - start:.2f} s, {resident_mib() - before:.0f} MiB")
    for of_each in (3, 60):
        world = network.World(list(sets), of_each)
        decider, _ = await started(world)
        people = network.officers(200, seed=of_each)
        cold = [await _seconds(asks(decider, one, min(one.purposes))) for one in people]
        made = [one for one, seconds in zip(people, cold, strict=True) if seconds]
        warm = [await _seconds(asks(decider, one, min(one.purposes))) for one in made for _ in range(5)]
        kept = decider._grants.bytes / max(1, len(decider._grants._kept)) / 1024
        print(f"{of_each:2} agreements each: cold  {spread(cold)}   ({kept:.0f} KiB kept for each question)")
        print(f"                    warm  {spread(warm)}")
        grown, writes = [], 30
        for number in range(writes):
            world.sets.append(MarkSet("report", network.NAMES[number % 60], markings=frozenset({f"new-{number}"})))
            await decider.refresh()
            grown += [await _seconds(asks(decider, one, min(one.purposes))) for one in made[:40]]
        print(f"                    after a new mark set, each caller's next grant  {spread(grown)}")


async def _seconds(work: Awaitable[object]) -> float:
    start = time.process_time()
    await work
    return time.process_time() - start


async def day(sets: list[MarkSet], of_each: int = 6) -> None:
    """5,000 officers call all day: officers by Zipf, two to five purposes each, a fifth of the calls authorised; a new
    mark set every 140 calls and two changes of the directory."""
    world, rnd = network.World(list(sets), of_each), random.Random(9)
    decider, engine = await started(world)
    people = network.officers()
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(people))))
    order = rnd.sample(people, len(people))
    gc.collect()
    before, start, peak = resident_mib(), time.process_time(), 0
    for call in range(DAY_CALLS):
        if call % 140 == 139:
            world.sets.append(MarkSet("report", rnd.choice(network.NAMES), markings=frozenset({f"day-{call}"})))
            await decider.refresh()
        if call in (DAY_CALLS // 3, DAY_CALLS // 2):
            world.revision += 1
            decider.forget()
        officer = rnd.choices(order, cum_weights=weights)[0]
        habits = sorted(officer.purposes)
        purpose = habits[min(int(rnd.paretovariate(1.5)) - 1, len(habits) - 1)]
        await asks(decider, officer, purpose, "ch.supt" if rnd.random() < 0.2 else "")
        peak = max(peak, decider._grants.bytes)
    grown = resident_mib() - before
    hot, bitmaps = 1 - decider.afresh / DAY_CALLS, 1 - engine.grants / max(1, decider.evaluated)
    kept, ready = len(decider._grants._kept), len(decider._grants)
    print(f"a day of {DAY_CALLS:,} calls: {hot:.1%} warm; of the rest {bitmaps:.1%} found their bitmaps kept;", end=" ")
    print(f"policy asked in {(engine.grants + engine.methods) / DAY_CALLS:.1%} of the calls")
    print(f"  {time.process_time() - start:.0f} s; {kept} questions and {ready} grants kept,", end=" ")
    print(f"at most {peak / 2**20:.0f} of {MAX_GRANT_BYTES / 2**20:.0f} MiB by weight; the process grew {grown:.0f}")
    assert peak <= MAX_GRANT_BYTES


def pages(scratch: Path, records: int, sets: list[MarkSet]) -> None:
    """Pages of 100 for callers who see much, little and nothing."""
    path, start = scratch / f"{records}-{len(sets)}.db", time.process_time()
    counts = fill(path, records, sets)
    size = path.stat().st_size / 2**20
    took = time.process_time() - start
    print(f"\n{records:,} records, {len(sets):,} mark sets: filled in {took:.0f} s, {size:.0f} MiB")
    start = time.process_time()
    store = Store.open(path, TickingClock())
    loaded = store.mark_sets(0)
    print(f"  mark sets read in {time.process_time() - start:.2f} s")
    try:
        for name, share in SHARES:
            grant = _seeing(share, records, counts, len(loaded), store.directory_revision)
            _page(store, name, grant, records)
    finally:
        store.close()
        path.unlink()


def _page(store: Store, name: str, grant: Grant, records: int) -> None:
    release = Releaser(cache_bytes=0)
    plain = Conditions("report")
    entity = Conditions("report", (ValueCondition("NAME", f"name{records % NAMES_IN_USE // 2}", "IDENTITY"),))
    middle = records // 2
    first = store.search(grant, plain, Place(), 100, agency=ME).versions
    again = 30
    figures = {
        "first": timed(lambda: store.search(grant, plain, Place(), 100, agency=ME), again),
        "deep": timed(lambda: store.search(grant, plain, Place(middle), 100, agency=ME), again),
        "entity": timed(lambda: store.search(grant, entity, Place(), 100, agency=ME), again),
    }
    said = "  ".join(f"{kind} {statistics.median(seconds) * 1e3:7.3f}" for kind, seconds in figures.items())
    cold = _released(release, first, grant)
    warm = statistics.median(_released(release, first, grant) for _ in range(5))
    print(f"  sees {name:8} {len(first):3} on a page: ms {said}   release {cold:7.2f} then {warm:6.2f}")


def _released(release: Releaser, found: list[Any], grant: Grant) -> float:
    start = time.process_time()
    answer = Answer(items=tuple(one.item() for one in found))
    release.release(answer, report_service_pb2.SearchReportsResponse, grant)
    return (time.process_time() - start) * 1e3


def _seeing(share: float, records: int, counts: Any, sets: int, revision: int) -> Grant:
    """A grant of mark sets, drawn by lot, that hold about this share of the records; every class in full."""
    rnd, left, rows = random.Random(11), share * records, bytearray(sets // 8 + 1)
    order = list(counts)
    rnd.shuffle(order)
    for number in order:
        if counts[number] <= left:
            rows[number >> 3] |= 1 << (number & 7)
            left -= counts[number]
    visible = int.from_bytes(rows, "little")
    classes = {name: ClassGrant(full=visible) for name in FIELD_CLASSES}
    return Grant(
        visible,
        0,
        classes,
        frozenset(FIELD_CLASSES),
        watermark=sets,
        data_revision=revision,
        valid_until_us=2**53 - 1,
        policy=POLICY,
        policy_input=b"{}",
        explain=lambda *_: ("hand", "NOT_GRANTED"),
    )


def conversions(sets: int) -> None:
    """From bitmap to what SQL takes, made and kept."""
    bitmap = random.Random(12).getrandbits(sets) | 1 << sets
    few = sum(1 << random.Random(13).randrange(sets) for _ in range(200))
    made = statistics.median(timed(lambda: flags.__wrapped__(bitmap), 50)) * 1e3
    kept = statistics.median(timed(lambda: flags(bitmap), 200)) * 1e3
    listed = statistics.median(timed(lambda: numbers.__wrapped__(few), 50)) * 1e3
    print(f"{sets:,} mark sets: flags made {made:.3f} ms, kept {kept:.3f} ms; 200 ids listed {listed:.3f} ms")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.policy")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--mark-sets", type=int, nargs="+", default=[32_000])
    parser.add_argument("--no-day", action="store_true")
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for count in arguments.mark_sets:
        sets = (network.templates if count <= 50_000 else network.independent)(count)
        conversions(count)
        asyncio.run(grants(sets))
        if not arguments.no_day:
            asyncio.run(day(sets))
        with tempfile.TemporaryDirectory(prefix="policy-bench-") as scratch:
            for records in sorted({max(10_000, arguments.records // 100), arguments.records}):
                # A small store holds as large a share of the mark sets.
                few = sets[: max(100, count * records // arguments.records)]
                pages(Path(scratch), records, few)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
