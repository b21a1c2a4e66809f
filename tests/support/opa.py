"""A real OPA server for tests: found or built, started on loopback with the broker's bundle, stopped by its own handle.

Found as authors find it (`broker/authoring/opa_tool.py`); else built into the cache by `go install`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.authoring.opa_tool import VERSION, cached_opa, find_opa, serving
from broker.decide.bundle import PolicyBundle, policy_folder

BUILD_S = 900.0

__all__ = ["VERSION", "find_opa", "opa_server", "require_opa", "running_opa"]


def require_opa() -> Path:
    """The pinned OPA, built where it is absent. Raises RuntimeError with what to do."""
    found = find_opa()
    if found is not None:
        return found
    if shutil.which("go") is None:
        raise RuntimeError(f"OPA {VERSION} is absent and there is no Go to build it with; set OPA_BIN")
    cached_opa().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["go", "install", f"github.com/open-policy-agent/opa@{VERSION}"],
            env=os.environ | {"GOBIN": folder, "CGO_ENABLED": "0"},
            check=True,
            timeout=BUILD_S,
        )
        # Moved into place whole: another run may be looking for it.
        waiting = cached_opa().with_suffix(f".{os.getpid()}")
        shutil.move(Path(folder) / "opa", waiting)
        waiting.replace(cached_opa())
    return cached_opa()


@contextmanager
def running_opa(bundle: Path, *arguments: str, socket_path: Path | None = None) -> Iterator[str]:
    """Start OPA on a bundle; yields its URL once it has loaded the bundle."""
    with serving(require_opa(), [*arguments, "--bundle", str(bundle)], socket_path=socket_path) as address:
        yield address


@pytest.fixture(scope="session")
def opa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an OPA that answers from the broker's own policies."""
    folder = tmp_path_factory.mktemp("opa-bundle")
    PolicyBundle.load(policy_folder()).write(folder)
    with running_opa(folder) as url:
        yield url


# What both deployments run, with the paths of the machine that they are made for.
UNIT = Path(__file__).resolve().parents[2] / "deploy" / "entente-opa.service"
SOCKET, PUBLISHED, PUBLIC_KEY = "/run/entente-opa/opa.sock", "/var/lib/entente-policy", "/etc/entente/policy.pub"


def unit_arguments() -> list[str]:
    """What `ExecStart` of the unit passes to `opa`."""
    joined = UNIT.read_text("utf-8").replace("\\\n", " ")
    (line,) = [line for line in joined.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.partition("=")[2])[1:]


def on_this_machine(arguments: Sequence[str], published: Path, public_key: Path, socket: Path) -> list[str]:
    """A deployment's arguments with a test's own places in them."""
    places = {SOCKET: str(socket), PUBLISHED: str(published), PUBLIC_KEY: str(public_key)}
    return [_replaced(one, places) for one in arguments]


def _replaced(text: str, places: Mapping[str, str]) -> str:
    for before, after in places.items():
        text = text.replace(before, after)
    return text


class FollowingOpa:
    """OPA in production form: as the unit starts it, once the broker has published; again when it is told to."""

    def __init__(self, arguments: Sequence[str], published: Path) -> None:
        self._command, self._published = [str(require_opa()), *arguments], published
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._waiting: threading.Thread | None = None
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def start(self) -> None:
        """Returns at once; it runs as soon as there is a policy."""
        self._over.clear()
        self._waiting = threading.Thread(target=self._run, daemon=True)
        self._waiting.start()

    def stop(self) -> None:
        self._over.set()
        if self._waiting is not None:
            self._waiting.join(10)
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop, for good."""
        self.stop()
        self.log.close()

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def _run(self) -> None:
        while not self._over.wait(0.02):
            if (self._published / "opa.json").exists():
                self._process = subprocess.Popen(self._command, stdout=self.log, stderr=self.log)
                return
