"""What this area asks of others: the identify stage's strict readers, and what policy and configuration say.

Stages do not import one another, so the composition root hands these over. Each reader raises ValueError with words for
whoever keeps the registry.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from broker.domain.agreement import ExaminedAgreement
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
        agreement: a signed agreement -> what it is, if all of its parties have signed it. Raises AgreementError.
        policy: a bundle of policies -> its revision, if it could be in force.
        appointed_roles: roles that count by appointment alone, under the policy in force.
        file_issuers: URL -> agency of the issuers in the operator's file, which are changed there.
    """

    request: Callable[[str], RequestedKey]
    certificate: Callable[[str], IssuedCertificate]
    issuer: Callable[[RegisteredIssuer], None]
    probe: Callable[[RegisteredIssuer], Awaitable[IssuerProbe]]
    agreement: Callable[[str], ExaminedAgreement]
    policy: Callable[[bytes], str]
    appointed_roles: Callable[[], frozenset[str]]
    file_issuers: dict[str, str] = field(default_factory=dict)
