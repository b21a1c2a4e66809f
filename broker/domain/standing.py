"""What is revoked, as every worker holds it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from broker.domain.caller import Caller

# Default_Ignorable_Code_Point of Unicode 15: what is not seen.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

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
        users: (agency as `trust-domain/agency`, user as `folded`).
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

    def with_target(self, target: Target) -> Revoked:
        """The same, and what ends a person's rights (USER, ISSUER, AGENCY) by this target too."""
        first = target.parts[0]
        if target.kind == USER:
            return replace(self, users=self.users | {(first, folded(target.parts[1]))})
        if target.kind == ISSUER:
            return replace(self, issuers=self.issuers | {first})
        return replace(self, agencies=self.agencies | {first}) if target.kind == AGENCY else self

    def holds(self, caller: Caller) -> bool:
        """Whether this caller is revoked, in whatever way."""
        agency = str(caller.agency)
        return (
            agency in self.agencies
            or caller.thumbprint in self.certificates
            or caller.issuer in self.issuers
            or (caller.issuer, caller.token_id) in self.tokens
            or any(self.holds_user(agency, person) for person in (caller.user, *caller.on_behalf_of))
        )

    def holds_user(self, agency: str, user: str) -> bool:
        """Whether this person is revoked."""
        return (agency, folded(user)) in self.users


def folded(user: str) -> str:
    """A user's name whatever its letter case or Unicode form, and without what is not seen: an issuer that takes them
    for one must not offer a way round. (NFKC_Casefold, Unicode section 3.13.)"""
    if user.isascii():
        return user.lower()
    seen = _IGNORABLE.sub("", unicodedata.normalize("NFKC", user))
    return unicodedata.normalize("NFKC", seen.casefold())
