"""RevocationService: one person revokes, and it is in force everywhere within a second.

Guarantees: revocation, its row in the registry's journal and the answer under its idempotency key are one transaction;
what is revoked already is answered with the revocation that stands; nobody sees revocations but registrars, and an
agency's administrators those that concern their agency.
Does not: lift. That takes two people, hence a proposal (`handle.enrolment`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import cast

from broker.domain.answer import Answer, Call
from broker.domain.clock import Clock
from broker.domain.standing import Revocation, Target
from broker.handle.cursor import Cursors, query_digest
from broker.handle.revocation.rules import is_registrar, key_reused, require_registrar_left, require_right
from broker.handle.revocation.translate import target, to_wire
from broker.store import registry, revocations
from broker.store.drafts import Outcome
from broker.store.fresh import require_current
from broker.store.prepared import Driver
from broker.store.records import LARGEST
from broker.store.store import Store
from broker.store.write import WriteTransaction
from entente.directory.v1 import revocation_service_pb2 as wire

DEFAULT_PAGE = 100
# As the journal calls it.
REVOKED = "REVOKED"


class RevocationHandlers:
    """The handlers, named after their methods. `issuers`: URL -> agency of those in the operator's file."""

    def __init__(self, store: Store, cursors: Cursors, clock: Clock, issuers: Mapping[str, str]) -> None:
        self._store, self._cursors, self._clock, self._issuers = store, cursors, clock, issuers

    async def revoke(self, call: Call) -> Answer:
        """Revoke. Raises DecisionError, HiddenError, PreconditionError, ConflictError."""
        request = cast(wire.RevokeRequest, call.request)

        def work(tx: WriteTransaction) -> Answer:
            # Not the mark sets: reports that come in must not hold up a revocation.
            require_current(tx.driver, call.grant)
            tx.require_not_revoked(call.caller)
            return _replayed(tx, call, request.idempotency_key) or self._revoke(tx, call, request)

        return await self._store.write(work)

    def list_revocations(self, call: Call) -> Answer:
        """A page of what is revoked now, newest first."""
        request = cast(wire.ListRevocationsRequest, call.request)
        query = query_digest(request)
        below = self._cursors.open_number(call, query, request.page_token) if request.page_token else LARGEST
        agency = "" if is_registrar(call) else str(call.caller.agency)
        size = request.page_size or DEFAULT_PAGE

        def read(driver: Driver) -> list[tuple[int, Revocation]]:
            require_current(driver, call.grant)
            return revocations.page(driver, below, size + 1, agency=agency)

        found = self._store.look(read)
        # No cut by bytes: a thousand reasons of 500 characters stay under what clients take.
        response = wire.ListRevocationsResponse(revocations=(to_wire(one) for _, one in found[:size]))
        if len(found) > size:
            response.next_page_token = self._cursors.seal_number(call, query, found[size - 1][0])
        return Answer(response.SerializeToString())

    def _revoke(self, tx: WriteTransaction, call: Call, request: wire.RevokeRequest) -> Answer:
        driver, wanted = tx.driver, target(request.target)
        issuers = {**revocations.registered_issuers(driver), **self._issuers}
        concerned = require_right(driver, call, wanted, issuers)
        stands = revocations.standing(driver, wanted)
        if stands is None:
            require_registrar_left(driver, wanted, issuers)
            stands = self._made(call, wanted, concerned, request.reason)
            seq = registry.add_change(
                driver, call.exchange.exchange_id, REVOKED, revocations.subject(wanted), stands.time_us
            )
            revocations.add(driver, stands, seq)
        envelope = wire.RevokeResponse(revocation=to_wire(stands)).SerializeToString()
        outcome = Outcome(call.request_digest, envelope, stands.revocation_id, 0)
        tx.remember(
            str(call.caller.agency), call.exchange.method, request.idempotency_key, outcome, self._clock.now_us()
        )
        return Answer(envelope, touched=((stands.revocation_id, 0),))

    def _made(self, call: Call, wanted: Target, concerned: str, reason: str) -> Revocation:
        caller = call.caller
        return Revocation(
            secrets.token_hex(16), wanted, concerned, reason, str(caller.agency), caller.user, self._clock.now_us()
        )


def _replayed(tx: WriteTransaction, call: Call, key: str) -> Answer | None:
    """What this key's first call was answered, if this is not it."""
    outcome = tx.recall(str(call.caller.agency), call.exchange.method, key)
    if outcome is None:
        return None
    if outcome.digest != call.request_digest:
        raise key_reused()
    return Answer(outcome.envelope, touched=((outcome.record_id, outcome.version),))
