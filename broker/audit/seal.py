"""The sealed part of an entry: detail that only the auditor may open, kept encrypted beside the log.

MUSTs:
1. The leaf holds SHA-256(salt || detail) with a salt of its own, not the receipt's: the caller gets the receipt's salt
   and could otherwise try the private detail against a dictionary.
2. AES-256-GCM under a random nonce, bound to exchange id and phase: a sealed part moved to another entry does not open.
3. Destroying a key leaves every proof valid and its detail unrecoverable (audit invariant 16): the commitment is over a
   salted plaintext, the leaf holds nothing of it.

Format: version 1 (1 byte), key id (4), nonce (12), ciphertext and tag.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entente_tlog.tiles import Writer

SALT_SIZE = 32
_KEY_SIZE = 32
_KEY_ID_SIZE = 4
_NONCE_SIZE = 12
_VERSION = b"\x01"
# Random 96-bit nonces are safe for 2^32 messages under one key (NIST SP 800-38D, 8.3); rotate long before.
_HEADER_SIZE = len(_VERSION) + _KEY_ID_SIZE + _NONCE_SIZE


class SealError(Exception):
    """The sealed part does not open, or is not what the leaf commits to."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """`commitment` (hex) goes into the leaf, `ciphertext` beside it."""

    commitment: str
    ciphertext: bytes


def blind(key: bytes, kind: str, text: str) -> bytes:
    """HMAC-SHA256 index of a value, for exact search in SQL without the value (32 bytes)."""
    return hmac.digest(key, kind.encode() + b"\0" + text.encode(), "sha256")


class SealKeys:
    """The keys of sealed parts (the newest seals, all open) and of the blind index."""

    def __init__(self, sealing: dict[bytes, bytes], current: bytes, blind_key: bytes) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in sealing.items()}
        self._current = self._ciphers[current]
        self._header = _VERSION + current
        self.blind_key = blind_key

    @classmethod
    def generate(cls) -> SealKeys:
        """Keys that exist only in memory."""
        key_id = secrets.token_bytes(_KEY_ID_SIZE)
        return cls({key_id: secrets.token_bytes(_KEY_SIZE)}, key_id, secrets.token_bytes(_KEY_SIZE))

    @classmethod
    def open(cls, directory: Path) -> SealKeys:
        """Load `seal-<serial>-<id>.key` and `blind.key` (0600), making them where absent. Raises SealError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = sorted(directory.glob("seal-*.key"))
        if not paths:
            paths = [directory / f"seal-000001-{secrets.token_hex(_KEY_ID_SIZE)}.key"]
        keys = {bytes.fromhex(path.stem.rpartition("-")[2]): _load(path) for path in paths}
        return cls(keys, bytes.fromhex(paths[-1].stem.rpartition("-")[2]), _load(directory / "blind.key"))

    def seal(self, detail: bytes, context: bytes) -> Sealed:
        """Encrypt detail, bound to `context` (exchange id and phase)."""
        plain = os.urandom(SALT_SIZE) + detail
        nonce = os.urandom(_NONCE_SIZE)
        ciphertext = self._current.encrypt(nonce, plain, context)
        return Sealed(sha256(plain).hexdigest(), self._header + nonce + ciphertext)

    def unseal(self, sealed: bytes, context: bytes, commitment: str) -> bytes:
        """The detail, checked against the leaf's commitment. Raises SealError."""
        cipher = self._ciphers.get(sealed[1 : 1 + _KEY_ID_SIZE])
        if sealed[:1] != _VERSION or cipher is None:
            raise SealError("no key opens this sealed part")
        nonce = sealed[1 + _KEY_ID_SIZE : _HEADER_SIZE]
        try:
            plain = cipher.decrypt(nonce, sealed[_HEADER_SIZE:], context)
        except (InvalidTag, ValueError) as error:
            raise SealError("the sealed part was altered or belongs to another entry") from error
        if not hmac.compare_digest(sha256(plain).hexdigest().encode(), commitment.encode()):
            raise SealError("the sealed part is not what the leaf commits to")
        return plain[SALT_SIZE:]


def _load(path: Path) -> bytes:
    if not path.exists():
        old = os.umask(0o077)
        try:
            writer = Writer()
            writer.write(path, secrets.token_bytes(_KEY_SIZE))
            writer.settle()
        finally:
            os.umask(old)
    key = path.read_bytes()
    if len(key) != _KEY_SIZE:
        raise SealError(f"{path.name} is not a 32-byte key")
    return key
