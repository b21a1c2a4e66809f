"""The demo's world: a folder, a development network in it, and its broker as a process of its own.

MUSTs:
1. The broker is stopped when the block is left: at the end, after an error, after Ctrl-C, SIGTERM or SIGHUP.
2. It is stopped by its own handle; no process is looked for by name.
3. A folder that is not to be kept is removed; one that holds something already is never used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from certs import network
from certs.network import Network
from entente_sdk.demo.checks import DemoError

START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
LOG_LINES_SHOWN = 30
SERVING = "serving on "
_NEEDED = ("broker", "uvloop", "sqlalchemy", "protovalidate", "regorus")


class Broker:
    """A running broker. `stop` may be called twice."""

    def __init__(self, net: Network, log: Path) -> None:
        self.network = net
        self.log = log
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches the demo, which stops the broker when the block is left.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "broker", "--config", str(net.broker_config)],
                cwd=net.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_serves(self) -> None:
        """Raises DemoError with the end of its log."""
        deadline = time.monotonic() + START_SECONDS
        while not any(line.startswith(SERVING) for line in self._lines()):
            code = self._process.poll()
            if code is not None:
                raise DemoError("the broker did not start", "BROKER_NOT_STARTED")
            if time.monotonic() > deadline:
                why = f"the broker did not serve within {START_SECONDS:.0f} s. {self._log_end()}"
                raise DemoError(why, "BROKER_NOT_STARTED")
            time.sleep(POLL_SECONDS)

    def explain_end(self, error: DemoError) -> None:
        """Raises DemoError with the end of its log where it has ended by itself: that is why the demo failed."""
        code = self._process.poll()
        if code is not None:
            why = f"{error.message}. The broker ended by itself, with status {code}. {self._log_end()}"
            raise DemoError(why, error.reason) from error

    def stop(self) -> None:
        """Ask it to stop; after 20 s, end it."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def _log_end(self) -> str:
        return "\n".join(["The end of its log:", *self._lines()[-LOG_LINES_SHOWN:]])


@contextlib.contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """The folder to keep, or one that is removed afterwards. Raises DemoError where it is in use or cannot be made."""
    if keep is None:
        made = Path(tempfile.mkdtemp(prefix="entente-demo-"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        used = any(keep.iterdir())
    except OSError as error:
        raise DemoError(f"{keep} cannot be used: {error.strerror}", "FOLDER_UNUSABLE") from error
    if used:
        raise DemoError(f"{keep} is not empty; name a new folder for --keep", "FOLDER_UNUSABLE")
    yield keep.resolve()


@contextlib.contextmanager
def running_broker(directory: Path) -> Iterator[Broker]:
    """A development network in `directory`, and its broker serving on a free loopback port. Raises DemoError."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        needed = "the demo runs a broker: pip install 'entente[broker]'"
        raise DemoError(f"{needed} (missing: {', '.join(missing)})", "BROKER_MISSING")
    net = network.create(directory, f"127.0.0.1:{free_port()}")
    broker = Broker(net, directory / "broker.log")
    try:
        broker.wait_until_it_serves()
        yield broker
    except DemoError as error:
        broker.explain_end(error)
        raise
    finally:
        broker.stop()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, and SIGHUP where there is one, interrupt as Ctrl-C does, so that nothing is left running."""
    names = [signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else [])]
    before = {name: signal.signal(name, signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
