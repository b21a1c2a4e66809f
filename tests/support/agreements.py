"""Agreements for tests: written, signed by whoever the test says, and concluded by the two registrars."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from certs.agreements import ALWAYS, signed_by_all
from certs.authority import Authority
from entente.directory.v1 import agreement_pb2, agreement_service_pb2, enrolment_pb2, enrolment_service_pb2
from entente_agreement import Document
from tests.support.enrolments import FIRST, SECOND
from tests.support.enrolments import SERVICE as ENROLMENT
from tests.support.exchanges import LIAISON, OFFICER, Given, Place, ask, justified
from tests.support.live import party_named

SERVICE = "/entente.directory.v1.AgreementService/"
ADMINISTRATOR, REGISTRAR = party_named["administrator"], party_named["registrar"]

SAMPLE = Document(
    agreement_id="north-haven",
    title="Northshire and Haven",
    notes=("For a test.",),
    parties=(LIAISON.agency, OFFICER.agency),
    purposes=("INTELLIGENCE_DEVELOPMENT",),
    record_types=("report",),
    classes=(("*", "FULL"),),
    ceiling="OFFICIAL",
    use="INTELLIGENCE_ONLY",
    onward="NONE",
    assurances=("DATA_PROTECTION",),
    legal_bases=(),
    valid_from=ALWAYS[0],
    valid_until=ALWAYS[1],
)


def sample(agreement_id: str = SAMPLE.agreement_id, **changes: Any) -> Document:
    """An agreement by which Haven may ask Northshire for intelligence, changed."""
    return replace(SAMPLE, agreement_id=agreement_id, **changes)


def signed(directory: Path, document: Document) -> str:
    """As all of its parties sign it."""
    return signed_by_all(Authority.open(directory / "authority"), document).text()


def conclusion(text: str) -> enrolment_pb2.RegistryChange:
    """The proposal that brings it into force."""
    return enrolment_pb2.RegistryChange(conclude_agreement=enrolment_pb2.AgreementConclusion(document=text))


async def concluded(place: Place, document: Document) -> Document:
    """It is in force: one registrar proposed it, the other approved."""
    proposing = enrolment_service_pb2.ProposeChangeRequest(
        idempotency_key=str(uuid.uuid4()), change=conclusion(signed(place.directory, document))
    )
    justified(proposing, "ADMINISTRATION")
    proposal = (await ask(place, f"{ENROLMENT}ProposeChange", proposing, FIRST)).message.proposal
    approving = enrolment_service_pb2.ApproveProposalRequest(
        idempotency_key=str(uuid.uuid4()), proposal_id=proposal.proposal_id
    )
    justified(approving, "ADMINISTRATION")
    await ask(place, f"{ENROLMENT}ApproveProposal", approving, SECOND)
    return document


def withdrawing(agreement_id: str, reason: str = "not kept") -> agreement_service_pb2.WithdrawAgreementRequest:
    """The request that ends it."""
    request = agreement_service_pb2.WithdrawAgreementRequest(
        idempotency_key=str(uuid.uuid4()), agreement_id=agreement_id, reason=reason
    )
    justified(request, "ADMINISTRATION")
    return request


async def withdrawn(place: Place, agreement_id: str, party: Any = ADMINISTRATOR) -> Given:
    """It has ended."""
    return await ask(place, f"{SERVICE}WithdrawAgreement", withdrawing(agreement_id), party)


async def shown(place: Place, agreement_id: str, party: Any = OFFICER) -> agreement_pb2.AgreementOnFile:
    """As this party sees it."""
    request = agreement_service_pb2.GetAgreementRequest(agreement_id=agreement_id)
    justified(request, party.purpose)
    found: agreement_pb2.AgreementOnFile = (
        await ask(place, f"{SERVICE}GetAgreement", request, party)
    ).message.agreement
    return found
