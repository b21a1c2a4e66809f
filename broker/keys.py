"""The broker's own secrets, in `<data>/keys`, made on the first start and never printed.

`log.key` (of slot k: `log-k.key`) signs checkpoints; its public half is `<data>/log.vkey` (`log-k.vkey`), which clients
pin. `cursor.key` seals page tokens; `pseudonym.key` makes pseudonyms; all workers share both.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from broker.domain.slot import Slot
from entente_tlog.note import Signer

SECRET_BYTES = 32
_SECRET_MODE, _PUBLIC_MODE = 0o600, 0o644


def log_signer(data: Path, broker: str, slot: Slot) -> Signer:
    """The signer of a slot's log. Raises ValueError when the key belongs to another broker's name."""
    path, origin = slot.signing_key(data), slot.origin(broker)
    if not path.exists():
        _write(path, Signer.generate(origin).private_text().encode(), _SECRET_MODE)
    signer = Signer.parse(path.read_text(encoding="ascii").strip())
    if signer.name != origin:
        raise ValueError(f"{path} is the key of {signer.name!r}, and the log of this broker's slot is {origin!r}")
    public, text = slot.public_key(data), f"{signer.verifier}\n".encode()
    if not public.exists() or public.read_bytes() != text:
        _write(public, text, _PUBLIC_MODE)
    return signer


def cursor_key(data: Path) -> bytes:
    """The key that seals page tokens and cursors: 32 bytes."""
    return _secret(data / "keys" / "cursor.key")


def pseudonym_key(data: Path) -> bytes:
    """The key under which pseudonyms are made: 32 bytes.

    A new one gives every value a new pseudonym, whose first letters say that it is another key's: whoever follows a
    case by its pseudonyms has to begin again. So it is backed up with the other keys, and replaced only when it leaked.
    """
    return _secret(data / "keys" / "pseudonym.key")


def _secret(path: Path) -> bytes:
    if not path.exists():
        _write(path, secrets.token_bytes(SECRET_BYTES), _SECRET_MODE)
    return path.read_bytes()


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or absent, and with its mode from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
