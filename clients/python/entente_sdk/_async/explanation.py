"""Why an exchange ended as it did."""

from __future__ import annotations

from entente.audit.v1 import explanation_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._async.calls import AsyncCalls
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class AsyncExplanations:
    """`entente.audit.v1.ExplanationService`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def explain(
        self, exchange_id: str, *, justification: Justification | None = None, seconds: float | None = None
    ) -> Answer[wire.ExplainExchangeResponse]:
        """One exchange in words: what was decided, by which rules, and what may be done about each.

        `exchange_id`: 32 hexadecimal digits, as `EntenteError.exchange_id` and receipts have it. Raises NotFoundError
        for an exchange that is not one's own, and not within the auditor's scope either.
        """
        request = wire.ExplainExchangeRequest(
            justification=self._calls.justification(justification).to_message(), exchange_id=exchange_id
        )
        return await self._calls.unary(_methods.EXPLAIN, request, seconds)
