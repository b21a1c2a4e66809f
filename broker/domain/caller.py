"""Who calls: proven by a certificate (which agency, which workload) and a token bound to it (which person)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgencyId:
    """An agency's name on the network: unique as a pair."""

    trust_domain: str
    agency: str

    def __str__(self) -> str:
        return f"{self.trust_domain}/{self.agency}"

    @classmethod
    def parse(cls, text: str) -> AgencyId:
        """`trust-domain/agency` -> AgencyId. Raises ValueError when either part is missing."""
        domain, slash, agency = text.partition("/")
        if not (slash and domain and agency) or "/" in agency:
            raise ValueError("an agency is written trust-domain/agency")
        return cls(domain, agency)


@dataclass(frozen=True, slots=True)
class Peer:
    """A certificate that passed the profile.

    `thumbprint` is the SHA-256 of the DER leaf (32 bytes); `authorities` are those of the authorities above it, nearest
    first, the root last; `not_after`, in epoch seconds, is when the first of all of them ends. `twins` are thumbprints
    too, of the same certificates with another spelling of their signature: whoever is one of them is the other.
    """

    agency: AgencyId
    workload: str
    thumbprint: bytes
    serial: str
    not_after: int
    authorities: tuple[bytes, ...] = ()
    twins: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """A person of an agency, with what the agency's issuer says of them.

    The organisation comes from the certificate alone; `on_behalf_of` from the token's `act` chain, outermost first.
    `roles` are the token's words; which of them count here is the grant's to say (`Grant.roles`).
    `expires_at` (epoch seconds) is the first second at which token or certificate no longer counts;
    `certificate_expires_at` the last at which the certificate does.
    `issuer_key` is the fingerprint of the key that signed the token; `client` the program that it was issued to, empty
    where the token does not say. A workload that acts by itself, without a person, is its own user: `user` and `client`
    are the same.
    """

    agency: AgencyId
    workload: str
    thumbprint: bytes
    serial: str
    user: str
    roles: frozenset[str]
    clearance: str
    nationalities: frozenset[str]
    purposes: frozenset[str]
    issuer: str
    token_id: str
    expires_at: int
    on_behalf_of: tuple[str, ...] = ()
    certificate_expires_at: int = 0
    issuer_key: bytes = b""
    client: str = ""

    @property
    def subject(self) -> str:
        """The token's `sub`: the last of those for whom `user` acts, or `user`."""
        return (self.user, *self.on_behalf_of)[-1]
