"""The audit stage as the pipeline sees it: each exchange's phases, in order, on the ledger.

MUSTs:
1. `released`, `refused` and `intent` return only when their entry is durable; nothing leaves before (invariant 1).
2. Every exchange that reaches a handler leaves an entry: granted, denied, malformed, failed or cancelled (invariant 2).
3. A ledger that cannot answer within a second is UNAVAILABLE, with no protected byte (invariant 3).
4. An outcome says *handed to gRPC*, never *delivered*; outcomes are batched, a leaf for each group (invariant 10).
5. Closing a cancelled call awaits nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from grpc import StatusCode

from broker.audit.entry import Encoded, Entry, Outcome
from broker.audit.hits import SILENT, sealed_text
from broker.audit.outcomes import Outcomes
from broker.audit.receipt import receipt_field, receipt_message
from broker.audit.scribe import Scribe
from broker.audit.visit import RefusedError, Released, Visit
from broker.domain.answer import Answer
from broker.domain.errors import BrokerError, DecisionError, HiddenError, LimitError, UnavailableError
from broker.domain.exchange import DisclosureGroup, Session
from broker.domain.hit import Looks

LEDGER_SECONDS = 1.0
LEDGER_DOWN = "LEDGER_UNAVAILABLE"
_UNSURE = (StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)

_logger = structlog.get_logger("entente.recorder")


class Recorder:
    """Writes each exchange's entries. One for each ledger."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self.outcomes = Outcomes(scribe)

    def open(self, method: str, address: str, session: Session | None = None) -> Visit:
        """A call has arrived."""
        return Visit(self._scribe.exchange(method, address, session))

    async def intent(self, visit: Visit) -> None:
        """Durable before the work of a write begins. Once, however often the call decides again."""
        if visit.intended:
            return
        encoded = self._encode(visit, phase="intent", outcome="indeterminate", type_=self._type(visit))
        visit.salt = encoded.salt
        await self._scribe.durable(encoded, LEDGER_SECONDS)
        visit.intended = True

    async def released(self, visit: Visit, answer: Answer, released: Released) -> bytes:
        """The response's bytes with the receipt, once the release entry is durable."""
        encoded = self._encode(
            visit,
            phase="release",
            outcome="allowed",
            type_=self._type(visit),
            groups=released.groups,
            touched=answer.touched,
            owners=_owners(visit, answer),
            response=released.response,
            done=answer.detail,
            looks=answer.looks,
        )
        visit.closed = True
        try:
            appended = await self._scribe.durable(encoded, LEDGER_SECONDS)
        except UnavailableError:
            # A late entry may still become durable: its outcome says that nothing was handed over. What a write did
            # stays done, and is told by its change row in time.
            if not visit.intended:
                self.outcomes.add(Outcome(visit.exchange.exchange_id, "aborted", StatusCode.UNAVAILABLE.name))
            raise
        except asyncio.CancelledError:
            # The caller has gone before a byte went out; the entry becomes durable without us.
            if not visit.intended:
                self.outcomes.add(Outcome(visit.exchange.exchange_id, "aborted", StatusCode.CANCELLED.name))
            raise
        visit.released_at = appended.index
        return released.response + receipt_field(encoded, appended)

    async def refused(self, visit: Visit, error: BrokerError, status: StatusCode) -> RefusedError:
        """The refusal, once it is on the ledger. When the ledger is down, UNAVAILABLE without a receipt."""
        if (counted := self._counted(visit, error, status)) is not None:
            return RefusedError(error, status, counted, b"", counted=True)
        try:
            # A typed refusal undid the write; of a defect, of a part that gave no answer in time, nobody knows; and
            # where only the answer was held back, the change row tells.
            unsure = visit.released_at is not None or status in _UNSURE
            unknown = visit.intended and unsure
            outcome = "indeterminate" if unknown else "denied"
            encoded = self._encode(
                visit,
                phase="release",
                outcome=outcome,
                type_="denial",
                status=status,
                error=error,
                # Whether there is such a record or not: who tried to see it belongs to its history.
                touched=((visit.target, 0),) if visit.target else (),
                response=b"",
                looks=error.looks if isinstance(error, HiddenError) else None,
            )
            visit.closed = True
            if error.reason == LEDGER_DOWN:
                # It has had its second: the denial is queued behind what is late, and nobody waits for it.
                self._scribe.leave(encoded)
                return RefusedError(error, status, visit.exchange.exchange_id, b"")
            receipt = receipt_message(encoded, await self._scribe.durable(encoded, LEDGER_SECONDS))
        except BrokerError as down:
            return RefusedError(down, StatusCode.UNAVAILABLE, visit.exchange.exchange_id, b"")
        return RefusedError(error, status, visit.exchange.exchange_id, receipt)

    async def told(self, method: str, detail: Mapping[str, str], owners: tuple[str, ...]) -> None:
        """The broker itself has something to say: an entry of its own, which the owners' auditors find. What it says is
        sealed. Raises UnavailableError."""
        exchange = self._scribe.exchange(method)
        entry = Entry(type="admin", phase="release", exchange=exchange, owners=owners, detail={"told": dict(detail)})
        await self._scribe.durable(self._scribe.encode(entry), LEDGER_SECONDS)
        self.outcomes.add(Outcome(exchange.exchange_id, "allowed", StatusCode.OK.name))

    def cut_off(self, visit: Visit, error: BrokerError, status: StatusCode) -> None:
        """A stream is ended for a reason that its client, which takes nothing more, is not told. Not awaited."""
        visit.closed = True
        try:
            self._scribe.leave(
                self._encode(visit, phase="release", outcome="denied", type_="denial", status=status, error=error)
            )
        except BrokerError as down:
            _logger.error("end_not_recorded", exchange_id=visit.exchange.exchange_id, reason=down.reason)

    def aborted(self, visit: Visit) -> None:
        """The client went away. Queued, not awaited; after a release this is its outcome, unless batches of a stream
        are left of which nobody knows."""
        if visit.closed and not visit.unacknowledged:
            return
        visit.closed = True
        type_ = self._type(visit) if visit.rule is not None else "denial"
        try:
            encoded = self._encode(
                visit,
                phase="release",
                outcome="indeterminate" if visit.intended else "aborted",
                type_=type_,
                status=StatusCode.CANCELLED,
                error=BrokerError("CANCELLED", "the client cancelled, or its deadline passed"),
            )
            self._scribe.leave(encoded)
        except BrokerError as error:
            _logger.error("abort_not_recorded", exchange_id=visit.exchange.exchange_id, reason=error.reason)

    def handed_over(self, visit: Visit, status: str, size: int) -> None:
        """gRPC has taken the answer, or has said that it could not. Batched."""
        taken = status == StatusCode.OK.name
        duration = self._scribe.elapsed_us(visit.exchange)
        self.outcomes.add(
            Outcome(visit.exchange.exchange_id, "allowed" if taken else "aborted", status, size, duration)
        )

    def note_defect(self, visit: Visit, defect: Exception) -> None:
        """To the operator's log: where it happened, never what was in it."""
        frames = []
        trace = defect.__traceback__
        while trace is not None:
            frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        _logger.error("defect", exchange_id=visit.exchange.exchange_id, error=type(defect).__name__, frames=frames[-6:])

    def _counted(self, visit: Visit, error: BrokerError, status: StatusCode) -> str | None:
        """One of a flood of refusals: counted, without a wait for the disk. Its exchange id, if it is one."""
        if visit.peer is None or visit.intended or not isinstance(error, LimitError) or not error.retry_after_s:
            return None
        counted = self.outcomes.refusals.counted(visit.peer, visit.exchange.method, status.name, error.reason)
        visit.closed = visit.closed or counted is not None
        return counted

    def _type(self, visit: Visit) -> str:
        assert visit.rule is not None
        return visit.rule.entry_type.lower().replace("_", "-")

    def _encode(
        self,
        visit: Visit,
        *,
        phase: str,
        outcome: str,
        type_: str,
        status: StatusCode = StatusCode.OK,
        error: BrokerError | None = None,
        groups: tuple[DisclosureGroup, ...] = (),
        touched: tuple[tuple[str, int], ...] = (),
        owners: tuple[str, ...] = (),
        response: bytes | None = None,
        done: Mapping[str, str] | None = None,
        looks: Looks | None = None,
    ) -> Encoded:
        grant = visit.grant
        detail: dict[str, object] = {"done": dict(done)} if done else {}
        if looks is not None:
            detail[SILENT] = sealed_text(looks)
        policy = None if grant is None else grant.policy
        if grant is not None:
            detail["policy_input"] = grant.policy_input.decode()
        if isinstance(error, DecisionError) and error.refusal is not None:
            # Who is decided on again may be refused then: that is the decision which counts.
            policy = error.refusal.policy
            detail |= {"policy_input": error.refusal.policy_input.decode(), "rule": error.refusal.rule}
        if error is not None and error.detail:
            detail["error"] = error.detail
        entry = Entry(
            type=type_,
            phase=phase,
            exchange=visit.exchange,
            caller=visit.caller or visit.peer,
            justification=visit.justification,
            policy=policy,
            disclosures=groups,
            records=touched,
            owners=owners,
            request=visit.request,
            response=response,
            outcome=outcome,
            status=status.name,
            reason="" if error is None else error.reason,
            bytes=len(response or b""),
            duration_us=self._scribe.elapsed_us(visit.exchange),
            # Whatever ends a stream, and nothing else, is not "allowed".
            unacknowledged=() if outcome == "allowed" else tuple(visit.unacknowledged),
            detail=detail,
        )
        return self._scribe.encode(entry, visit.salt)


def _owners(visit: Visit, answer: Answer) -> tuple[str, ...]:
    """Whose records the answer holds or changed: their auditors may find the entry."""
    owners = {item.originator for item in answer.items if item.originator}
    if answer.touched:
        # Only the originator writes.
        owners.add(str(visit.known_caller.agency))
    return tuple(sorted(owners))
