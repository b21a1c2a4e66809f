"""The broker's own secrets, in `<data>/keys`, made on the first start and never printed.

`log.key` signs checkpoints; its public half is `<data>/log.vkey`, which clients pin. `cursor.key` seals page tokens.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from entente_tlog.note import Signer

CURSOR_KEY_BYTES = 32


def log_signer(data: Path, origin: str) -> Signer:
    """The log's signer. Raises ValueError when the key belongs to another broker's name."""
    path = data / "keys" / "log.key"
    if not path.exists():
        _write_secret(path, Signer.generate(origin).private_text().encode())
    signer = Signer.parse(path.read_text(encoding="ascii").strip())
    if signer.name != origin:
        raise ValueError(f"{path} is the key of {signer.name!r}, and the broker's name is {origin!r}")
    (data / "log.vkey").write_text(f"{signer.verifier}\n", encoding="ascii")
    return signer


def cursor_key(data: Path) -> bytes:
    """The key that seals page tokens and cursors: 32 bytes."""
    path = data / "keys" / "cursor.key"
    if not path.exists():
        _write_secret(path, secrets.token_bytes(CURSOR_KEY_BYTES))
    return path.read_bytes()


def _write_secret(path: Path, content: bytes) -> None:
    """Whole or absent, and readable by its owner alone from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
