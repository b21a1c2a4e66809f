"""`make bench`: the whole pipeline beside a bare mTLS call with replies of the same size, interleaved in one run.

Prints, for Get and for a Search of 100, at 1, 16 and 64 callers: calls per second, server CPU for each call, p50, p99,
and the ratio of each to the bare call (medians over the rounds). A rate of the bare call that varies by more than 10%
between rounds makes that row void: the machine was busy with something else. Then where the time goes, by room.

The client is Python (grpc.aio) and shares the machine's cores with the server.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from broker.identify.tls import require_tls13

require_tls13()

import uvloop  # noqa: E402

from entente.common.v1 import exchange_pb2  # noqa: E402
from entente.report.v1 import report_service_pb2  # noqa: E402
from tests.bench.load import Load, Measured, measure  # noqa: E402
from tests.bench.seed import fill  # noqa: E402
from tests.support.live import ROOMY, ROOT, LiveBroker, free_port, live_broker, party_named  # noqa: E402

SERVICE = "/entente.report.v1.ReportService/"
VOID_SPREAD = 0.10
COLUMNS = (
    "call",
    "callers",
    "reply B",
    "calls/s",
    "bare/s",
    "ratio",
    "CPU us",
    "bare us",
    "ratio",
    "p50 ms",
    "p99 ms",
    "p99 ratio",
)


def requests(ids: list[str]) -> dict[str, bytes]:
    """The measured requests, by method."""
    get = report_service_pb2.GetReportRequest(record_id=ids[len(ids) // 2])
    get.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
    search = report_service_pb2.SearchReportsRequest(page_size=100)
    search.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
    return {"GetReport": get.SerializeToString(), "SearchReports": search.SerializeToString()}


async def rounds(broker: LiveBroker, bare: str, bare_pid: int, arguments: argparse.Namespace) -> None:
    """Measure and print."""
    ids = await fill(broker, arguments.records)
    whom = party_named["regional"]
    credentials = broker.credentials(whom)
    print(f"\n{arguments.records} records; {platform.python_version()}; {os.cpu_count()} cores; Python client")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    for method, request in requests(ids).items():
        for callers in arguments.callers:
            pairs: list[tuple[Measured, Measured]] = []
            for _ in range(arguments.rounds):
                load = Load(
                    method, broker.address, credentials, SERVICE + method, request, broker.metadata(whom), broker.pid
                )
                seen = await measure(load, callers, arguments.seconds)
                # A request of the same size, whose first bytes say how large the reply is to be.
                padded = seen.reply_bytes.to_bytes(4, "big").ljust(len(request), b"\0")
                plain = Load("bare", bare, credentials, "/bare/Call", padded, broker.metadata(whom), bare_pid)
                pairs.append((seen, await measure(plain, callers, arguments.seconds)))
            print(row(method, callers, pairs), flush=True)


def row(method: str, callers: int, pairs: list[tuple[Measured, Measured]]) -> str:
    """One line of the table: medians, and the ratio of medians."""
    rates = [plain.per_second for _, plain in pairs]
    spread = (max(rates) - min(rates)) / statistics.median(rates)
    void = f" (void: bare varied {spread:.0%})" if spread > VOID_SPREAD else ""

    def of(which: int, name: str) -> float:
        return statistics.median(getattr(pair[which], name) for pair in pairs)

    rate, bare = of(0, "per_second"), of(1, "per_second")
    cpu, bare_cpu = of(0, "cpu_us"), of(1, "cpu_us")
    p99, bare_p99 = of(0, "p99_ms"), of(1, "p99_ms")
    return (
        f"| {method}{void} | {callers} | {pairs[0][0].reply_bytes} | {rate:.0f} | {bare:.0f} | {rate / bare:.2f} "
        f"| {cpu:.0f} | {bare_cpu:.0f} | {cpu / bare_cpu:.2f} "
        f"| {of(0, 'p50_ms'):.2f} | {p99:.2f} | {p99 / bare_p99:.2f} |"
    )


def main() -> None:
    """Parse, start both servers, measure, profile."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--no-profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, live_broker(Path(scratch) / "network", limits=ROOMY) as broker:
        bare = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "tests.bench.bare", str(broker.network.directory), bare]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            uvloop.run(rounds(broker, bare, server.pid, arguments))
        finally:
            server.terminate()
            server.wait(timeout=10)
    if not arguments.no_profile:
        from tests.bench.profile import profile

        profile()


if __name__ == "__main__":
    main()
