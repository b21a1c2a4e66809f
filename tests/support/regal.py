"""Regal, the linter of Rego: found or built, at the version that `policies/REGAL_VERSION` pins.

Looked for in this order: `REGAL_BIN`, `~/.cache/entente/regal-<version>`; else built into that cache from its Go
module, whose checksums Go verifies. A build does not know its own version, so none is looked for on the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from broker.decide.bundle import policy_folder

VERSION = (policy_folder() / "REGAL_VERSION").read_text().strip()
MODULE = "github.com/open-policy-agent/regal"
BUILD_S = 900.0


def find_regal() -> Path | None:
    """Regal, if it is there."""
    named = os.environ.get("REGAL_BIN")
    found = Path(named) if named else _cached()
    return found if found.is_file() else None


def require_regal() -> Path:
    """Regal, built where it is absent. Raises RuntimeError with what to do."""
    found = find_regal()
    if found is not None:
        return found
    if shutil.which("go") is None:
        raise RuntimeError(f"Regal {VERSION} is absent and there is no Go to build it with; set REGAL_BIN")
    _cached().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # Built from a module that requires it, and not by `go install`, which would ask for the list of its versions.
        (Path(folder) / "go.mod").write_text(f"module build\n\nrequire {MODULE} {VERSION}\n")
        built = Path(folder) / "regal"
        subprocess.run(
            ["go", "build", "-mod=mod", "-o", str(built), MODULE],
            cwd=folder,
            env=os.environ | {"CGO_ENABLED": "0"},
            check=True,
            timeout=BUILD_S,
        )
        # Moved into place whole: another run may be looking for it.
        waiting = _cached().with_suffix(f".{os.getpid()}")
        shutil.move(built, waiting)
        waiting.replace(_cached())
    return _cached()


def _cached() -> Path:
    return Path.home() / ".cache" / "entente" / f"regal-{VERSION}"
