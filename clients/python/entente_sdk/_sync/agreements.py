# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""What agencies have agreed on: see it, conclude it, end it."""

from __future__ import annotations

from uuid import uuid4

from entente.directory.v1 import agreement_pb2, enrolment_pb2, enrolment_service_pb2
from entente.directory.v1 import agreement_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk._sync.pages import Pages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class Agreements:
    """`entente.directory.v1.AgreementService`, and the proposal that brings an agreement into force."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(
        self, agreement_id: str, *, justification: Justification | None = None, seconds: float | None = None
    ) -> Answer[wire.GetAgreementResponse]:
        """One agreement of the own agency, with what was signed; any, for a registrar. Raises NotFoundError."""
        why = self._calls.justification(justification).to_message()
        request = wire.GetAgreementRequest(justification=why, agreement_id=agreement_id)
        return self._calls.unary(_methods.GET_AGREEMENT, request, seconds)

    def list(
        self, *, page_size: int | None = None, justification: Justification | None = None, seconds: float | None = None
    ) -> Pages[wire.ListAgreementsResponse, agreement_pb2.AgreementOnFile]:
        """The agreements of the own agency, by their ids; all, for a registrar."""
        why = self._calls.justification(justification).to_message()

        def fetch(token: str) -> Answer[wire.ListAgreementsResponse]:
            request = wire.ListAgreementsRequest(justification=why, page_size=page_size, page_token=token or None)
            return self._calls.unary(_methods.LIST_AGREEMENTS, request, seconds)

        return Pages(fetch, lambda page: page.agreements)

    def propose(
        self,
        document: str,
        *,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[enrolment_service_pb2.ProposeChangeResponse]:
        """Propose, as a registrar, that an agreement comes into force; another registrar approves it.

        Args:
            document: what all parties have signed: JWS in JSON serialization (`entente_agreement`).

        Raises RequestError, PreconditionError, DecisionError.
        """
        change = enrolment_pb2.RegistryChange(conclude_agreement=enrolment_pb2.AgreementConclusion(document=document))
        request = enrolment_service_pb2.ProposeChangeRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            change=change,
        )
        return self._calls.unary(_methods.PROPOSE_CHANGE, request, seconds)

    def withdraw(
        self,
        agreement_id: str,
        *,
        reason: str,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.WithdrawAgreementResponse]:
        """End an agreement now, for all of its parties. It is committed when this returns, and in force everywhere
        within a second; streams that rest on it end with AGREEMENT_ENDED.

        As an administrator of a party, or a registrar. One that was withdrawn already is answered as it stands.

        Raises NotFoundError, DecisionError.
        """
        request = wire.WithdrawAgreementRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            agreement_id=agreement_id,
            reason=reason,
        )
        return self._calls.unary(_methods.WITHDRAW_AGREEMENT, request, seconds)
