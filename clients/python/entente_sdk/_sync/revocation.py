# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""Revoke, and see what is revoked. Lifting takes two people: a proposal."""

from __future__ import annotations

from uuid import uuid4

from entente.directory.v1 import revocation_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk._sync.pages import Pages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class Revocations:
    """`entente.directory.v1.RevocationService`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def revoke(
        self,
        target: wire.RevocationTarget,
        *,
        reason: str,
        idempotency_key: str | None = None,
        justification: Justification | None = None,
        seconds: float | None = None,
    ) -> Answer[wire.RevokeResponse]:
        """Revoke (`entente_sdk.targets`). It is committed when this returns, and in force everywhere within a second.

        Who revokes the own certificate, user or agency is refused by the time of the answer: that refusal
        (IdentityError) says that it is in force. Raises DecisionError, NotFoundError, PreconditionError.
        """
        request = wire.RevokeRequest(
            justification=self._calls.justification(justification).to_message(),
            idempotency_key=idempotency_key or str(uuid4()),
            target=target,
            reason=reason,
        )
        return self._calls.unary(_methods.REVOKE, request, seconds)

    def list(
        self, *, page_size: int | None = None, justification: Justification | None = None, seconds: float | None = None
    ) -> Pages[wire.ListRevocationsResponse, wire.Revocation]:
        """What is revoked now, newest first; an administrator sees what concerns the own agency."""
        why = self._calls.justification(justification).to_message()

        def fetch(token: str) -> Answer[wire.ListRevocationsResponse]:
            request = wire.ListRevocationsRequest(justification=why, page_size=page_size, page_token=token or None)
            return self._calls.unary(_methods.LIST_REVOCATIONS, request, seconds)

        return Pages(fetch, lambda page: page.revocations)
