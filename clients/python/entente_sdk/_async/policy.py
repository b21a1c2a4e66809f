"""Which policy is in force, and what another policy, or another agreement, would change."""

from __future__ import annotations

from entente.directory.v1 import enrolment_pb2
from entente.policy.v1 import policy_service_pb2 as policies
from entente.policy.v1 import simulation_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._async.calls import AsyncCalls
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class AsyncPolicy:
    """`entente.policy.v1`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def get(
        self,
        *,
        revision: str | None = None,
        with_bundle: bool = False,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[policies.GetPolicyResponse]:
        """The policy in force, or one that was (`revision`: 64 hexadecimal digits), with its bundle where asked for.

        Raises NotFoundError for a revision that was never in force.
        """
        request = policies.GetPolicyRequest(
            justification=self._calls.justification(justification).to_message(),
            revision=revision,
            with_bundle=with_bundle or None,
        )
        return await self._calls.unary(_methods.GET_POLICY, request, seconds)

    async def simulate(
        self,
        change: enrolment_pb2.RegistryChange | None = None,
        *,
        draft_agreement: str | None = None,
        withdraw_agreement: str | None = None,
        days: int | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.SimulateChangeResponse]:
        """What a change would open or close, to whom, on how many records, before anybody approves it.

        One of: `change`, as it would be proposed; `draft_agreement`, a document (JWS in JSON serialization) that its
        parties have signed, or not yet; `withdraw_agreement`, the id of one that would end. `days`: whose recorded
        decisions are replayed; 30 by default. Raises DecisionError for an agreement of others, NotFoundError,
        RequestError for policies that cannot answer.
        """
        request = wire.SimulateChangeRequest(
            justification=self._calls.justification(justification).to_message(),
            change=change,
            days=days,
        )
        if draft_agreement is not None:
            request.draft_agreement = draft_agreement
        if withdraw_agreement is not None:
            request.withdraw_agreement = withdraw_agreement
        return await self._calls.unary(_methods.SIMULATE_CHANGE, request, seconds)
