"""An agreement comes into force: one more kind of change of the registry, with the face of those in `changes`.

Guarantees: what is concluded was signed by all of its parties, each on the network now, by certificates that are not
revoked; its id was never used before. All of it is asked again in the transaction that approves it.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.agreement import ExaminedAgreement
from broker.domain.caller import Peer
from broker.domain.errors import RequestError
from broker.domain.standing import Revoked
from broker.handle.enrolment.examiners import Examiners
from broker.handle.enrolment.refusals import invalid, step_missing
from broker.store import agreements, directory, registry
from broker.store.prepared import Driver
from entente.directory.v1 import enrolment_pb2
from entente_agreement import AgreementError

PATH = "change.conclude_agreement.document"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """An agreement that all of its parties have signed."""

    examined: ExaminedAgreement
    kind: str = "AGREEMENT_CONCLUDED"
    beneficiary: str = ""
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        return self.examined.signed.agreement.agreement_id

    def agency(self, _driver: Driver) -> str:
        # It concerns several: registrars alone see the proposal, the parties what was concluded.
        return ""

    def require_admissible(self, driver: Driver) -> None:
        if agreements.is_known(driver, self.subject):
            raise invalid(PATH, "there is, or was, an agreement with this id; draft it under another one")
        for party in sorted(self.examined.signed.agreement.parties):
            if not directory.exists(driver, party):
                raise step_missing(f"{party} is not on the network; propose its enrolment first")
        revoked = registry.revoked(driver)
        for signer in self.examined.signers:
            if _is_revoked(signer, revoked):
                raise invalid(PATH, f"the certificate that signed for {signer.agency} was revoked, or the agency is")

    def apply(self, driver: Driver, _seq: int, _now_us: int) -> None:
        agreements.add(driver, self.examined.signed)
        directory.changed(driver)


def read_conclusion(change: enrolment_pb2.AgreementConclusion, examiners: Examiners) -> Conclusion:
    """A conclusion from the wire. Raises RequestError, or UnavailableError where it cannot be known what is revoked."""
    try:
        return Conclusion(examiners.agreement(change.document))
    except AgreementError as error:
        raise _invalid(error) from None


def _invalid(error: AgreementError) -> RequestError:
    return invalid(f"{PATH}.{error.path}" if error.path else PATH, error.why)


def _is_revoked(signer: Peer, revoked: Revoked) -> bool:
    thumbprints = (signer.thumbprint, *signer.authorities, *signer.twins)
    return str(signer.agency) in revoked.agencies or not revoked.certificates.isdisjoint(thumbprints)
