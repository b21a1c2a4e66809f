"""The ledger alone: appends a second, entries for each fdatasync, latency; beside a bare write + fdatasync loop.

    python -m tests.bench.ledger [--seconds 2] [--directory DIR]

The bare loop writes the same bytes, one entry for each fdatasync, with no tree, signature or proof: what the disk
allows without grouping. All figures come from one run on one disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from broker.audit.log import Ledger, Limits
from entente_tlog.note import Signer

LEAF = b'{"detail":"' + b"x" * 1_500 + b'"}'
SEALED = os.urandom(2_000)


def bare(directory: Path, seconds: float) -> tuple[float, float]:
    """(fdatasyncs a second, median us)."""
    fd = os.open(directory / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        os.write(fd, LEAF + SEALED)
        os.fdatasync(fd)
        times.append(time.perf_counter() - start)
    os.close(fd)
    return len(times) / seconds, statistics.median(times) * 1e6


async def appends(directory: Path, waiters: int, seconds: float) -> str:
    """One row of the table."""
    ledger = Ledger.open(directory, Signer.generate("ledger.example/bench"), limits=Limits(reserve_bytes=0))
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (start := time.perf_counter()) < end:
            await ledger.wait(ledger.append(LEAF, SEALED))
            times.append(time.perf_counter() - start)

    cpu = time.process_time()
    await asyncio.gather(*(caller() for _ in range(waiters)))
    cpu = time.process_time() - cpu
    grouping = len(ledger) / ledger.commits
    await ledger.aclose()
    times.sort()
    p50, p99 = (times[int(len(times) * part)] * 1e3 for part in (0.5, 0.99))
    rate = len(times) / seconds
    return f"{waiters:>7} {rate:>10.0f} {grouping:>12.1f} {p50:>8.2f} {p99:>8.2f} {cpu / len(times) * 1e6:>8.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured (a temporary folder is made in it)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        directory = Path(name)
        rate, median = bare(directory, arguments.seconds)
        print(f"bare write + fdatasync: {rate:.0f}/s, median {median:.0f} us")
        print("waiters  appends/s entries/sync   p50 ms   p99 ms   cpu us")
        for waiters in (1, 16, 64):
            print(uvloop.run(appends(directory / f"log{waiters}", waiters, arguments.seconds)))


if __name__ == "__main__":
    main()
