"""A case: what is tried, and how exactly it must end. The expectation is data, so that a run can be compared with it.

There are four ends. A case that ends in another one has failed, also where it was refused: a certificate that the
profile must refuse and that only fell over on the way proves nothing about the profile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.attacks.suite.target import Target

# A refusal comes at once; a case that takes longer is run once more alone, and then it is a hang.
LONGEST_SECONDS = 1.0
# What gRPC's core refuses it answers after a random tenth to a whole second, on purpose: it holds up whoever sends it.
CORE_SECONDS = 3.0


class End(StrEnum):
    """How a case ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused by the broker"
    HANDSHAKE = "refused in the handshake"
    CORE = "refused by the transport's core"
    HANG = "no end"
    CRASH = "an exception that nobody named"


class Need(Enum):
    """What a case must be given. A run says which cases were left out, and for want of what."""

    AUTHORITY = "the key of the network's certificate authority"
    ISSUER_KEY = "the key of the agency's token issuer (--issuer-key, --issuer, --audience)"
    TOKEN = "a valid token (--token, or the issuer's key)"
    OTHER_AGENCIES = "certificates and issuers of several agencies"
    REVOCATION = "somebody who may revoke"
    PROCESS = "the broker's own code"
    VECTORS = "the outside vectors in ../shared/data"


@dataclass(frozen=True, slots=True)
class Expected:
    """An end; where the broker refuses, with this status and one of these reasons, and an entry with that reason."""

    end: End
    status: str = ""
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, (self.end.value, self.status, "/".join(self.reasons))))


ACCEPTED = Expected(End.ACCEPTED)
HANDSHAKE = Expected(End.HANDSHAKE)
CORE = Expected(End.CORE)


def refused(*reasons: str, status: str = "UNAUTHENTICATED") -> Expected:
    """Refused by the broker, on record."""
    return Expected(End.REFUSED, status, reasons)


@dataclass(frozen=True, slots=True)
class Observed:
    """How a case ended, from outside. `receipt` is the entry's proof; `text` is for people."""

    end: End
    status: str = ""
    reason: str = ""
    exchange_id: str = ""
    receipt: bytes = b""
    text: str = ""
    body: bytes = b""

    def fits(self, expected: Expected) -> bool:
        """Whether this is what was expected."""
        if self.end is not expected.end:
            return False
        if expected.end is not End.REFUSED:
            return expected.status in ("", self.status)
        return self.status == expected.status and self.reason in expected.reasons

    def __str__(self) -> str:
        return " ".join(filter(None, (self.end.value, self.status, self.reason, self.text)))


Attempt = Callable[["Target"], Awaitable[Observed]]


@dataclass(frozen=True, slots=True)
class Case:
    """One attack, or (`control`) something good that must pass, so that a broker that refuses everything fails.

    `in_process`: decided by the broker's own code in this process, because no client can present it on the wire; no
    audit entry is expected of it. `seconds`: how long it may take.
    """

    family: str
    name: str
    expected: Expected
    attempt: Attempt
    needs: frozenset[Need] = frozenset()
    in_process: bool = False
    seconds: float = LONGEST_SECONDS

    @property
    def longest(self) -> float:
        """`seconds`, or what the core takes."""
        return max(self.seconds, CORE_SECONDS) if self.expected.end is End.CORE else self.seconds

    @property
    def control(self) -> bool:
        return self.expected.end is End.ACCEPTED


@dataclass(frozen=True, slots=True)
class Result:
    """A case and its end."""

    case: Case
    observed: Observed
    seconds: float
    entry: str = ""
    """What is wrong with the refusal's audit entry; empty where it is right, or none is expected."""

    @property
    def held(self) -> bool:
        return self.observed.fits(self.case.expected) and not self.entry and self.seconds <= self.case.longest

    @property
    def accepted_though_bad(self) -> bool:
        return self.observed.end is End.ACCEPTED and not self.case.control


Cases = Sequence[Case]
