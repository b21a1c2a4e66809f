"""`entente serve --workers N`, N above 1: the supervisor's process, from its lock to its exit status.

It does not serve, and so it never starts gRPC. SIGTERM and SIGINT stop all workers gracefully. SIGHUP reads the
configuration again and replaces the workers one by one; a configuration that cannot be used leaves those that serve as
they are, and says so.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import structlog

from broker.config import Config, ConfigError, load
from broker.domain.clock import Clock, SystemClock
from broker.domain.slot import slots_present
from broker.workers.drain import longest_seconds
from broker.workers.port import held_port
from broker.workers.prepare import prepare, slots_for
from broker.workers.process import WorkerProcess, recover_slots
from broker.workers.supervisor import NOT_STARTED, Supervisor

# Beyond what a worker needs by its own reckoning.
DRAIN_MARGIN_SECONDS = 30.0

_logger = structlog.get_logger("entente.supervisor")


def supervise(path: Path, config: Config, workers: int) -> int:
    """Serve until told to stop; the exit status. Raises what keeps a broker from starting."""
    clock = SystemClock()
    with held_port(config.broker.listen) as address:
        prepare(config, workers, clock)
        return asyncio.run(Serving(path.absolute(), config, workers, address, clock).run())


class Serving:
    """The supervisor between its first signal and its last."""

    def __init__(self, path: Path, config: Config, workers: int, address: str, clock: Clock) -> None:
        self._path, self._config, self._workers = path, config, workers
        self._address = address
        self._clock = clock
        self._supervisor = Supervisor(
            lambda slot: WorkerProcess.spawn(path, slot, address),
            lambda slots: recover_slots(path, slots),
            workers,
            clock,
        )
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> int:
        """The exit status: 0 when it was told to stop and all workers ended well."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        serving, told = asyncio.create_task(self._serve()), asyncio.create_task(self._stop.wait())
        await asyncio.wait((serving, told), return_when=asyncio.FIRST_COMPLETED)
        for task in (serving, told):
            task.cancel()
        await asyncio.gather(serving, told, return_exceptions=True)
        ended_well = await self._supervisor.stop()
        _logger.info("stopped", workers=self._workers)
        if not serving.cancelled():
            # It ended by itself: the workers did not start, or this raises what nobody expected.
            serving.result()
            return NOT_STARTED
        return 0 if ended_well else NOT_STARTED

    async def _serve(self) -> None:
        """Returns only where the workers could not be started."""
        free = set(slots_present(self._config.broker.data)) - set(slots_for(self._workers)[:-1])
        if not await self._supervisor.start(sorted(free)):
            _logger.error("not_started", why="a worker did not come to serve, or a log could not be recovered")
            return
        # A line that scripts wait for.
        print(f"serving on {self._address}", flush=True)
        _logger.info("serving", address=self._address, workers=self._workers)
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._restart()

    async def _restart(self) -> None:
        drain_seconds = longest_seconds(self._config.limits) + DRAIN_MARGIN_SECONDS
        try:
            self._config = await asyncio.to_thread(self._read_again)
        except (ConfigError, ValueError, OSError) as error:
            _logger.error("configuration_refused", why=str(error))
            return
        await self._supervisor.restart(drain_seconds)

    def _read_again(self) -> Config:
        """The configuration as it is now. Raises ConfigError where the workers cannot go over to it one by one."""
        config = load(self._path)
        for key in ("name", "listen", "data"):
            if getattr(config.broker, key) != getattr(self._config.broker, key):
                raise ConfigError(f"{self._path}: broker.{key} has changed: stop the broker and start it again")
        prepare(config, self._workers, self._clock)
        return config
