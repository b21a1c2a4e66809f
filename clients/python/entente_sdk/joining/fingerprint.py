"""A key's fingerprint, as people say it to one another."""

from __future__ import annotations

import hashlib
import re
from typing import Protocol

from cryptography.hazmat.primitives import serialization

from entente_sdk.errors import ConfigurationError

_GROUP = 4
_PER_LINE = 4
_SEPARATORS = re.compile(r"[\s:-]+")
_WHOLE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class PublicKey(Protocol):
    """Any kind of public key."""

    def public_bytes(self, encoding: serialization.Encoding, format: serialization.PublicFormat, /) -> bytes: ...  # noqa: A002


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo, hexadecimal."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key.public_bytes(*form)).hexdigest()


def grouped(text: str) -> list[str]:
    """Four lines of four groups of four digits: short enough to be read back line by line."""
    groups = [text[start : start + _GROUP] for start in range(0, len(text), _GROUP)]
    return [" ".join(groups[start : start + _PER_LINE]) for start in range(0, len(groups), _PER_LINE)]


def typed(text: str) -> str:
    """A fingerprint that somebody typed, with whatever stands between the groups. Raises ConfigurationError."""
    plain = _SEPARATORS.sub("", text).lower()
    if not _WHOLE.fullmatch(plain):
        raise ConfigurationError("a fingerprint is 64 hexadecimal digits, as the agency reads them", reason="USAGE")
    return plain
