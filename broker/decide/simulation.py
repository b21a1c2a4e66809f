"""What a change of policies or agreements would do: the decisions on record replayed, the present records looked at.

MUSTs:
1. Nothing that serves calls is touched: engines, index and answers are the simulation's own, on a thread of its own.
2. A decision on record is replayed from its exact input. Under the revision that took it, the policy in force must
   answer as is on record; where it does not, `not_reproduced` says so.
3. Present records are looked at by two pairs of bitmaps for each distinct question, now and then, each question built
   from the directory of today: the change alone makes the difference.
4. What it did not look at, for want of time or room, it does not pass over in silence: `shortened`.

Who has never asked is supposed: an officer with the highest clearance, who states a case and names an authoriser.
One at a time; whoever asks meanwhile waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson

from broker.decide.answers import AnswerReader, GrantAnswer, MethodAnswer
from broker.decide.audience import Policy, operational_purposes, supposed_caller, supposed_situation, with_agreement
from broker.decide.bundle import PolicyBundle
from broker.decide.comparison import Comparison
from broker.decide.embedded import EmbeddedEngine
from broker.decide.evaluation import Evaluation
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import Situation, grant_question
from broker.decide.vocabulary import DECIDED_CLASSES, UNSPECIFIED
from broker.domain.clock import Clock
from broker.domain.directory import AgencyFacts
from broker.domain.errors import UnavailableError
from broker.domain.simulated import CallShift, CandidateError, Proposed, RecordedDecision, Scene, Simulated
from broker.domain.supposed import TYPICAL_ROLES, Reader

# Within the time that a call may last; what is left undone by then is said.
SECONDS = 12
MOST_QUESTIONS = 2_000
HIGHEST = "TOP_SECRET"


class Simulator:
    """Runs simulations, one after another. One per broker; `close` it.

    `read_bundle`: a proposed bundle's archive -> its policies; raises ValueError.
    """

    def __init__(self, policy: Policy, read_bundle: Callable[[bytes], PolicyBundle], clock: Clock) -> None:
        self._policy, self._read_bundle, self._clock = policy, read_bundle, clock
        self._thread = ThreadPoolExecutor(1, "simulation")
        self._closing = threading.Event()
        # Of the simulations' thread alone: making an engine takes longer than all that it is asked.
        self._present: _Policies | None = None

    async def simulate(self, proposed: Proposed, scene: Scene) -> Simulated:
        """What the change would do. Raises CandidateError, UnavailableError."""
        present, now_us, given_up = self._policy().bundle, self._clock.now_us(), threading.Event()

        def run() -> Simulated | Exception:
            try:
                now = self._present = self._kept(present)
                then = _Policies(self._candidate(proposed.archive)) if proposed.archive else now
                return asyncio.run(
                    _Run(now, then, proposed, scene, self._clock, now_us, (given_up, self._closing)).all()
                )
            except Exception as failure:
                return _bare(failure)

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except asyncio.CancelledError:
            given_up.set()
            raise
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """End what is running, at its next question."""
        self._closing.set()
        self._thread.submit(self._let_go)
        self._thread.shutdown()

    def _let_go(self) -> None:
        self._present = None

    def _kept(self, present: PolicyBundle) -> _Policies:
        """The engine of an earlier simulation, where it answers from these policies."""
        kept = self._present
        return kept if kept is not None and kept.bundle.revision == present.revision else _Policies(present)

    def _candidate(self, archive: bytes) -> PolicyBundle:
        try:
            return self._read_bundle(archive)
        except ValueError as error:
            raise CandidateError(str(error)) from None


class _Policies:
    """Some policies under simulation, with an engine of this thread."""

    def __init__(self, bundle: PolicyBundle) -> None:
        self.bundle = bundle
        self._engine = EmbeddedEngine(bundle)
        self._started = False
        self._reader = AnswerReader(bundle.rules, DECIDED_CLASSES)

    async def start(self) -> None:
        """Once. Raises UnavailableError."""
        if not self._started:
            await self._engine.start()
            self._started = True

    async def method(self, question: bytes) -> MethodAnswer:
        return self._reader.method((await self._engine.method(question)).document)

    async def grant(self, question: bytes) -> GrantAnswer:
        return self._reader.grant((await self._engine.grant(question)).document)


class _Run:
    """One simulation, on its thread."""

    def __init__(
        self,
        now: _Policies,
        then: _Policies,
        proposed: Proposed,
        scene: Scene,
        clock: Clock,
        now_us: int,
        stops: Sequence[threading.Event],
    ) -> None:
        self._now, self._then = now, then
        self._proposed, self._scene, self._now_us, self._stops = proposed, scene, now_us, stops
        self._clock = clock
        self._index = MarkSetIndex()
        self._until_us = 0
        self._answers: dict[tuple[bool, bytes], GrantAnswer] = {}
        self._left_out = scene.shortened

    async def all(self) -> Simulated:
        self._until_us = self._clock.monotonic_us() + SECONDS * 1_000_000
        await self._now.start()
        try:
            await self._then.start()
            return await self._compare()
        except UnavailableError as error:
            raise CandidateError(f"the proposed policies do not answer as they must: {error.detail}") from error

    async def _compare(self) -> Simulated:
        self._index.extend(self._scene.mark_sets)
        calls, compared, wrong, skipped = await self._replay()
        comparison = Comparison(self._scene.kinds)
        asked = list(dict.fromkeys(self._asked()))
        supposed = list(self._supposed({(one.facts.agency.name, one.purpose) for one in asked}))
        for number, (situation, is_supposed) in enumerate(
            [*((one, False) for one in asked), *((one, True) for one in supposed)]
        ):
            if number >= MOST_QUESTIONS or self._late():
                self._left_out = True
                break
            await self._look(situation, comparison, supposed=is_supposed)
        return Simulated(
            present=self._now.bundle.revision,
            candidate=self._then.bundle.revision,
            exchanges=sum(one.count for one in self._scene.recorded),
            replayed=compared,
            not_reproduced=wrong,
            not_compared=skipped,
            supposed=len(supposed),
            records=sum(kind.count for kind in self._scene.kinds),
            shortened=self._left_out or comparison.cut,
            shifts=comparison.shifts(),
            calls=tuple(calls),
        )

    async def _replay(self) -> tuple[list[CallShift], int, int, int]:
        """Calls that would be answered otherwise; decisions replayed, not reproduced, not compared."""
        calls: list[CallShift] = []
        replayed, wrong, skipped = 0, 0, 0
        for one in self._scene.recorded:
            if not one.policy_input or self._late():
                skipped += 1
                self._left_out |= bool(one.policy_input)
                continue
            question = _part(one.policy_input, "method")
            now, then = await self._now.method(question), await self._then.method(question)
            replayed += 1
            if one.bundle != self._now.bundle.revision:
                skipped += 1
            elif now.allow != one.allowed:
                wrong += 1
            if now.allow != then.allow:
                calls.append(_call_shift(one, orjson.loads(question), now, then))
        return sorted(calls, key=lambda call: (-call.calls, call.method, call.agency)), replayed, wrong, skipped

    def _asked(self) -> Iterator[Situation]:
        """The distinct questions on record, as they would be asked today."""
        for one in self._scene.recorded:
            asked = orjson.loads(one.policy_input)["grant"] if one.policy_input else None
            facts = None if asked is None else self._scene.agencies.get(asked["agency"]["name"])
            if asked is not None and facts is not None and self._concerns(facts):
                yield _again(asked, facts)

    def _supposed(self, known: set[tuple[str, str]]) -> Iterator[Situation]:
        """Readers of agencies and purposes of which nothing is on record."""
        bundle, added = self._now.bundle, self._proposed.agreement
        basis = min(added.legal_bases, default="") if added is not None else ""
        for name, facts in sorted(self._scene.agencies.items()):
            for purpose in operational_purposes(bundle) if self._concerns(facts) else ():
                if (name, purpose) not in known:
                    reader = Reader(name, purpose, TYPICAL_ROLES, HIGHEST, frozenset(), True, True, basis)
                    yield supposed_situation(reader, facts, bundle)

    def _concerns(self, facts: AgencyFacts) -> bool:
        """Whether the change can alter what this agency's readers are granted at all."""
        name, withdrawn = facts.agency.name, self._proposed.withdrawn
        if self._proposed.agreement is not None:
            return name in self._proposed.agreement.parties
        return not withdrawn or any(one.agreement_id == withdrawn for one in facts.agreements)

    async def _look(self, situation: Situation, comparison: Comparison, *, supposed: bool) -> None:
        changed = replace(situation, facts=self._changed(situation.facts))
        now = await self._answer(grant_question(situation, self._now_us), then=False)
        then = await self._answer(grant_question(changed, self._now_us), then=True)
        if now == then:
            return
        agency = situation.facts.agency
        before, after = (
            Evaluation(answer, agency.name, agency.compartments, "").extended(self._index) for answer in (now, then)
        )
        comparison.add(situation, before, after, supposed=supposed)

    async def _answer(self, question: bytes, *, then: bool) -> GrantAnswer:
        found = self._answers.get((then, question))
        if found is None:
            found = self._answers[then, question] = await (self._then if then else self._now).grant(question)
        return found

    def _changed(self, facts: AgencyFacts) -> AgencyFacts:
        """The directory's facts after the change."""
        kept = tuple(one for one in facts.agreements if one.agreement_id != self._proposed.withdrawn)
        facts, added = replace(facts, agreements=kept), self._proposed.agreement
        return facts if added is None else with_agreement(facts, added)

    def _late(self) -> bool:
        return self._clock.monotonic_us() >= self._until_us or any(stop.is_set() for stop in self._stops)


