"""The real OPA, for authors: found on this machine, asked to check and to test, or run as a server for a while.

Looked for in this order: `OPA_BIN`, `opa` on the PATH, `~/.cache/entente/opa-<version>`. The version that the broker is
tested with stands in `policies/OPA_VERSION`; another one is refused where it was named, and passed over where it was
merely found. A server listens on loopback or on a socket in a folder of its own, and ends with the `with` block.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker.decide.bundle import policy_folder

VERSION = (policy_folder() / "OPA_VERSION").read_text().strip()
START_S = 15.0


def cached_opa() -> Path:
    """Where a machine keeps its own OPA of this version."""
    return Path.home() / ".cache" / "entente" / f"opa-{VERSION}"


def find_opa() -> Path | None:
    """The pinned OPA, if it is there. Raises RuntimeError when `OPA_BIN` names another version."""
    named = os.environ.get("OPA_BIN")
    if named:
        if _version(Path(named)) != VERSION:
            raise RuntimeError(f"OPA_BIN is not OPA {VERSION}: {named}")
        return Path(named)
    on_path = shutil.which("opa")
    for candidate in (Path(on_path) if on_path else None, cached_opa()):
        if candidate is not None and candidate.is_file() and _version(candidate) == VERSION:
            return candidate
    return None


@contextmanager
def serving(opa: Path, arguments: Sequence[str], *, socket_path: Path | None = None) -> Iterator[str]:
    """Run a server with these arguments; yields its address once it says that it is ready. Raises RuntimeError."""
    port = free_port()
    address = f"unix://{socket_path}" if socket_path else f"127.0.0.1:{port}"
    diagnostics = ["--diagnostic-addr", f"127.0.0.1:{port}"] if socket_path else []
    command = [str(opa), "run", "--server", "--disable-telemetry", "--log-level=error", f"--addr={address}"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, *diagnostics, *arguments], stdout=log, stderr=log)
        try:
            if not _gets_ready(process, f"http://127.0.0.1:{port}/health?bundles"):
                log.seek(0)
                raise RuntimeError(f"OPA did not get ready: {log.read()[-2000:].decode(errors='replace')}")
            yield address if socket_path else f"http://{address}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _version(binary: Path) -> str:
    """What it says of itself; of anything else than an OPA nothing."""
    try:
        said = subprocess.run([str(binary), "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.match(r"Version: (\S+)", said)
    return f"v{found[1]}" if found else ""


def _gets_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - this machine's own address
                if answer.status == 200:
                    return True
        except OSError:
            time.sleep(0.02)
    return False
