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
import hashlib
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import structlog
from grpc import StatusCode

from broker.audit.entry import Encoded, Entry, Node, Outcome, encode, outcome_entry
from broker.audit.log import Appended, Ledger
from broker.audit.receipt import receipt_field, receipt_message
from broker.audit.seal import SealKeys
from broker.domain.answer import Answer, Call
from broker.domain.caller import Caller, Peer
from broker.domain.clock import Clock
from broker.domain.errors import BrokerError, UnavailableError
from broker.domain.exchange import DisclosureGroup, Exchange, Justification
from broker.domain.grant import Grant

LEDGER_SECONDS = 1.0
LEDGER_DOWN = "LEDGER_UNAVAILABLE"
# Outcomes wait for company this long; a release without one within five minutes counts as indeterminate.
OUTCOME_SECONDS = 0.5
OUTCOMES_PER_LEAF = 400
# Kept while the ledger is down; beyond that a release shows as indeterminate.
MOST_OUTCOMES = 100_000
MOST_FLOODS = 1_000

_logger = structlog.get_logger("entente.recorder")


class Rule(Protocol):
    """What the recorder needs of a method's rule."""

    @property
    def entry_type(self) -> str: ...
    @property
    def path(self) -> str: ...


class Released(Protocol):
    """What the release stage hands over."""

    @property
    def response(self) -> bytes: ...
    @property
    def groups(self) -> tuple[DisclosureGroup, ...]: ...