def _bare(failure: Exception) -> Exception:
    """Without the frames that it passed through: they hold engines, which end on the thread that made them."""
    failure.__cause__ = failure.__context__ = None
    return failure.with_traceback(None)


def _part(policy_input: bytes, name: str) -> bytes:
    return orjson.dumps(orjson.loads(policy_input)[name], option=orjson.OPT_SORT_KEYS)


def _again(asked: Mapping[str, Any], facts: AgencyFacts) -> Situation:
    """A recorded question's caller, under the facts of today. The roles on record are those that counted."""
    name, roles = facts.agency.name, frozenset(asked["roles"])
    caller = supposed_caller(name, roles, asked["clearance"], frozenset(asked["nationalities"]))
    # Of what was not asked yet when it was recorded, nothing was stated.
    basis, case = asked.get("legal_basis", UNSPECIFIED), asked.get("case_stated", False)
    return Situation(caller, facts, asked["purpose"], asked["authorised"], roles, basis, case)


def _call_shift(one: RecordedDecision, question: Mapping[str, Any], now: MethodAnswer, then: MethodAnswer) -> CallShift:
    return CallShift(
        method=one.method,
        agency=question["agency"]["name"],
        purpose=question["purpose"],
        roles=tuple(question["roles"]),
        allowed_then=then.allow,
        rule=now.rule if then.allow else then.rule,
        calls=one.count,
    )
