"""An agreement as its parties signed it, how it stands on file, and when it ended."""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.caller import Peer
from broker.domain.directory import Agreement
from broker.domain.enrolment import Person


@dataclass(frozen=True, slots=True)
class SignedAgreement:
    """An agreement with the document that all of its parties have signed.

    Args:
        agreement: what policy decides on.
        document: the JWS in its JSON serialization (RFC 7515 section 7.2), as it was handed in.
    """

    agreement: Agreement
    document: str


@dataclass(frozen=True, slots=True)
class ExaminedAgreement:
    """One whose signatures hold. `signers`: the certificate of each party's, as it was when it signed."""

    signed: SignedAgreement
    signers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Who ended an agreement before its time, when (epoch us), and why."""

    by: Person
    time_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class AgreementOnFile:
    """An agreement as the directory keeps it. `enrolled`: by an approved proposal, not by the operator's file."""

    signed: SignedAgreement
    enrolled: bool = False
    withdrawal: Withdrawal | None = None
