"""What is revoked, as every worker holds it."""

from __future__ import annotations

from dataclasses import dataclass

# The kinds of a revocation's target, as the store keeps them.
CERTIFICATE, USER, TOKEN, ISSUER, AGENCY = "CERTIFICATE", "USER", "TOKEN", "ISSUER", "AGENCY"


@dataclass(frozen=True, slots=True)
class Revoked:
    """All that is revoked as of one revision of the registry.

    Args:
        certificates: SHA-256 of DER, leaves and authorities alike.
        users: (agency as `trust-domain/agency`, user).
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
