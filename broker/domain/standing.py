"""What is revoked, as every worker holds it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# The kinds of a revocation's target, as the store keeps them.
CERTIFICATE, USER, TOKEN, ISSUER, AGENCY = "CERTIFICATE", "USER", "TOKEN", "ISSUER", "AGENCY"


@dataclass(frozen=True, slots=True)
class Target:
    """What a revocation is about.

    Args:
        kind: one of those above.
        parts: CERTIFICATE: SHA-256 of its DER, hexadecimal. USER: agency (`trust-domain/agency`) and user. TOKEN:
            issuer's URL and `jti`. ISSUER: URL. AGENCY: `trust-domain/agency`.
    """

    kind: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation as it stands on file. `agency` is the one that it concerns, empty where that is not known."""

    revocation_id: str
    target: Target
    agency: str
    reason: str
    by_agency: str
    by_user: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """All that is revoked as of one revision of the registry.

    Args:
        certificates: SHA-256 of DER, leaves and authorities alike.
        users: (agency as `trust-domain/agency`, user as `same_person` compares it).
        tokens: (issuer's URL, `jti`).
        issuers: URLs.
        agencies: locked ones, as `trust-domain/agency`.
    """

    revision: int = 0
    certificates: frozenset[bytes] = frozenset()
    users: frozenset[tuple[str, str]] = frozenset()
    tokens: frozenset[tuple[str, str]] = frozenset()
    issuers: frozenset[str] = frozenset()
    agencies: frozenset[str] = frozenset()

    def holds_user(self, agency: str, user: str) -> bool:
        """Whether this person is revoked."""
        return (agency, folded(user)) in self.users


def folded(user: str) -> str:
    """A user's name whatever its letter case or Unicode form: an issuer that takes them for one must not offer a way
    round."""
    if user.isascii():
        return user.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", user).casefold())


def same_person(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two pairs of agency and user name the same person."""
    return one[0] == other[0] and folded(one[1]) == folded(other[1])
