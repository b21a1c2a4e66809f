"""Which issuer may speak for which agency, and with which keys.

Guarantees: an issuer belongs to exactly one agency; its keys come from a file that the operator named, never from a
place that a token names; each key has one algorithm, fixed when it is loaded; a file with anything doubtful in it (a
private or symmetric member, an unknown key type or member, a weak key, a wrong `use`, `key_ops` or `alg`, a duplicate)
is refused whole, and then the keys in force stay.
Does not: fetch over the network, or watch the files. `reload` is called by whoever knows that they changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.domain.caller import AgencyId
from broker.identify.compact import read_object
from broker.identify.jwk import IssuerKey, read_key

LARGEST_KEY_FILE = 64 * 1024
MOST_KEYS = 32
LONGEST_MEMBER = 8 * 1024
"""A modulus of 8192 bits takes 1,366 characters, a certificate in `x5c` a few thousand."""


class IssuerFileError(ValueError):
    """An issuer's key file, or the list of issuers, cannot be used. The text names the file and the fault."""


@dataclass(frozen=True, slots=True)
class IssuerEntry:
    """As configured: the exact `iss`, the one agency that it speaks for, and the file with its JWK Set."""

    url: str
    agency: AgencyId
    jwks: Path


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer with its keys by `kid`."""

    url: str
    agency: AgencyId
    keys: Mapping[str, IssuerKey]


@dataclass(frozen=True, slots=True)
class IssuerSet:
    """All issuers of one generation, by URL."""

    generation: int
    by_url: Mapping[str, Issuer]


class Issuers:
    """The issuers in force. Raises IssuerFileError when made from files that cannot be used."""

    def __init__(self, entries: Sequence[IssuerEntry]) -> None:
        self._entries: tuple[IssuerEntry, ...] = ()
        self._current = IssuerSet(0, {})
        self.replace(entries)

    @property
    def current(self) -> IssuerSet:
        return self._current

    def replace(self, entries: Sequence[IssuerEntry]) -> None:
        """Another list of issuers, whole or not at all. Raises IssuerFileError."""
        by_url: dict[str, Issuer] = {}
        owners: dict[bytes, str] = {}
        for entry in entries:
            issuer = _load(entry)
            if by_url.setdefault(entry.url, issuer) is not issuer:
                raise IssuerFileError(f"issuer {entry.url} is listed twice")
            for key in issuer.keys.values():
                # One key under two issuers would let one agency sign as the other.
                if owners.setdefault(key.fingerprint, entry.url) != entry.url:
                    raise IssuerFileError(f"{entry.jwks}: key {key.key_id} already belongs to another issuer")
        self._entries = tuple(entries)
        self._current = IssuerSet(self._current.generation + 1, by_url)

    def reload(self) -> None:
        """Reads the same files again. Raises IssuerFileError, and keeps the keys in force."""
        self.replace(self._entries)


def read_key_set(content: bytes) -> dict[str, IssuerKey]:
    """A JWK Set (RFC 7517 section 5) as keys by `kid`. Raises ValueError."""
    if len(content) > LARGEST_KEY_FILE:
        raise ValueError("larger than 64 KiB")
    members = read_object(content, most_containers=4 * MOST_KEYS, longest_string=LONGEST_MEMBER)
    entries = members.get("keys")
    if set(members) != {"keys"} or not isinstance(entries, list) or not 1 <= len(entries) <= MOST_KEYS:
        raise ValueError(f"a JWK Set holds `keys`, a list of 1 to {MOST_KEYS}, and nothing else")
    keys: dict[str, IssuerKey] = {}
    for entry in entries:
        key = read_key(entry)
        if key.key_id in keys or any(key.fingerprint == other.fingerprint for other in keys.values()):
            raise ValueError(f"key {key.key_id} is listed twice")
        keys[key.key_id] = key
    return keys


def _load(entry: IssuerEntry) -> Issuer:
    if not entry.url.startswith("https://"):
        raise IssuerFileError(f"issuer {entry.url}: an issuer is an https URL (RFC 9068 section 2.2, RFC 8414)")
    try:
        with entry.jwks.open("rb") as file:
            content = file.read(LARGEST_KEY_FILE + 1)
        return Issuer(entry.url, entry.agency, read_key_set(content))
    except (OSError, ValueError) as error:
        raise IssuerFileError(f"{entry.jwks}: {error}") from error
