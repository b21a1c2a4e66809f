"""A real broker in its own process, and raw clients for it: what flows, attacks and benchmarks talk to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from certs import network
from certs.authority import Authority
from certs.network import PARTIES, STAFF, Network, Party

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0

party_named = {party.profile: party for party in (*PARTIES, *STAFF)}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LiveBroker:
    """`python -m broker` over a development network's folder. Stops by itself with the test."""

    def __init__(self, net: Network, *, environment: dict[str, str] | None = None, workers: int = 1) -> None:
        self.network = net
        self.workers = workers
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        self._tokens: dict[str, tuple[float, str]] = {}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        return self.network.listen

    def start(self) -> LiveBroker:
        """Start, and wait until it serves."""
        # Relative, as an operator types it.
        command = [sys.executable, "-m", "broker", "--config", os.path.relpath(self.network.broker_config, ROOT)]
        if self.workers > 1:
            command += ["--workers", str(self.workers)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._collect, args=(self._process,), daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("serving on"):
            self._process.wait(timeout=max(0.1, deadline - time.monotonic()))
            raise AssertionError("the broker did not start:\n" + "\n".join(self.log[-40:]))
        return self

    def stop(self) -> int:
        """Ask it to stop; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=30)
        self._close()
        return code

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)
        self._close()

    def reload(self) -> None:
        """SIGHUP: the configuration is read again, and several workers are replaced one by one."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The broker's own lines so far, in order."""
        return [json.loads(line) for line in list(self.log) if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event so far."""
        return [line for line in self.log_lines if line["event"] == event]

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _close(self) -> None:
        assert self._process is not None
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.log.append(line.rstrip("\n"))

    def credentials(self, party: Party) -> grpc.ChannelCredentials:
        """mTLS as this party's agency."""
        files = Authority.open(self.network.directory / "authority").agency(*party.agency.split("/"))
        return grpc.ssl_channel_credentials(
            files.root.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
        )

    def channel(self, party: Party) -> grpc.Channel:
        """A channel with its own connection."""
        return grpc.secure_channel(self.address, self.credentials(party), CHANNEL_OPTIONS)

    def aio_channel(self, party: Party) -> grpc.aio.Channel:
        """The same for asyncio."""
        return grpc.aio.secure_channel(self.address, self.credentials(party), CHANNEL_OPTIONS)

    def metadata(self, party: Party) -> tuple[tuple[str, str], ...]:
        """A bearer token, renewed when it is four minutes old."""
        made, token = self._tokens.get(party.profile, (0.0, ""))
        if time.monotonic() - made > 240 or not token:
            made, token = time.monotonic(), network.token(self.network.directory, party)
            self._tokens[party.profile] = (made, token)
        return (("authorization", f"Bearer {token}"),)


# For a load that measures how fast the broker is, and not how well it bounds one agency.
ROOMY = {"calls": 4096, "requests_per_second": 1_000_000, "burst": 1_000_000, "bytes_per_second": 1 << 40}

CHANNEL_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 32 << 20))


@contextlib.contextmanager
def live_broker(
    directory: Path,
    *,
    engine: str = "embedded",
    opa_url: str = "",
    environment: dict[str, str] | None = None,
    workers: int = 1,
    limits: Mapping[str, int] | None = None,
) -> Iterator[LiveBroker]:
    """A fresh network in `directory`, with its broker running: one process, or a supervisor with workers."""
    net = network.create(
        directory, f"127.0.0.1:{free_port()}", engine=engine, opa_url=opa_url, workers=workers, limits=limits
    )
    broker = LiveBroker(net, environment=environment, workers=workers).start()
    try:
        yield broker
    finally:
        if broker.running():
            broker.stop()
