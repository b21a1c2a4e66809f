"""How agencies, issuers and appointments come to the network: what is proposed, asked for, issued and kept on file."""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.caller import AgencyId

# Where a proposal stands, as the store keeps it. `LAPSED` is never kept: it is an open one whose time is over.
OPEN, APPROVED, REJECTED, LAPSED = "OPEN", "APPROVED", "REJECTED", "LAPSED"

DAY_US = 24 * 3600 * 1_000_000
PROPOSAL_LIFE_US = 14 * DAY_US

# The role whose holders keep the registry.
REGISTRAR = "registrar"

# Days before its end at which a certificate's end is announced.
WARNING_DAYS = (60, 30, 7, 1)


@dataclass(frozen=True, slots=True)
class RequestedKey:
    """What a certificate request asks for: a name, for a key.

    `fingerprint`: SHA-256 of the key's SubjectPublicKeyInfo, hexadecimal. `bound`: the digest of the enrolment around
    it, which the key has signed too; empty where the request says nothing of that.
    """

    agency: AgencyId
    spiffe_id: str
    fingerprint: str
    bound: str = ""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that fits the profile. `fingerprint` is its key's, `thumbprint` (hexadecimal) its own."""

    agency: AgencyId
    spiffe_id: str
    fingerprint: str
    thumbprint: str
    not_after_us: int


@dataclass(frozen=True, slots=True)
class Person:
    """A person of an agency (`trust-domain/agency`), as its issuer names them."""

    agency: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of the registry that waits for a second person, or waited.

    Args:
        change: the proposed change, serialised.
        agency: the agency that it concerns.
        key_fingerprint: of an enrolment, as the proposer heard it read back.
        decider: empty while nobody has decided; `decide_us` is 0 then.
    """

    proposal_id: str
    change: bytes
    agency: str
    key_fingerprint: str
    state: str
    proposer: Person
    propose_us: int
    decider: Person = Person()
    decide_us: int = 0

    def state_at(self, now_us: int) -> str:
        """Where it stands at a time: an open one lapses by itself."""
        return LAPSED if self.state == OPEN and now_us >= self.propose_us + PROPOSAL_LIFE_US else self.state


@dataclass(frozen=True, slots=True)
class CertificateOnFile:
    """A certificate that was filed or seen. `warned_days`: the smallest threshold announced; 0: none yet."""

    thumbprint: str
    agency: str
    spiffe_id: str
    not_after_us: int
    proposal_id: str = ""
    warned_days: int = 0

    def days_left(self, now_us: int) -> int:
        """The smallest threshold of `WARNING_DAYS` that is left at most; 0: more than all of them."""
        left_us = self.not_after_us - now_us
        return min((days for days in WARNING_DAYS if left_us <= days * DAY_US), default=0)
