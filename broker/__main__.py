"""`entente serve`, and `python -m broker`: run a broker in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.identify.tls import require_tls13

if TYPE_CHECKING:
    from broker.config import Config


def serve(
    config: Annotated[Path, typer.Option(help="The broker's configuration; see docs/operating.md.")] = Path(
        "broker.toml"
    ),
    workers: Annotated[int, typer.Option(help="Processes that serve, one for each core.", min=1, max=256)] = 1,
) -> None:
    """Serve until SIGINT or SIGTERM. There is no option that turns TLS, policy or audit off."""
    require_tls13()
    # Everything that imports grpc comes after the line above: it reads its TLS settings once.
    from broker.config import ConfigError, load
    from broker.domain.clock import SystemClock
    from broker.domain.errors import UnavailableError
    from broker.lines import log_to_stderr
    from broker.workers.lock import DataFolderInUseError, sole_user, wait_for_orphans
    from broker.workers.port import PortTakenError
    from broker.workers.serving import supervise

    log_to_stderr()
    try:
        settings = load(config)
        with sole_user(settings.broker.data):
            wait_for_orphans(settings.broker.data, SystemClock())
            status = supervise(config, settings, workers) if workers > 1 else serve_alone(settings)
    except (ConfigError, DataFolderInUseError, PortTakenError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except UnavailableError as error:
        # An OPA that is not there, above all: no defect of the broker's, and no reason to start without it.
        typer.echo(f"{error.message} ({error.detail})", err=True)
        raise typer.Exit(6) from None
    raise typer.Exit(status)


def serve_alone(settings: Config) -> int:
    """One process does it all."""
    import uvloop

    from broker.app import Broker, settle_memory
    from broker.domain.slot import Slot, slots_present
    from broker.workers.recover import recover

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stopping.set)
        await recover(settings, [slot for slot in slots_present(settings.broker.data) if slot != Slot()])
        broker = await Broker.start(settings)
        settle_memory()
        # A line that scripts wait for.
        print(f"serving on {broker.address}", flush=True)
        await stopping.wait()
        await broker.stop()

    uvloop.run(run())
    return 0


if __name__ == "__main__":
    application = typer.Typer(pretty_exceptions_enable=False)
    application.command()(serve)
    application()
