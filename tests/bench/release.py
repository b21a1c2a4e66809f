"""What release costs: microseconds per projection of one report and per page of a hundred.

Run: `python -m tests.bench.release`. One thread, median of the repeats; parse and serialisation are included.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from broker.domain.answer import Answer
from broker.domain.grant import FULL, PSEUDONYM
from broker.release.plans import Plans
from broker.release.projector import Releaser
from broker.release.pseudonyms import Pseudonyms, Scope
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill
from tests.support.released import EVERYTHING, grant, item

REPEATS = 7
NAMES, SCOPE = Pseudonyms(bytes(range(32))), Scope.of("police.example/north", "OP-17")
PARTNER = {**dict.fromkeys(EVERYTHING, FULL), "SOURCE": "", "INTERNAL": "", "OFFICER": "part", "PLACE": "part"}


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """Median over the repeats of the mean over the rounds."""
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(rounds):
            work()
        found.append((time.perf_counter() - start) / rounds * 1e6)
    return statistics.median(found)


def reports(count: int) -> list[report_pb2.Report]:
    """Reports with every field set: two lines, two entities and a link, about 170 scalars, each with its own id."""
    found = []
    for seed in range(count):
        filled = fill(report_pb2.Report, seed)
        report = report_pb2.Report.FromString(filled.message.SerializeToString())
        del report.entities[2:]
        del report.links[1:]
        found.append(report)
    return found


def main() -> None:
    """Print the figures."""
    hundred = reports(100)
    one = Answer(items=(item(hundred[0]),))
    page = Answer(items=tuple(item(report) for report in hundred))
    partner = grant(PARTNER)
    get, search = report_service_pb2.GetReportResponse, report_service_pb2.SearchReportsResponse
    named = grant({**PARTNER, "IDENTITY": PSEUDONYM, "CONTACT": PSEUDONYM})
    cold, warm = Releaser(0, NAMES), Releaser(pseudonyms=NAMES)
    print(f"report: {len(one.items[0].payload)} bytes, {len(hundred[0].entities)} entities, released to a partner")
    print(f"sixteen scalars: parse, project, serialise       {_sixteen():8.1f} us")
    print(f"one report, cold (parse, project, serialise)     {_time(cold, one, get, partner, 400):8.1f} us")
    print(f"the same, names and phones as pseudonyms         {_time(cold, one, get, named, 400):8.1f} us")
    print(f"one report, warm                                 {_time(warm, one, get, partner, 4000):8.1f} us")
    print(f"hundred reports, cold, per report                {_time(cold, page, search, partner, 4) / 100:8.1f} us")
    print(f"hundred reports, warm, per report                {_time(warm, page, search, partner, 100) / 100:8.2f} us")
    print(f"the same, names and phones as pseudonyms         {_time(warm, page, search, named, 100) / 100:8.2f} us")


def _time(releaser: Releaser, answer: Answer, response: type, partner: object, rounds: int) -> float:
    releaser.release(answer, response, partner, SCOPE)
    return microseconds(lambda: releaser.release(answer, response, partner, SCOPE), rounds)


def _sixteen() -> float:
    """Sixteen scalars, two of them a level deeper, with parse and serialisation."""
    report = report_pb2.Report(title="t" * 40, tear_line="l" * 200, operation="o" * 10, internal_notes="n" * 100)
    report.header.MergeFrom(
        record_pb2.RecordHeader(
            record_id="0" * 32,
            home_broker="b",
            originator="d/a",
            version=1,
            etag="e" * 16,
            exchange_id="1" * 32,
            state=1,
        )
    )
    report.author.MergeFrom(report_pb2.Officer(name="n" * 20, number="123", unit="u" * 10, contact="c" * 20))
    report.themes.append("t" * 12)
    source = report.SerializeToString()
    plan = Plans().plan(report_pb2.Report.DESCRIPTOR, grant(EVERYTHING).view(0, 0))

    def work() -> bytes:
        fresh = report_pb2.Report()
        plan.project(report_pb2.Report.FromString(source), fresh, None)
        return fresh.SerializeToString()

    return microseconds(work, 2000)


if __name__ == "__main__":
    main()