class RefusedError(Exception):
    """A refusal that is on the ledger. `receipt` is empty only when the ledger itself is down."""

    def __init__(self, error: BrokerError, status: StatusCode, exchange_id: str, receipt: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.status = status
        self.exchange_id = exchange_id
        self.receipt = receipt


@dataclass(slots=True)
class Visit:
    """One call on its way through the house, filled in stage by stage: what its entries are made of."""

    exchange: Exchange
    peer: Peer | None = None
    caller: Caller | None = None
    rule: Rule | None = None
    request: bytes | None = None
    justification: Justification | None = None
    grant: Grant | None = None
    target: str = ""
    salt: bytes | None = None
    intended: bool = False
    closed: bool = False

    @property
    def known_caller(self) -> Caller:
        """The caller, once identified."""
        assert self.caller is not None
        return self.caller

    @property
    def known_grant(self) -> Grant:
        """The grant, once decided."""
        assert self.grant is not None
        return self.grant

    def call(self, request: object) -> Call:
        """The decided call, for its handler."""
        digest = hashlib.sha256(self.request or b"").digest()
        return Call(self.exchange, self.known_caller, self.known_grant, self.justification, request, digest)


class Recorder:
    """Writes each exchange's entries. One for each ledger."""

    def __init__(self, ledger: Ledger, keys: SealKeys, node: Node, clock: Clock) -> None:
        self._ledger = ledger
        self._keys = keys
        self._node = node
        self._clock = clock
        self._outcomes: list[Outcome] = []
        self._floods: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush outcomes."""
        self._task = asyncio.create_task(self._flush_outcomes(), name="outcomes")

    async def aclose(self) -> None:
        """Write what is left of the outcomes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._write_outcomes()

    def open(self, method: str, address: str) -> Visit:
        """A call has arrived."""
        return Visit(Exchange(secrets.token_hex(16), method, self._clock.now_us(), self._clock.monotonic_us(), address))

    async def intent(self, visit: Visit) -> None:
        """Durable before the work of a write begins. Once, however often the call decides again."""
        if visit.intended:
            return
        encoded = self._encode(visit, phase="intent", outcome="indeterminate", type_=self._type(visit))
        visit.salt = encoded.salt
        await self._durable(encoded)
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
        )
        visit.closed = True
        try:
            appended = await self._durable(encoded)
        except UnavailableError:
            # A late entry may still become durable: its outcome says that nothing was handed over. What a write did
            # stays done, and is told by its change row in time.
            if not visit.intended:
                self._outcomes.append(Outcome(visit.exchange.exchange_id, "aborted", StatusCode.UNAVAILABLE.name))
            raise
        return released.response + receipt_field(encoded, appended)

    async def refused(self, visit: Visit, error: BrokerError, status: StatusCode) -> RefusedError:
        """The refusal, once it is on the ledger. When the ledger is down, UNAVAILABLE without a receipt."""
        try:
            # A typed refusal undid the write; of a defect, of a store or a ledger that gave no answer, nobody knows.
            unknown = visit.intended and status in (StatusCode.INTERNAL, StatusCode.UNAVAILABLE)
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
            )
            visit.closed = True
            if error.reason == LEDGER_DOWN:
                # It has had its second: the denial is queued behind what is late, and nobody waits for it.
                self._queue(encoded).add_done_callback(_retrieve)
                return RefusedError(error, status, visit.exchange.exchange_id, b"")
            receipt = receipt_message(encoded, await self._durable(encoded))
        except BrokerError as down:
            return RefusedError(down, StatusCode.UNAVAILABLE, visit.exchange.exchange_id, b"")
        return RefusedError(error, status, visit.exchange.exchange_id, receipt)

    def aborted(self, visit: Visit) -> None:
        """The client went away. Queued, not awaited; after a release this is its outcome."""
        if visit.closed:
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
            self._queue(encoded)
        except BrokerError as error:
            _logger.error("abort_not_recorded", exchange_id=visit.exchange.exchange_id, reason=error.reason)

    def handed_over(self, visit: Visit, status: str, size: int) -> None:
        """gRPC has taken the answer, or has said that it could not. Batched."""
        taken = status == StatusCode.OK.name
        duration = self._clock.monotonic_us() - visit.exchange.started_monotonic_us
        self._outcomes.append(
            Outcome(visit.exchange.exchange_id, "allowed" if taken else "aborted", status, size, duration)
        )
        if len(self._outcomes) >= OUTCOMES_PER_LEAF:
            self._write_outcomes()

    def resolved(self, exchange_id: str, *, written: bool) -> None:
        """A write that a crash or a defect cut off: the change row says whether it was done."""
        outcome = "allowed" if written else "aborted"
        self._outcomes.append(Outcome(exchange_id, outcome, "UNKNOWN"))

    def unresolved(self, exchange_id: str) -> None:
        """A release whose outcome is not known: to be treated as disclosed."""
        self._outcomes.append(Outcome(exchange_id, "indeterminate", "UNKNOWN"))

    def not_started(self, method: str) -> None:
        """A call that ended before its handler ran; counted, one entry for each method and second."""
        # The path is the caller's: past so many, what they are called is no longer kept.
        self._floods[method if method in self._floods or len(self._floods) < MOST_FLOODS else ""] += 1

    def note_defect(self, visit: Visit, defect: Exception) -> None:
        """To the operator's log: where it happened, never what was in it."""
        frames = []
        trace = defect.__traceback__
        while trace is not None:
            frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        _logger.error("defect", exchange_id=visit.exchange.exchange_id, error=type(defect).__name__, frames=frames[-6:])

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
    ) -> Encoded:
        grant = visit.grant
        detail: dict[str, object] = {}
        if grant is not None:
            detail["policy_input"] = grant.policy_input.decode()
        if error is not None and error.detail:
            detail["error"] = error.detail
        entry = Entry(
            type=type_,
            phase=phase,
            exchange=visit.exchange,
            caller=visit.caller or visit.peer,
            justification=visit.justification,
            policy=None if grant is None else grant.policy,
            disclosures=groups,
            records=touched,
            owners=owners,
            request=visit.request,
            response=response,
            outcome=outcome,
            status=status.name,
            reason="" if error is None else error.reason,
            bytes=len(response or b""),
            duration_us=self._clock.monotonic_us() - visit.exchange.started_monotonic_us,
            detail=detail,
        )
        return encode(entry, node=self._node, clock=self._clock, keys=self._keys, salt=visit.salt)

    def _queue(self, encoded: Encoded) -> asyncio.Future[Appended]:
        return self._ledger.append(encoded.leaf, encoded.sealed)

    async def _durable(self, encoded: Encoded) -> Appended:
        return await self._ledger.wait(self._queue(encoded), LEDGER_SECONDS)

    async def _flush_outcomes(self) -> None:
        while True:
            await asyncio.sleep(OUTCOME_SECONDS)
            self._write_outcomes()

    def _write_outcomes(self) -> None:
        taken, self._outcomes = self._outcomes, []
        floods, self._floods = self._floods, Counter()
        try:
            while taken:
                own = self.open("/entente/outcomes", "").exchange
                self._append_own(outcome_entry(own, taken[:OUTCOMES_PER_LEAF]))
                del taken[:OUTCOMES_PER_LEAF]
            while floods:
                method, count = next(iter(floods.items()))
                own = self.open(method, "").exchange
                self._append_own(
                    Entry(
                        type="denial",
                        phase="release",
                        exchange=own,
                        outcome="aborted",
                        status=StatusCode.CANCELLED.name,
                        reason="CANCELLED",
                        count=count,
                        detail={"not_started": True},
                    )
                )
                del floods[method]
        except UnavailableError:
            # The ledger is down: kept for when it is back; a release without an outcome shows as indeterminate.
            self._outcomes = (taken + self._outcomes)[-MOST_OUTCOMES:]
            self._floods.update(floods)

    def _append_own(self, entry: Entry) -> None:
        encoded = encode(entry, node=self._node, clock=self._clock, keys=self._keys)
        self._queue(encoded).add_done_callback(_retrieve)


def _owners(visit: Visit, answer: Answer) -> tuple[str, ...]:
    """Whose records the answer holds or changed: their auditors may find the entry."""
    owners = {item.originator for item in answer.items if item.originator}
    if answer.touched:
        # Only the originator writes.
        owners.add(str(visit.known_caller.agency))
    return tuple(sorted(owners))


def _retrieve(future: asyncio.Future[Appended]) -> None:
    """Nobody waits for this one: its failure shows in the ledger's own state."""
    if not future.cancelled():
        future.exception()
