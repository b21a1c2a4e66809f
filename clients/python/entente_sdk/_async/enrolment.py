"""How agencies, issuers and appointments come to the network: one proposes, another approves."""

from __future__ import annotations

from uuid import uuid4

from entente.directory.v1 import enrolment_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._async.calls import AsyncCalls
from entente_sdk._async.pages import AsyncPages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class AsyncEnrolment:
    """`entente.directory.v1.EnrolmentService`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def propose(
        self,
        change: enrolment_pb2.RegistryChange,
        *,
        key_fingerprint: str | None = None,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.ProposeChangeResponse]:
        """Propose a change; nothing of it is in force. `key_fingerprint`: of an enrolment, as the agency read it back.

        Raises RequestError, PreconditionError, DecisionError.
        """
        request = wire.ProposeChangeRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            change=change,
            key_fingerprint=key_fingerprint,
        )
        return await self._calls.unary(_methods.PROPOSE_CHANGE, request, seconds)

    async def approve(
        self,
        proposal_id: str,
        *,
        key_fingerprint: str | None = None,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.ApproveProposalResponse]:
        """Approve somebody else's proposal: it is in force. Raises DecisionError, PreconditionError, RequestError."""
        request = wire.ApproveProposalRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            proposal_id=proposal_id,
            key_fingerprint=key_fingerprint,
        )
        return await self._calls.unary(_methods.APPROVE_PROPOSAL, request, seconds)

    async def reject(
        self,
        proposal_id: str,
        *,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.RejectProposalResponse]:
        """Reject a proposal, one's own too. Raises PreconditionError where it is closed already."""
        request = wire.RejectProposalRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            proposal_id=proposal_id,
        )
        return await self._calls.unary(_methods.REJECT_PROPOSAL, request, seconds)

    async def file_certificate(
        self,
        proposal_id: str,
        certificate: str,
        *,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.FileCertificateResponse]:
        """Put the certificate (PEM) that was issued for an approved enrolment on file. Raises RequestError."""
        request = wire.FileCertificateRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            proposal_id=proposal_id,
            certificate=certificate,
        )
        return await self._calls.unary(_methods.FILE_CERTIFICATE, request, seconds)

    async def get_proposal(
        self, proposal_id: str, *, justification: Justification | None = None, seconds: float | None = None
    ) -> Answer[wire.GetProposalResponse]:
        """One proposal. Raises NotFoundError."""
        why = self._calls.justification(justification).to_message()
        request = wire.GetProposalRequest(justification=why, proposal_id=proposal_id)
        return await self._calls.unary(_methods.GET_PROPOSAL, request, seconds)

    def list_proposals(
        self,
        *,
        state: enrolment_pb2.ProposalState.ValueType | None = None,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> AsyncPages[wire.ListProposalsResponse, enrolment_pb2.Proposal]:
        """Proposals, newest first; an administrator sees what concerns the own agency."""
        why = self._calls.justification(justification).to_message()

        async def fetch(token: str) -> Answer[wire.ListProposalsResponse]:
            request = wire.ListProposalsRequest(
                justification=why, state=state, page_size=page_size, page_token=token or None
            )
            return await self._calls.unary(_methods.LIST_PROPOSALS, request, seconds)

        return AsyncPages(fetch, lambda page: page.proposals)

    def list_certificates(
        self,
        *,
        within_days: int | None = None,
        page_size: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> AsyncPages[wire.ListCertificatesResponse, enrolment_pb2.CertificateOnFile]:
        """Certificates that the broker knows of, those that end first before the others."""
        why = self._calls.justification(justification).to_message()

        async def fetch(token: str) -> Answer[wire.ListCertificatesResponse]:
            request = wire.ListCertificatesRequest(
                justification=why, within_days=within_days, page_size=page_size, page_token=token or None
            )
            return await self._calls.unary(_methods.LIST_CERTIFICATES, request, seconds)

        return AsyncPages(fetch, lambda page: page.certificates)

    async def test_issuer(
        self,
        issuer: enrolment_pb2.IssuerRegistration,
        *,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.TestIssuerResponse]:
        """Have the broker fetch an issuer's keys now, and read them as strictly as for a token."""
        why = self._calls.justification(justification).to_message()
        request = wire.TestIssuerRequest(justification=why, issuer=issuer)
        return await self._calls.unary(_methods.TEST_ISSUER, request, seconds)
