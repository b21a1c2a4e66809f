"""Another policy for everybody: proposed by one registrar, approved by another, in force from that transaction on.

MUSTs:
1. The bundle is examined whole when it is proposed, and again in the transaction that approves it: what the policy
   authority has not signed, what does not compile or answer, and what nobody could replace never comes into force.
2. A policy comes into force as a new epoch, in the transaction that approves it; grants of the epoch before open
   nothing from then on (`store/fresh.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.policy import ADOPTED
from broker.handle.enrolment.examiners import Examiners
from broker.handle.enrolment.refusals import invalid
from broker.store import policies
from broker.store.prepared import Driver
from entente.directory.v1 import enrolment_pb2

_PATH = "change.adopt_policy"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A bundle that could be in force."""

    revision: str
    archive: bytes
    note: str
    kind: str = "POLICY_ADOPTED"
    beneficiary: str = ""
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        return self.revision

    def agency(self, _driver: Driver) -> str:
        """It concerns everybody: only registrars see the proposal."""
        return ""

    def require_admissible(self, driver: Driver) -> None:
        present = policies.in_force(driver)
        if present is not None and present.revision == self.revision:
            raise invalid(f"{_PATH}.bundle", "this policy is in force already")

    def apply(self, driver: Driver, seq: int, now_us: int) -> None:
        policies.put_in_force(
            driver, seq, revision=self.revision, archive=self.archive, origin=ADOPTED, note=self.note, now_us=now_us
        )


def read_adoption(wire: enrolment_pb2.PolicyAdoption, examiners: Examiners) -> Adoption:
    """An adoption from the wire. Raises RequestError where the bundle could not be in force."""
    note = wire.note
    if note != note.strip() or not note.isprintable():
        raise invalid(f"{_PATH}.note", "on one line, without spaces around it")
    try:
        revision = examiners.policy(wire.bundle)
    except ValueError as error:
        raise invalid(f"{_PATH}.bundle", str(error)) from None
    return Adoption(revision, wire.bundle, note)
