"""SimulationService: gathers what a simulation looks at, and says what it found.

MUSTs:
1. A registrar may simulate anything. Others an agreement of their own agency alone; they are told of their own agency's
   records, of supposed readers, and of nothing that other agencies did or hold.
2. Of a record its id is told, and never a mark or a word of it.
3. Nothing is changed. What was simulated, and the digest of what was found, is on the ledger, sealed.
4. An agency has one simulation under way at a time, and what one looks at is gathered for one at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import cast

from broker.audit.reader import AuditReader
from broker.domain.answer import Answer, Call
from broker.domain.directory import AgencyFacts, Agreement
from broker.domain.enrolment import DAY_US, REGISTRAR
from broker.domain.errors import DecisionError, HiddenError, LimitError, RequestError
from broker.domain.marks import MarkSet
from broker.domain.simulated import CandidateError, Proposed, RecordKind, Scene, Simulated
from broker.handle.simulation.translate import digest, simulation_message
from broker.store import kinds
from broker.store.store import Store
from entente.policy.v1 import simulation_service_pb2 as wire

DEFAULT_DAYS = 30
MOST_DECISIONS = 2_000
MOST_RECORDS = 200_000
MOST_AGENCIES = 1_000
IDS_OF_A_KIND = 20
_PAGE = 1_000
# Nobody knows when one is done.
_WAIT_S = 1.0

# The mark sets of these ids, ascending: all that were committed before it was called.
Marks = Callable[[Iterable[int]], Awaitable[list[tuple[int, MarkSet]]]]
# Runs one.
Simulate = Callable[[Proposed, Scene], Awaitable[Simulated]]
# The text of an agreement, drafted or signed -> the agreement. Raises ValueError.
ReadAgreement = Callable[[str], Agreement]


class SimulationHandlers:
    """The handlers, named after their methods."""

    def __init__(
        self,
        store: Store,
        reader: AuditReader,
        marks: Marks,
        simulate: Simulate,
        read_draft: ReadAgreement,
        read_signed: ReadAgreement,
    ) -> None:
        self._store, self._reader, self._marks, self._simulate = store, reader, marks, simulate
        self._read_draft, self._read_signed = read_draft, read_signed
        self._agencies_at_it: set[str] = set()
        self._turn = asyncio.Lock()

    async def simulate_change(self, call: Call) -> Answer:
        """What a change would do. Raises RequestError, DecisionError, HiddenError, LimitError."""
        agency = str(call.caller.agency)
        if agency in self._agencies_at_it:
            raise LimitError(
                "LIMIT_EXCEEDED", "your agency has a simulation under way; wait for its end", retry_after_s=_WAIT_S
            )
        self._agencies_at_it.add(agency)
        try:
            async with self._turn:
                return await self._simulated(call)
        finally:
            self._agencies_at_it.discard(agency)

    async def _simulated(self, call: Call) -> Answer:
        request = cast(wire.SimulateChangeRequest, call.request)
        self._store.require_current(call.grant)
        proposed, subject = self._proposed(call, request)
        own = "" if REGISTRAR in call.grant.roles else str(call.caller.agency)
        since_us = self._store.clock.now_us() - (request.days or DEFAULT_DAYS) * DAY_US
        recorded = [] if own else [one for one, _ in await self._reader.decisions(since_us, MOST_DECISIONS + 1)]
        found, cut = await self._kinds(own)
        numbers = {number for kind in found for number in (kind.mark_set, *kind.portions)}
        scene = Scene(
            tuple(recorded[:MOST_DECISIONS]),
            tuple(found),
            tuple(await self._marks(numbers)),
            self._agencies(),
            shortened=cut or len(recorded) > MOST_DECISIONS,
        )
        try:
            made = await self._simulate(proposed, scene)
        except CandidateError as error:
            raise RequestError("REQUEST_INVALID", f"the proposed policies cannot be used: {error}") from None
        message = simulation_message(made)
        message.digest = digest(message)
        told = {"simulated": subject, "digest": message.digest}
        return Answer(wire.SimulateChangeResponse(simulation=message).SerializeToString(), detail=told)

    def _proposed(self, call: Call, request: wire.SimulateChangeRequest) -> tuple[Proposed, str]:
        """The change, and how the ledger calls it."""
        agreement = self._agreement(request)
        if agreement is not None:
            self._require_concerned(call, agreement.parties)
            return Proposed(agreement=agreement), f"agreement {agreement.agreement_id}"
        if request.HasField("withdraw_agreement"):
            return self._withdrawal(call, request.withdraw_agreement)
        # Whatever else a change is: for who is no registrar it is none of theirs.
        self._require_concerned(call, frozenset())
        kind = request.change.WhichOneof("change") or ""
        if kind == "adopt_policy":
            archive = request.change.adopt_policy.bundle
            return Proposed(archive=archive), f"policies {hashlib.sha256(archive).hexdigest()}"
        return Proposed(), kind

    def _agreement(self, request: wire.SimulateChangeRequest) -> Agreement | None:
        """A proposed agreement, if that is what it is. Raises RequestError."""
        try:
            if request.HasField("draft_agreement"):
                return self._read_draft(request.draft_agreement)
            if request.change.HasField("conclude_agreement"):
                return self._read_signed(request.change.conclude_agreement.document)
        except ValueError as error:
            raise RequestError("REQUEST_INVALID", f"the agreement cannot be read: {error}") from None
        return None

    def _withdrawal(self, call: Call, agreement_id: str) -> tuple[Proposed, str]:
        parties = {
            party
            for facts in self._agencies().values()
            for one in facts.agreements
            if one.agreement_id == agreement_id
            for party in one.parties
        }
        if REGISTRAR not in call.grant.roles and str(call.caller.agency) not in parties:
            parties = set()
        if not parties:
            raise HiddenError("NOT_FOUND", "there is no such agreement, or it is hidden from you")
        return Proposed(withdrawn=agreement_id), f"withdrawal {agreement_id}"

    def _require_concerned(self, call: Call, parties: frozenset[str]) -> None:
        """Raises DecisionError for what is neither a registrar's nor one's own agency's."""
        if REGISTRAR not in call.grant.roles and str(call.caller.agency) not in parties:
            raise DecisionError(
                "METHOD_NOT_PERMITTED", "only registrars simulate this; others an agreement of their own agency"
            )

    def _agencies(self) -> dict[str, AgencyFacts]:
        found = {}
        for one in self._store.agencies("", MOST_AGENCIES):
            facts = self._store.facts(one.name)
            if facts is not None:
                found[one.name] = facts
        return found

    async def _kinds(self, own: str) -> tuple[list[RecordKind], bool]:
        """The present records (`own`: of this agency alone) by their marks, and whether there are more."""
        found: dict[tuple[int, tuple[int, ...]], list[str]] = {}
        counts: dict[tuple[int, tuple[int, ...]], int] = {}
        after, seen = "", 0
        while seen < MOST_RECORDS:
            page = self._store.look(partial(kinds.page, after=after, most=_PAGE))
            for one in page:
                if own in ("", one.originator):
                    key = (one.mark_set, one.portions)
                    counts[key] = counts.get(key, 0) + 1
                    ids = found.setdefault(key, [])
                    if len(ids) < IDS_OF_A_KIND:
                        ids.append(one.record_id)
            if len(page) < _PAGE:
                break
            after, seen = page[-1].record_id, seen + len(page)
            # A page takes some milliseconds: the other calls come in between.
            await asyncio.sleep(0)
        made = [RecordKind(*key, counts[key], tuple(ids)) for key, ids in found.items()]
        return made, seen >= MOST_RECORDS
