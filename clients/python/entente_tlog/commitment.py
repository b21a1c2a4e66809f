"""Salted commitments: what a leaf holds in place of a value.

A leaf never holds a record's id, a case reference or free text. It holds SHA-256 over a 32-byte random salt and the
value; the salt travels in the receipt, outside the leaf, and lies in the sealed detail. Without the salt a commitment
cannot be tried against a dictionary; with it, anyone who knows the value can check it.

The kind and NUL separate the domains: no value of one kind opens a commitment of another.
"""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import sha256

SALT_SIZE = 32
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def content_hash(salt: bytes, content: bytes) -> str:
    """`request_hash` and `response_hash`: hex SHA-256(salt || bytes)."""
    digest = sha256(salt)
    digest.update(content)
    return digest.hexdigest()


def record_commitment(salt: bytes, record_id: str, version: int) -> str:
    """base64url without padding of SHA-256(salt || "record" 0 id 0 version)."""
    return _text(sha256(b"%brecord\0%b\0%d" % (salt, record_id.encode(), version)).digest())


def text_commitment(salt: bytes, kind: str, text: str) -> str:
    """base64url without padding of SHA-256(salt || kind 0 text)."""
    return _text(sha256(b"%b%b\0%b" % (salt, kind.encode(), text.encode())).digest())


def _text(digest: bytes) -> str:
    return b2a_base64(digest, newline=False).translate(_URL_SAFE, b"=").decode()
