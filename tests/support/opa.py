"""A real OPA server for tests: found or built, started on loopback with the broker's bundle, stopped by its own handle.

Looked for in this order: `OPA_BIN`, `opa` on the PATH, `~/.cache/entente/opa-<version>`; else built into that cache by
`go install`. The version is pinned in `policies/OPA_VERSION`; another one is refused where it was named, and passed
over where it was merely found.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.decide.bundle import PolicyBundle, policy_folder

VERSION = (policy_folder() / "OPA_VERSION").read_text().strip()
START_S = 15.0
BUILD_S = 900.0


def find_opa() -> Path | None:
    """The pinned OPA, if it is there. Raises RuntimeError when `OPA_BIN` names another version."""
    named = os.environ.get("OPA_BIN")
    if named:
        if _version(Path(named)) != VERSION:
            raise RuntimeError(f"OPA_BIN is not OPA {VERSION}")
        return Path(named)
    on_path = shutil.which("opa")
    for candidate in (Path(on_path) if on_path else None, _cached()):
        if candidate is not None and candidate.is_file() and _version(candidate) == VERSION:
            return candidate
    return None


def require_opa() -> Path:
    """The pinned OPA, built where it is absent. Raises RuntimeError with what to do."""
    found = find_opa()
    if found is not None:
        return found
    if shutil.which("go") is None:
        raise RuntimeError(f"OPA {VERSION} is absent and there is no Go to build it with; set OPA_BIN")
    _cached().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["go", "install", f"github.com/open-policy-agent/opa@{VERSION}"],
            env=os.environ | {"GOBIN": folder, "CGO_ENABLED": "0"},
            check=True,
            timeout=BUILD_S,
        )
        # Moved into place whole: another run may be looking for it.
        waiting = _cached().with_suffix(f".{os.getpid()}")
        shutil.move(Path(folder) / "opa", waiting)
        waiting.replace(_cached())
    return _cached()


@contextmanager
def running_opa(bundle_folder: Path, *, socket_path: Path | None = None) -> Iterator[str]:
    """Start OPA on a bundle; yields its URL once it has loaded the bundle."""
    port = _free_port()
    address = f"unix://{socket_path}" if socket_path else f"127.0.0.1:{port}"
    probe = f"127.0.0.1:{port}"
    extra = ["--diagnostic-addr", probe] if socket_path else []
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                str(require_opa()),
                "run",
                "--server",
                "--disable-telemetry",
                "--log-level=error",
                f"--addr={address}",
                *extra,
                "--bundle",
                str(bundle_folder),
            ],
            stdout=log,
            stderr=log,
        )
        try:
            if not _gets_ready(process, f"http://{probe}/health?bundles"):
                log.seek(0)
                raise RuntimeError(f"OPA did not get ready: {log.read()[-2000:].decode()}")
            yield address if socket_path else f"http://{address}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def opa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an OPA that answers from the broker's own policies."""
    folder = tmp_path_factory.mktemp("opa-bundle")
    PolicyBundle.load(policy_folder()).write(folder)
    with running_opa(folder) as url:
        yield url


def _cached() -> Path:
    return Path.home() / ".cache" / "entente" / f"opa-{VERSION}"


def _version(binary: Path) -> str:
    said = subprocess.run([str(binary), "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return "v" + said.split()[1]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _gets_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return True
        except OSError:
            time.sleep(0.02)
    return False
