"""Files that are whole or absent: a key is never readable by others, not even for an instant.

Guarantees: a file appears under its name only when it is complete and on disk (written beside, fsynced, renamed);
its mode is set at creation, before the first byte.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replaces `path` in one step. Raises OSError; then the former file, if any, is untouched."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL: never follow or reuse what somebody else put there.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
