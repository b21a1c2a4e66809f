"""The files that prove who we are and whom we trust, read as one and watched.

Guarantees: certificate and key are taken together or not at all; while what lies on disk is half written, or does not
fit together, the former pair stays in use. Files are looked at once a second at most, by `stat`, through links.
Does not: judge the certificate by the agencies' profile; `entente doctor` does.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import Profile

LOOK_EVERY_SECONDS = 1.0

_Seen = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What a channel is made of. `thumbprint` is RFC 8705's, empty without a certificate; times in epoch seconds."""

    roots: bytes = field(repr=False)
    chain: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    thumbprint: str = ""
    not_before: float = 0.0
    not_after: float = float("inf")


def read_material(profile: Profile) -> Material:
    """The profile's files. Raises ConfigurationError that names the setting at fault."""
    roots = read("ca", profile.ca)
    certificates("ca", roots)
    if profile.certificate is None or profile.key is None:
        return Material(roots)
    chain, key = read("certificate", profile.certificate), read("key", profile.key)
    leaf = certificates("certificate", chain)[0]
    require_pair(leaf, key)
    return Material(
        roots,
        chain,
        key,
        thumbprint(leaf),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def read(setting: str, path: Path) -> bytes:
    """A file's bytes. Raises ConfigurationError with the setting's name."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} cannot be read: {error}") from error


def certificates(setting: str, pem: bytes) -> list[x509.Certificate]:
    """At least one. Raises ConfigurationError with the setting's name."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationError(f"{setting} does not hold a certificate in PEM") from error


def thumbprint(certificate: x509.Certificate) -> str:
    """`x5t#S256`: SHA-256 of the DER, base64url without padding (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


def require_pair(leaf: x509.Certificate, key_pem: bytes) -> None:
    """Raises ConfigurationError where the key is none, or another certificate's."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError("key does not hold an unencrypted private key in PEM") from error
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ConfigurationError("key does not belong to certificate")


class WatchedMaterial:
    """The material in force. Not thread-safe: its user holds a lock."""

    def __init__(self, profile: Profile, clock: Callable[[], float] = time.monotonic) -> None:
        self._profile = profile
        self._clock = clock
        self._current: Material | None = None
        self._seen: _Seen = ()
        self._look_at = 0.0

    def current(self, *, look: bool = False) -> Material:
        """As last taken from disk; `look` does not wait for the second to pass. Raises ConfigurationError at first."""
        if self._current is not None and not look and self._clock() < self._look_at:
            return self._current
        # Before the files are read: what changes in between is seen the next time.
        seen = self._stat()
        if self._current is None:
            self._current, self._seen = read_material(self._profile), seen
        elif seen != self._seen:
            self._take(self._current, seen)
        self._look_at = self._clock() + LOOK_EVERY_SECONDS
        return self._current

    def _take(self, current: Material, seen: _Seen) -> None:
        try:
            found = read_material(self._profile)
        except ConfigurationError:
            # Half written, or away for a moment: what is in use still holds, and the next look comes.
            return
        self._seen = seen
        if not found.not_after < time.time() <= current.not_after:
            self._current = found

    def _stat(self) -> _Seen:
        found = []
        for path in (self._profile.ca, self._profile.certificate, self._profile.key):
            try:
                stat = path.stat() if path is not None else None
            except OSError:
                stat = None
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat is not None else (0, 0, 0))
        return tuple(found)
