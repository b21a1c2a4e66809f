"""Whether time tells of a silent hit, and what the second ceiling costs.

    python -m tests.bench.silence [COUNT]

A caller asks by turns for what a silent report holds and for what none does, COUNT times each, one call at a time: the
sharpest watch there is. Printed are the medians, their ratio, and how often a guess "the slower of two was the hit"
would be right (50% is none the wiser). Then the microseconds that the ceiling takes for a page of 100 reports.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc

from broker.domain.answer import Answer
from broker.release.ceiling import Ceiling
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_service_pb2 as reports
from tests.bench.seed import report as sample_report
from tests.support.exchanges import GET, SEARCH, SUBMIT, getting, searching, submission
from tests.support.live import LiveBroker, live_broker, party_named
from tests.support.released import EVERYTHING, grant, item

COUNT = 1_000
HIDDEN = 200
OWNER, LOOKER = party_named["neighbourhood"], party_named["liaison"]
Call = Callable[[], object]


def name(value: str) -> bytes:
    entity = reports.EntityQuery(kind=reports.ENTITY_KIND_NAME, value=value)
    return searching(entity=entity).SerializeToString()


def furnish(live: LiveBroker, channel: grpc.Channel) -> tuple[str, str]:
    """Silent reports about one person each, and one about Zed Quince. Its id, and that of one that tells nobody."""
    submit = channel.unary_unary(SUBMIT)
    ids = []
    for number in range(HIDDEN):
        request = submission(sample_report(number))
        request.report.header.marks.reach = marks_pb2.REACH_SILENT if number else marks_pb2.REACH_NONE
        request.report.entities[0].person.name = "Zed Quince" if number == HIDDEN // 2 else f"Nobody {number}"
        reply = submit(request.SerializeToString(), metadata=live.metadata(OWNER), timeout=20)
        ids.append(reports.SubmitReportResponse.FromString(reply).record_id)
    return ids[HIDDEN // 2], ids[0]


def compared(hit: Call, miss: Call, count: int) -> tuple[list[float], list[float]]:
    """Seconds of each, in turns whose order is drawn."""
    took: tuple[list[float], list[float]] = ([], [])
    chance = random.Random(1)
    for number in range(count + 50):
        for which in chance.sample((0, 1), 2):
            begun = time.perf_counter()
            (hit, miss)[which]()
            if number >= 50:
                took[which].append(time.perf_counter() - begun)
    return took


def told(what: str, hits: list[float], misses: list[float]) -> None:
    one, other = statistics.median(hits), statistics.median(misses)
    right = sum(a > b for a, b in zip(hits, misses, strict=True)) / len(hits)
    print(
        f"{what:28} hit p50 {one * 1e6:7.0f} us   no hit p50 {other * 1e6:7.0f} us   ratio {one / other:.4f}   "
        f"guessed right {right:.1%}"
    )


def timing(count: int) -> None:
    """Over a connection, as a client sees it."""
    with tempfile.TemporaryDirectory() as folder, live_broker(Path(folder) / "network", limits=_roomy()) as live:
        with live.channel(OWNER) as channel:
            silent, none = furnish(live, channel)
        with live.channel(LOOKER) as channel:
            search, get = channel.unary_unary(SEARCH), channel.unary_unary(GET)

            def ask(method: grpc.UnaryUnaryMultiCallable, request: bytes) -> None:  # type: ignore[type-arg]
                try:
                    method(request, metadata=live.metadata(LOOKER), timeout=20)
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.NOT_FOUND:  # type: ignore[attr-defined]
                        raise

            hit, miss = name("Zed Quince"), name("Zed Quinte")
            told("search by an entity", *compared(lambda: ask(search, hit), lambda: ask(search, miss), count))
            there, gone = (getting(one).SerializeToString() for one in (silent, none))
            told("read by its id", *compared(lambda: ask(get, there), lambda: ask(get, gone), count))


def ceiling() -> None:
    """A page of 100 reports of another agency, read for the first time and again."""
    items = []
    for number in range(100):
        report = sample_report(number)
        report.header.record_id, report.header.originator, report.header.version = f"{number:032x}", "a.example/b", 1
        items.append(item(report))
    held = grant({name: level for name, level in EVERYTHING.items() if name not in ("SOURCE", "INTERNAL", "REFERENCE")})
    answer, held = Answer(items=tuple(items)), replace(held, compartments=frozenset())
    for what, warm in (("cold", False), ("warm", True)):
        taken = []
        tested = Ceiling()
        for _ in range(50):
            tested = tested if warm else Ceiling()
            begun = time.perf_counter()
            tested.require(answer, reports.SearchReportsResponse, held, "c.example/d")
            taken.append(time.perf_counter() - begun)
        print(f"the second ceiling, {what}: {statistics.median(taken) * 1e6:.0f} us for a page of 100")


def _roomy() -> dict[str, int]:
    return {"calls": 4096, "requests_per_second": 1_000_000, "burst": 1_000_000, "bytes_per_second": 1 << 40}


if __name__ == "__main__":
    ceiling()
    timing(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
