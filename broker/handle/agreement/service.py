"""AgreementService: what agencies have agreed on, and its end at once.

Guarantees: an agreement is shown to its parties and to registrars; to everybody else it is as if there were none. An
administrator of any party, alone, or a registrar ends it: withdrawal, its row in the registry's journal and the answer
under its idempotency key are one transaction, after which no worker lets anything out that rests on it. What was
withdrawn already is answered with the withdrawal that stands.
Does not: conclude. That takes two people, hence a proposal (`handle.enrolment`); nor bring back what was withdrawn:
that is another agreement, signed anew.
"""

from __future__ import annotations

from typing import cast

from broker.domain.agreement import AgreementOnFile, Withdrawal
from broker.domain.answer import Answer, Call
from broker.domain.clock import Clock
from broker.domain.enrolment import REGISTRAR, Person
from broker.domain.errors import ConflictError, HiddenError
from broker.handle.agreement.translate import to_wire
from broker.handle.cursor import Cursors, query_digest
from broker.store import agreements, directory, registry
from broker.store.drafts import Outcome
from broker.store.fresh import require_current
from broker.store.prepared import Driver
from broker.store.store import Store
from broker.store.write import WriteTransaction
from entente.directory.v1 import agreement_service_pb2 as wire

DEFAULT_PAGE = 100
# A page is cut where it would come near the 4 MiB that clients take: an agreement's notes may be long.
PAGE_BYTES = 3_500_000
# As the journal calls it.
WITHDRAWN = "AGREEMENT_WITHDRAWN"


class AgreementHandlers:
    """The handlers, named after their methods."""

    def __init__(self, store: Store, cursors: Cursors, clock: Clock) -> None:
        self._store, self._cursors, self._clock = store, cursors, clock

    def get_agreement(self, call: Call) -> Answer:
        """One agreement. Raises HiddenError where there is none that the caller's agency is a party of."""
        request = cast(wire.GetAgreementRequest, call.request)

        def read(driver: Driver) -> AgreementOnFile:
            require_current(driver, call.grant)
            return _found(driver, call, request.agreement_id)

        made = to_wire(self._store.look(read), self._clock.now_us(), whole=True)
        return Answer(wire.GetAgreementResponse(agreement=made).SerializeToString())

    def list_agreements(self, call: Call) -> Answer:
        """A page of agreements, by their ids."""
        request = cast(wire.ListAgreementsRequest, call.request)
        query = query_digest(request)
        after = self._cursors.open(call, query, request.page_token).decode() if request.page_token else ""
        party = "" if REGISTRAR in call.grant.roles else str(call.caller.agency)
        size = request.page_size or DEFAULT_PAGE

        def read(driver: Driver) -> list[AgreementOnFile]:
            require_current(driver, call.grant)
            return agreements.page(driver, after, size + 1, party=party)

        found, now_us = self._store.look(read), self._clock.now_us()
        response, room = wire.ListAgreementsResponse(), PAGE_BYTES
        for one in found[:size]:
            made = to_wire(one, now_us, whole=False)
            room -= made.ByteSize()
            if room < 0:
                break
            response.agreements.append(made)
            after = made.agreement.agreement_id
        if len(response.agreements) < len(found):
            response.next_page_token = self._cursors.seal(call, query, after.encode())
        return Answer(response.SerializeToString())

    async def withdraw_agreement(self, call: Call) -> Answer:
        """End an agreement now. Raises HiddenError, ConflictError."""
        request = cast(wire.WithdrawAgreementRequest, call.request)

        def work(tx: WriteTransaction) -> Answer:
            # Not the mark sets: reports that come in must not hold up a withdrawal.
            require_current(tx.driver, call.grant)
            tx.require_not_revoked(call.caller)
            present = _found(tx.driver, call, request.agreement_id)
            return _replayed(tx, call, request.idempotency_key) or self._withdraw(tx, call, request, present)

        return await self._store.write(work)

    def _withdraw(
        self, tx: WriteTransaction, call: Call, request: wire.WithdrawAgreementRequest, present: AgreementOnFile
    ) -> Answer:
        driver, now_us = tx.driver, self._clock.now_us()
        if present.withdrawal is None:
            by = Person(str(call.caller.agency), call.caller.user)
            agreements.withdraw(driver, request.agreement_id, Withdrawal(by, now_us, request.reason))
            directory.changed(driver)
            registry.add_change(driver, call.exchange.exchange_id, WITHDRAWN, request.agreement_id, now_us)
        stands = to_wire(_found(driver, call, request.agreement_id), now_us, whole=False)
        envelope = wire.WithdrawAgreementResponse(agreement=stands).SerializeToString()
        outcome = Outcome(call.request_digest, envelope, "", 0)
        tx.remember(str(call.caller.agency), call.exchange.method, request.idempotency_key, outcome, now_us)
        return Answer(envelope, detail={"did": WITHDRAWN, "agreement": request.agreement_id})


def _found(driver: Driver, call: Call, agreement_id: str) -> AgreementOnFile:
    found = agreements.find(driver, agreement_id)
    concerned = found is not None and (
        REGISTRAR in call.grant.roles or str(call.caller.agency) in found.signed.agreement.parties
    )
    if found is None or not concerned:
        raise HiddenError("NOT_FOUND", "there is no such agreement, or your agency is no party of it")
    return found


def _replayed(tx: WriteTransaction, call: Call, key: str) -> Answer | None:
    """What this key's first call was answered, if this is not it."""
    kept = tx.recall(str(call.caller.agency), call.exchange.method, key)
    if kept is None:
        return None
    if kept.digest != call.request_digest:
        raise ConflictError(
            "IDEMPOTENCY_KEY_REUSED", "this key came with another body; use a fresh UUID for each new withdrawal"
        )
    return Answer(kept.envelope)
