"""Locks among the processes of one user, by files in the user's state folder.

Guarantees: a lock dies with its holder; waiting is bounded. Does not: lock where the system has no `flock` (Windows);
there, only the threads of one process take turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from entente_sdk.errors import ConfigurationError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_LOOK_AGAIN_SECONDS = 0.05


def state_folder(name: str) -> Path:
    """A folder of this user's alone, made if it is missing. Raises ConfigurationError."""
    folder = Path(platformdirs.user_state_dir("entente")) / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"the state folder {folder} cannot be made: {error}", reason="STATE_FOLDER") from error
    return folder


@contextmanager
def file_lock(name: str, *, seconds: float) -> Iterator[None]:
    """Held alone. Raises ConfigurationError when it cannot be had in time."""
    path = state_folder("locks") / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the lock {path} cannot be opened: {error}", reason="STATE_FOLDER") from error
    try:
        _acquire(descriptor, path, seconds)
        yield
    finally:
        # Closing lets go.
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, seconds: float) -> None:
    if fcntl is None:  # pragma: no cover - Windows
        return
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ConfigurationError(
                    f"another process has held {path} for {seconds:.0f} s", reason="STATE_FOLDER"
                ) from None
            time.sleep(_LOOK_AGAIN_SECONDS)
