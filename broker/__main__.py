"""`entente serve`, and `python -m broker`: run a broker in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from broker.identify.tls import require_tls13


def serve(
    config: Annotated[Path, typer.Option(help="The broker's configuration; see docs/operating.md.")] = Path(
        "broker.toml"
    ),
) -> None:
    """Serve until SIGINT or SIGTERM. There is no option that turns TLS, policy or audit off."""
    require_tls13()
    # Everything that imports grpc comes after the line above: it reads its TLS settings once.
    import uvloop

    from broker.app import Broker
    from broker.config import ConfigError, load

    _log_to_stderr()
    try:
        settings = load(config)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stopping.set)
        broker = await Broker.start(settings)
        # A line that scripts wait for.
        print(f"serving on {broker.address}", flush=True)
        await stopping.wait()
        await broker.stop()

    uvloop.run(run())


def _log_to_stderr() -> None:
    """JSON lines on standard error: events, ids and reasons, never a value from a record."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    typer.run(serve)
