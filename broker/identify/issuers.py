"""Which issuer may speak for which agency, and with which keys.

MUSTs:
1. An issuer speaks for exactly one agency. No two issuers are given one key, by file or by registration: one agency
   could sign as the other. What a URL publishes is its owner's word alone: a copy of another's public key signs
   nothing, and must not take the key away from whoever holds it.
2. Its keys come from where an operator or an approved registration says, never from a place that a token names.
3. Whoever collides with an issuer in force is refused for itself alone; the others stay as they are.
4. What is in force is one immutable set. Another set has another generation, and ends what was accepted under the old.
Does not: fetch, or watch files; `issuer_feed` does, and puts here what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.domain.caller import AgencyId
from broker.identify.claims import LONGEST_NAME
from broker.identify.jwk import IssuerKey
from broker.identify.key_set import LARGEST_KEY_FILE, read_key_set
from broker.identify.lease import Lease


class IssuerFileError(ValueError):
    """An issuer's key file, or the list of issuers, cannot be used. The text names the file and the fault."""


@dataclass(frozen=True, slots=True)
class IssuerEntry:
    """Who an issuer is and where its keys are: in a file, at an https URL, or in the registry's own document.

    `url` is the exact `iss`; `ca` the roots of the server at `jwks_uri`, absent: the system's.
    """

    url: str
    agency: AgencyId
    jwks: Path | None = None
    jwks_uri: str = ""
    ca: Path | None = None
    document: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer with its keys by `kid`. With a lease the keys count only while it holds; `published`: they are whatever
    its URL publishes."""

    url: str
    agency: AgencyId
    keys: Mapping[str, IssuerKey]
    lease: Lease | None = None
    published: bool = False
    fingerprints: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        # Once for each set of keys: every message of a stream asks.
        object.__setattr__(self, "fingerprints", frozenset(key.fingerprint for key in self.keys.values()))

    @property
    def available(self) -> bool:
        """Whether its keys count now."""
        return self.lease is None or self.lease.holds()


@dataclass(frozen=True, slots=True)
class IssuerSet:
    """All issuers of one generation, by URL."""

    generation: int
    by_url: Mapping[str, Issuer]


class Issuers:
    """The issuers in force. Raises ValueError when made from files that cannot be used, or that collide."""

    def __init__(self, entries: Sequence[IssuerEntry] = ()) -> None:
        self._current = IssuerSet(0, {})
        for entry in entries:
            self.put(load(entry))

    @property
    def current(self) -> IssuerSet:
        return self._current

    def put(self, issuer: Issuer) -> None:
        """One issuer, new or with other keys. Raises ValueError where it collides, and changes nothing then."""
        require_issuer_url(issuer.url)
        before = self._current.by_url.get(issuer.url)
        _require_same_agency(issuer, before)
        if not issuer.published:
            _require_unlike(issuer, [other for other in self._current.by_url.values() if not other.published])
        if before is None or before.lease is not issuer.lease or _differs(before, issuer):
            self._swap({**self._current.by_url, issuer.url: issuer})

    def drop(self, url: str) -> None:
        """No longer an issuer: its tokens end."""
        if url in self._current.by_url:
            self._swap({other: issuer for other, issuer in self._current.by_url.items() if other != url})

    def require_admissible(self, issuer: Issuer) -> None:
        """MUST 1 for a new one, against all that are in force: people look into it. Raises ValueError."""
        _require_same_agency(issuer, self._current.by_url.get(issuer.url))
        _require_unlike(issuer, self._current.by_url.values())

    def _swap(self, by_url: Mapping[str, Issuer]) -> None:
        self._current = IssuerSet(self._current.generation + 1, by_url)


def require_issuer_url(url: str) -> None:
    """An issuer is an https URL with a host, and nothing that could make it look like another's. Raises ValueError."""
    shown = url.isascii() and not any(char <= " " or char in '\\"<>@?#\x7f' for char in url)
    if not url.startswith("https://") or not len("https://") < len(url) <= LONGEST_NAME or not shown:
        raise ValueError(
            f"issuer {url!a}: an issuer is an https URL in ASCII, without user, query or fragment (RFC 8414 section 2)"
        )


def load(entry: IssuerEntry) -> Issuer:
    """An issuer with the keys in its file. Raises IssuerFileError."""
    if entry.jwks is None:
        raise IssuerFileError(f"issuer {entry.url}: it has no key file")
    try:
        require_issuer_url(entry.url)
        with entry.jwks.open("rb") as file:
            content = file.read(LARGEST_KEY_FILE + 1)
        return Issuer(entry.url, entry.agency, read_key_set(content))
    except (OSError, ValueError) as error:
        raise IssuerFileError(f"{entry.jwks}: {error}") from error


def _require_same_agency(issuer: Issuer, before: Issuer | None) -> None:
    if before is not None and before.agency != issuer.agency:
        raise ValueError("this issuer speaks for another agency already")


def _require_unlike(issuer: Issuer, others: Iterable[Issuer]) -> None:
    for other in others:
        if other.url != issuer.url and not issuer.fingerprints.isdisjoint(other.fingerprints):
            raise ValueError("one of its keys already belongs to another issuer")


def _differs(before: Issuer, after: Issuer) -> bool:
    """Public keys do not compare by value in every library; what identifies them does."""
    return {(each.key_id, each.algorithm, each.fingerprint) for each in before.keys.values()} != {
        (each.key_id, each.algorithm, each.fingerprint) for each in after.keys.values()
    }
