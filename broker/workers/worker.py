"""`python -m broker.workers.worker`: one worker, as the supervisor starts it.

What it is told comes over standard input, which the supervisor alone holds open: a line `drain`; its end means that the
supervisor is gone, and the worker stops by itself, as on SIGTERM. `serving on ADDRESS` goes to standard output.

MUSTs:
1. It never outlives its supervisor by more than a graceful stop takes.
2. Once its log is poisoned it ends with status 1: starting again is what recovers a log (audit invariant 4).
3. A drained worker takes no new connection, and ends when those that it has are gone or have had their time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from broker.config import Config, load
from broker.domain.slot import Slot
from broker.identify.tls import require_tls13
from broker.lines import log_to_stderr
from broker.workers.drain import drain

if TYPE_CHECKING:
    from broker.app import Broker

DRAIN = "drain"
POISON_LOOK_SECONDS = 0.5
POISONED = 1

_logger = structlog.get_logger("entente.worker")


class Orders:
    """What the supervisor says, as two events."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.drain = asyncio.Event()

    def listen(self) -> None:
        """Follow signals and standard input. The terminal's signals are the supervisor's to act on."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        for name in (signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(name, lambda: None)
        loop.add_reader(sys.stdin.fileno(), self._read)

    def _read(self) -> None:
        line = os.read(sys.stdin.fileno(), 100)
        if not line:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.stop.set()
        elif line.decode().strip() == DRAIN:
            self.drain.set()


async def serve(config: Config, slot: Slot) -> int:
    """Serve until told otherwise; the exit status."""
    # Imports grpc, which reads its TLS settings once.
    from broker.app import Broker, settle_memory

    orders = Orders()
    orders.listen()
    broker = await Broker.start(config, slot=slot)
    settle_memory()
    # Where nobody reads it any more, the supervisor is gone, and standard input says so too.
    with contextlib.suppress(BrokenPipeError):
        print(f"serving on {broker.address}", flush=True)
    ends = [asyncio.create_task(one) for one in (orders.stop.wait(), _poisoned(broker), _drained(broker, orders))]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in ends:
        task.cancel()
    await broker.stop()
    return 0 if broker.ledger.failure is None else POISONED


async def _poisoned(broker: Broker) -> None:
    while broker.ledger.failure is None:  # noqa: ASYNC110 - the log says it to those who append, and to nobody else
        await asyncio.sleep(POISON_LOOK_SECONDS)
    _logger.error("log_poisoned", why=broker.ledger.failure)


async def _drained(broker: Broker, orders: Orders) -> None:
    await orders.drain.wait()
    await drain(int(broker.address.rpartition(":")[2]), broker.config.limits, broker.streams.shut_down)


def main(
    config: Annotated[Path, typer.Option()],
    slot: Annotated[int, typer.Option()],
    listen: Annotated[str, typer.Option()],
) -> None:
    """Serve on the slot. `listen` is the configuration's address with the port that the supervisor holds."""
    require_tls13()
    import uvloop

    log_to_stderr(Slot(slot))
    settings = load(config)
    shared = replace(settings, broker=replace(settings.broker, listen=listen))
    raise typer.Exit(uvloop.run(serve(shared, Slot(slot))))


if __name__ == "__main__":
    application = typer.Typer(pretty_exceptions_enable=False)
    application.command()(main)
    application()
