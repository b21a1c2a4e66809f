"""The one way through the house, for every method and every caller:

    identify  ->  decide  ->  handle  ->  release  ->  audit
    who calls     may they?   the work    which parts   on record, before a byte leaves

There is no way round it: one generic handler answers every path (`server.py`), and every call ends here in exactly
one of: an answer with its receipt, a typed refusal with its receipt, or an aborted call; each is on the ledger first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from grpc import StatusCode

from broker.admit import admit
from broker.audit.recorder import Recorder
from broker.audit.visit import RefusedError, Visit
from broker.decide.catalogue import Catalogue, MethodRule
from broker.decide.decider import Decider
from broker.decide.resting import InForce
from broker.domain.answer import Answer, Call
from broker.domain.errors import BrokerError, UnavailableError, UnknownMethodError
from broker.domain.grant import StaleGrantError
from broker.identify.caller import Identifier
from broker.limits.limits import Limits
from broker.release.ceiling import Ceiling
from broker.release.projector import Releaser
from broker.release.pseudonyms import Scope
from broker.status import status_of
from broker.wire import Wire

# Stale three times running: directory or mark sets change faster than they can be read.
DECISIONS_PER_CALL = 4

Handler = Callable[[Call], Answer | Awaitable[Answer]]
Closer = Callable[[Visit, int], None]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The five stages, in order. The composition root gives the parts."""

    identifier: Identifier
    in_force: InForce
    catalogue: Catalogue
    decider: Decider
    handlers: Mapping[str, Handler]
    releaser: Releaser
    recorder: Recorder
    limits: Limits
    ceiling: Ceiling

    async def answer(self, path: str, wire: Wire, closer: Closer) -> bytes:
        """One unary call: the response with its receipt. Raises RefusedError, which is on the ledger already."""
        visit = self.recorder.open(path, wire.address, wire.session)
        try:
            message = await wire.within(self._through(visit, wire))
            # Between decision and here the ledger was awaited.
            self.require_for_release(visit, wire)
            closer(visit, len(message))
            return message
        except asyncio.CancelledError:
            # Awaits nothing: the entry is queued, and the writer makes it durable without us.
            self.recorder.aborted(visit)
            raise
        except BrokerError as error:
            raise await self.recorder.refused(visit, error, status_of(error)) from None
        except Exception as defect:
            raise await self.defect(visit, defect) from None

    async def _through(self, visit: Visit, wire: Wire) -> bytes:
        rule = await self.enter(visit, wire)
        visit.request = await wire.only_message()
        request, visit.justification = admit(rule, visit.request)
        visit.target = getattr(request, "record_id", "")
        for _ in range(DECISIONS_PER_CALL):
            await self.decide(visit, rule)
            if rule.write:
                await self.recorder.intent(visit)
                # The message may have been long in coming: who was revoked meanwhile changes nothing any more.
                self.identifier.require_for_release(visit.known_caller, wire.auth_context)
            try:
                made = self.handlers[rule.path](visit.call(request))
                answer = made if isinstance(made, Answer) else await made
            except StaleGrantError:
                await self.decider.refresh()
                continue
            return await self.release(visit, rule, answer)
        raise UnavailableError("STORE_UNAVAILABLE", "the directory is changing; try again")

    async def enter(self, visit: Visit, wire: Wire) -> MethodRule:
        """identify: who calls, before a byte of the request is looked at; then which method."""
        visit.peer = self.identifier.peer(wire.auth_context)
        # Before a signature is checked: what a noisy agency sends costs nobody else anything.
        self.limits.call(visit.peer, wire)
        visit.caller = self.identifier.identify(visit.peer, wire.metadata)
        rule = self.catalogue.find(visit.exchange.method)
        if rule is None:
            raise UnknownMethodError("METHOD_UNKNOWN", "this broker has no such method; see its protos")
        visit.rule = rule
        return rule

    async def decide(self, visit: Visit, rule: MethodRule) -> None:
        """decide: may this caller call this method for this purpose, and what may it see?"""
        visit.grant = await self.decider.decide(visit.known_caller, rule, visit.justification)

    async def release(self, visit: Visit, rule: MethodRule, answer: Answer) -> bytes:
        """release and audit: the response is built afresh, its entry made durable, its receipt appended."""
        case = "" if visit.justification is None else visit.justification.case_reference
        agency = str(visit.known_caller.agency)
        self.ceiling.require(answer, rule.response_type, visit.known_grant, agency)
        scope = Scope.of(agency, case)
        released = self.releaser.release(answer, rule.response_type, visit.known_grant, scope)
        message = await self.recorder.released(visit, answer, released)
        self.limits.spent(visit.known_caller, len(message))
        return message

    def require_for_release(self, visit: Visit, wire: Wire) -> None:
        """The caller's right, and what the grant rests on, are looked at once more."""
        self.identifier.require_for_release(visit.known_caller, wire.auth_context)
        grant = visit.known_grant
        # What a write answers with is the caller's own: it was done, and its client is to know.
        if visit.rule is None or not visit.rule.write:
            self.in_force.require(str(visit.known_caller.agency), grant.agreements, grant.data_revision)

    async def defect(self, visit: Visit, defect: Exception) -> RefusedError:
        """Nobody expected it: INTERNAL with the exchange id and nothing more."""
        self.recorder.note_defect(visit, defect)
        detail = f"{type(defect).__name__}: {defect}"
        internal = BrokerError("INTERNAL", "the broker failed; quote the exchange id", detail=detail)
        return await self.recorder.refused(visit, internal, StatusCode.INTERNAL)
