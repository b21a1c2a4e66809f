"""What this area asks of others: the identify stage's strict readers, and what policy and configuration say.

Stages do not import one another, so the composition root hands these over. Each reader raises ValueError with words for
whoever keeps the registry.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from broker.domain.enrolment import IssuedCertificate, RequestedKey
from broker.domain.issuer import IssuerProbe, RegisteredIssuer


@dataclass(frozen=True, slots=True)
class Examiners:
    """The readers, and what is fixed elsewhere.

    Args:
        request: a certificate request in PEM -> what it asks for.
        certificate: a certificate in PEM, with those above it -> what it is, if it could call this broker now.
        issuer: refuses a registration that is malformed or collides with an issuer in force.
        probe: tests an issuer live.
        appointed_roles: roles that count by appointment alone.
        file_issuers: URL -> agency of the issuers in the operator's file, which are changed there.
    """

    request: Callable[[str], RequestedKey]
    certificate: Callable[[str], IssuedCertificate]
    issuer: Callable[[RegisteredIssuer], None]
    probe: Callable[[RegisteredIssuer], Awaitable[IssuerProbe]]
    appointed_roles: frozenset[str]
    file_issuers: dict[str, str] = field(default_factory=dict)
