"""A Node program that a test starts: installed once, by its lock file, into the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs
import pytest

INSTALL_SECONDS = 180


def installed(source: Path) -> Path:
    """The program's folder with all that it needs, made once for each state of its files. Skips without node."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        _absent(f"{missing[0]} is not installed")
    files = sorted(file for file in source.iterdir() if file.is_file())
    state = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = Path(platformdirs.user_cache_dir("entente")) / f"{source.name}-{state}"
    if not folder.is_dir():
        _install(files, folder)
    return folder


def _install(files: list[Path], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        for file in files:
            shutil.copy(file, making)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            _absent(f"npm ci failed: {done.stderr[-500:]}")
        # Another test may have been faster: its folder is as good.
        with contextlib.suppress(OSError):
            making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _absent(why: str) -> None:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"no identity provider, and CI must not skip it: {why}")
    pytest.skip(f"no identity provider: {why}")
