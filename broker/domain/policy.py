"""Which policy is in force: every one that ever was stays on file, under the epoch in which it came."""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.enrolment import Person

NOBODY = Person()

# Where a policy came from: the operator's configuration, or two registrars.
CONFIGURED, ADOPTED = "CONFIGURED", "ADOPTED"


@dataclass(frozen=True, slots=True)
class PolicyOnFile:
    """A policy that is or was in force.

    Args:
        epoch: grows each time that a policy comes into force; the highest is the one in force.
        revision: of its bundle, hexadecimal.
        archive: the bundle, as it came; signed where it came from outside.
        origin: `CONFIGURED` or `ADOPTED`.
        proposal_id: of an adopted one, with who proposed and who approved it.
    """

    epoch: int
    revision: str
    archive: bytes
    origin: str
    note: str
    since_us: int
    proposal_id: str = ""
    proposer: Person = NOBODY
    approver: Person = NOBODY

    def stands(self, passed_over: str) -> bool:
        """Whether it stands over what the operator configured. `passed_over`: the revision of one that must not."""
        return self.origin == ADOPTED and self.revision != passed_over
