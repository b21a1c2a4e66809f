"""`python -m tests.bench.noisy`: what well-behaved agencies feel while another sends ten times its quota.

One agency asks at a modest, even rate; its latencies count from the moment at which each call was due. Three
conditions, interleaved in each round: alone; while a second agency sends ten times its quota to the same broker; and
while it sends the same to *another* broker on this machine, which shows how much of the difference is two cores shared
by four processes, and none of the broker's doing. The p99 is of all rounds together.

Then what refusing costs: one agency that is over its quota, with so many callers that send again at once. In it are the
calls that the quota allows.

The sender is a process of its own, bounded in rate and in calls under way.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from broker.identify.tls import require_tls13

require_tls13()

import grpc  # noqa: E402
import uvloop  # noqa: E402

from certs.network import Network  # noqa: E402
from tests.bench.__main__ import requests  # noqa: E402
from tests.bench.load import cpu_seconds  # noqa: E402
from tests.bench.seed import fill  # noqa: E402
from tests.support.live import ROOT, LiveBroker, live_broker, party_named  # noqa: E402

GET = "/entente.report.v1.ReportService/GetReport"
QUOTA = {"requests_per_second": 50, "burst": 100}
TIMES = 10
QUIET, NOISY = "regional", "national"
QUIET_PER_SECOND = 25
# A sender that waits for nothing would measure its own memory.
MOST_UNDER_WAY = 512


async def paced(broker: LiveBroker, party: str, request: bytes, per_second: float, seconds: float) -> list[float]:
    """Calls at an even rate; how long after it was due each ended, in seconds. Raises what a call raises."""
    whom = party_named[party]
    late: list[float] = []
    async with broker.aio_channel(whom) as channel:
        call = channel.unary_unary(GET)

        async def one(due: float) -> None:
            await call(request, metadata=broker.metadata(whom), timeout=30)
            late.append(time.perf_counter() - due)

        await call(request, metadata=broker.metadata(whom), timeout=30)
        started, tasks = time.perf_counter(), []
        for number in range(int(per_second * seconds)):
            due = started + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
    return sorted(late)


async def send(broker: LiveBroker, request: bytes, per_second: float, seconds: float) -> Counter[str]:
    """Send at a rate, whatever the answers; how many of each there were."""
    whom, seen, gate = party_named[NOISY], Counter[str](), asyncio.Semaphore(MOST_UNDER_WAY)
    channels = [broker.aio_channel(whom) for _ in range(4)]
    calls = [channel.unary_unary(GET) for channel in channels]

    async def one(number: int) -> None:
        try:
            await calls[number % len(calls)](request, metadata=broker.metadata(whom), timeout=30)
            seen["OK"] += 1
        except grpc.aio.AioRpcError as error:
            seen[error.code().name] += 1
        finally:
            gate.release()

    # What the quota allows at once is used up before anybody measures.
    for number in range(2 * QUOTA["burst"]):
        await gate.acquire()
        await one(number)
    seen.clear()
    print("sending", flush=True)
    started, tasks = time.perf_counter(), set[asyncio.Task[None]]()
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        if time.perf_counter() - started > seconds:
            break
        await gate.acquire()
        task = asyncio.create_task(one(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    return seen


async def refusals(broker: LiveBroker, request: bytes, callers: int, seconds: float) -> str:
    """Callers over their quota that send again at once: refusals a second, and the broker's CPU."""
    whom, refused = party_named[NOISY], 0
    async with broker.aio_channel(whom) as channel:
        call = channel.unary_unary(GET)

        async def caller(end: float) -> None:
            nonlocal refused
            while time.perf_counter() < end:
                try:
                    await call(request, metadata=broker.metadata(whom), timeout=30)
                except grpc.aio.AioRpcError:
                    refused += 1

        await caller(time.perf_counter() + 0.5)
        refused, used, started = 0, cpu_seconds(broker.pid), time.perf_counter()
        await asyncio.gather(*(caller(started + seconds) for _ in range(callers)))
        elapsed, used = time.perf_counter() - started, cpu_seconds(broker.pid) - used
    each = used / max(1, refused) * 1e6
    return (
        f"{callers} callers: {refused / elapsed:.0f} refusals/s, {used / elapsed:.0%} of a core, {each:.0f} us for each"
    )


def p99(late: list[float]) -> float:
    """In milliseconds."""
    return late[int(len(late) * 0.99)] * 1e3


async def compare(here: LiveBroker, elsewhere: LiveBroker, arguments: argparse.Namespace) -> None:
    """The three conditions, interleaved; printed."""
    # What the quota lets through costs the same at both.
    request, theirs = [requests(await fill(one, 50))["GetReport"] for one in (here, elsewhere)]
    rate = QUOTA["requests_per_second"] * TIMES
    found: dict[str, list[float]] = {"alone": [], "noise here": [], "noise elsewhere": []}
    for number in range(arguments.rounds):
        for name, target, sent in (
            ("alone", None, b""),
            ("noise here", here, request),
            ("noise elsewhere", elsewhere, theirs),
        ):
            sender = None if target is None else await started(target, sent, rate, arguments.seconds + 1)
            late = await paced(here, QUIET, request, QUIET_PER_SECOND, arguments.seconds)
            found[name] += late
            said = "" if sender is None else await asyncio.to_thread(finished, sender)
            print(
                f"round {number + 1}, {name}: p50 {late[len(late) // 2] * 1e3:.1f} ms, p99 {p99(late):.1f} ms {said}",
                flush=True,
            )
    alone, noise, other = (p99(sorted(late)) for late in found.values())
    print(
        f"\np99 alone {alone:.1f} ms; with noise {noise:.1f} ms, {noise / alone:.2f} times; "
        f"with the same noise at another broker {other:.1f} ms, {other / alone:.2f} times"
    )
    for callers in (16, 64, 256):
        print(await refusals(here, request, callers, arguments.seconds))


async def started(target: LiveBroker, request: bytes, rate: float, seconds: float) -> subprocess.Popen[str]:
    """The sender, in its own process, once it sends."""
    net = target.network
    command = [sys.executable, "-m", "tests.bench.noisy", "--send", str(net.directory), net.listen, request.hex()]
    command += ["--rate", str(rate), "--seconds", str(seconds)]
    sender = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert sender.stdout is not None
    assert await asyncio.to_thread(sender.stdout.readline) == "sending\n"
    return sender


def finished(sender: subprocess.Popen[str]) -> str:
    """What the sender says of itself."""
    said, _ = sender.communicate(timeout=120)
    return said.strip()


def main() -> None:
    """Measure, or send."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.noisy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--send", nargs=3, metavar=("DIRECTORY", "ADDRESS", "REQUEST"))
    arguments = parser.parse_args()
    if arguments.send:
        directory, address, request = arguments.send
        broker = LiveBroker(Network(Path(directory), address))
        seen = uvloop.run(send(broker, bytes.fromhex(request), arguments.rate, arguments.seconds))
        print(" ".join(f"{name}:{count}" for name, count in sorted(seen.items())))
        return
    print(f"quota {QUOTA}, sent {TIMES} times as much; {os.cpu_count()} cores; Python client")
    with (
        tempfile.TemporaryDirectory() as scratch,
        live_broker(Path(scratch) / "here", limits=QUOTA) as here,
        live_broker(Path(scratch) / "elsewhere", limits=QUOTA) as elsewhere,
    ):
        uvloop.run(compare(here, elsewhere, arguments))


if __name__ == "__main__":
    main()
