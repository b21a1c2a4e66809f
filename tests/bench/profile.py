"""Where the time of a durable Get goes, by room of the house: cProfile over the broker while a client in another
process calls it. Shares are of the broker's own Python time; the profiler itself slows small functions most.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
from collections import Counter
from pathlib import Path

from broker.identify.tls import require_tls13

require_tls13()

import uvloop  # noqa: E402

from broker.app import Broker  # noqa: E402
from broker.config import load  # noqa: E402
from certs import network  # noqa: E402
from tests.bench.__main__ import SERVICE, requests  # noqa: E402
from tests.bench.load import Load, measure  # noqa: E402
from tests.bench.seed import fill  # noqa: E402
from tests.support.live import ROOT, LiveBroker, free_port, party_named  # noqa: E402

ROOMS = ("identify", "decide", "handle", "release", "audit", "store", "domain")


def room(filename: str) -> str:
    """The room that a source file belongs to."""
    for name in ROOMS:
        if f"/broker/{name}/" in filename:
            return name
    if "/entente_tlog/" in filename:
        return "audit"
    if "/broker/" in filename:
        return "pipeline and door"
    if "/grpc/" in filename:
        return "grpc"
    if "sqlalchemy" in filename:
        return "store"
    return "built-in and other" if filename.startswith("~") else Path(filename).parent.name


async def client(directory: Path, listen: str, pid: int) -> None:
    """Fill, then call Get from 16 callers for five seconds."""
    broker = LiveBroker(network.Network(directory, listen))
    whom = party_named["regional"]
    ids = await fill(broker, 200)
    print("filled", flush=True)
    request = requests(ids)["GetReport"]
    load = Load(
        "GetReport",
        listen,
        broker.credentials(whom),
        f"{SERVICE}GetReport",
        request,
        broker.metadata(whom),
        pid,
    )
    print((await measure(load, 16, 5.0)).calls, flush=True)


async def serve(directory: Path, listen: str, profiler: cProfile.Profile) -> int:
    """Serve while the client runs; profile from when it has filled the store. Returns its number of calls."""
    broker = await Broker.start(load(directory / "broker.toml"))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.profile", str(directory), listen, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await child.stdout.readline()
    profiler.enable()
    calls = int(await child.stdout.readline())
    profiler.disable()
    await child.wait()
    await broker.stop()
    return calls


def profile() -> None:
    """Print the shares, and the functions that take most."""
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory() as scratch:
        listen = f"127.0.0.1:{free_port()}"
        network.create(Path(scratch) / "network", listen)
        calls = uvloop.run(serve(Path(scratch) / "network", listen, profiler))
    stats = pstats.Stats(profiler)
    times: Counter[str] = Counter()
    for (filename, _, _), (_, _, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        times[room(filename)] += own
    whole = sum(times.values())
    print(f"\nWhere a Get's time goes ({calls} calls, 16 callers, under cProfile)")
    for name, own in times.most_common(12):
        print(f"  {name:24} {own / whole:6.1%}  {own / calls * 1e6:7.1f} us a call")
    stats.sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    import os

    uvloop.run(client(Path(sys.argv[1]), sys.argv[2], os.getppid()))
