"""decide: may this caller call this method for this purpose, and what may it see?

Guarantees:
1. The engine is asked once for each distinct question; the answer is kept under the whole question, engine, bundle,
   the policy's epoch and the directory's revision. The usual decision is one dictionary lookup.
2. A grant holds in [decided, valid_until): never after the earliest boundary of an agreement, on the wall clock and on
   the monotonic one, so that a clock that steps back revives nothing.
3. Callers who ask the same at once share one evaluation. A decision that began before `refresh` is not kept after it.
4. Every failure of an engine is a refusal.
5. A decision is one policy's: engine, bundle and epoch are taken together, and the grant names the epoch.
6. A role that counts by appointment counts only for the person whom the directory appoints, in that agency; and no
   other person's grant is ever shared with somebody who claims one.

Refuses: an unknown agency, a purpose or method that policy does not allow, a party that the token does not vouch for.
Does not: read records. Whether policy, directory and mark sets are still those of the grant is tested by the store, in
the transaction that reads the rows; it raises StaleGrantError, and the pipeline calls `refresh` and decides again.
Rights on behalf of others are the token's: its issuer intersects them, a request only selects a party.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.decide.answers import MethodAnswer
from broker.decide.cache import BoundedCache, SingleFlight
from broker.decide.catalogue import Catalogue, MethodRule
from broker.decide.claims import decision_key, situated, stating
from broker.decide.evaluation import Evaluation
from broker.decide.grant_cache import GrantCache
from broker.decide.granting import Asked, marked_grant, refusal, unmarked_grant
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.rollout import Policies, PolicyNow
from broker.decide.vocabulary import PURPOSES, UNSPECIFIED
from broker.domain.caller import Caller
from broker.domain.clock import Clock
from broker.domain.directory import AgencyFacts
from broker.domain.errors import DecisionError, IdentityError
from broker.domain.exchange import Justification
from broker.domain.grant import Grant
from broker.domain.marks import MarkSet

MAX_GRANTS = 10_000
MAX_GRANT_BYTES = 256 * 1024 * 1024
MAX_METHOD_ANSWERS = 20_000
# Beside its bitmaps and its question; about 1,000 pairs of mark sets are remembered at most.
GRANT_BYTES = 4_096


class FactSource(Protocol):
    """What the store knows, read in a bounded query."""

    def facts(self, agency: str) -> AgencyFacts | None:
        """Of `trust-domain/agency`, or None: not in the directory."""
        ...

    def mark_sets(self, after: int) -> Sequence[tuple[int, MarkSet]]:
        """Mark sets with ids above `after`, ascending; -1 gives all."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    """A grant that was made, and the span in which it holds."""

    grant: Grant
    generation: int
    from_us: int
    until_monotonic_us: int


class Decider:
    """Makes and keeps grants. One per event loop."""

    def __init__(self, policies: Policies, catalogue: Catalogue, source: FactSource, clock: Clock) -> None:
        self._policies = policies
        self._catalogue = catalogue
        self._source = source
        self._clock = clock
        self._index = MarkSetIndex()
        self._facts: dict[str, AgencyFacts] = {}
        self._generation = 0
        self._methods: BoundedCache[MethodAnswer] = BoundedCache(MAX_METHOD_ANSWERS, MAX_GRANT_BYTES, lambda _: 1_000)
        self._grants: GrantCache[Evaluation, _Held] = GrantCache(MAX_GRANTS, MAX_GRANT_BYTES)
        self._flights = SingleFlight()

    async def start(self) -> None:
        """Start the engine and read the mark sets. Raises UnavailableError when policy cannot answer."""
        await self._policies.start()
        self._take_in()

    async def close(self) -> None:
        await self._policies.close()

    async def decide(self, caller: Caller, rule: MethodRule, justification: Justification | None) -> Grant:
        """The grant of one call.

        Raises:
            DecisionError: METHOD_NOT_PERMITTED, PURPOSE_NOT_PERMITTED or ON_BEHALF_NOT_PERMITTED.
            IdentityError: AGENCY_UNKNOWN.
            UnavailableError: POLICY_UNAVAILABLE.
        """
        key = decision_key(caller, rule, justification, self._policies.current)
        held = self._grants.grant(key)
        if (
            held is not None
            and held.generation == self._generation
            and held.from_us <= self._clock.now_us() < held.grant.valid_until_us
            and self._clock.monotonic_us() < held.until_monotonic_us
        ):
            return held.grant
        policy = await self._policies.now()
        key, generation = decision_key(caller, rule, justification, policy), self._generation
        return await self._flights.run(
            (generation, key), lambda: self._decide_afresh(policy, key, generation, caller, rule, justification)
        )

    async def refresh(self) -> None:
        """Read policy, directory and mark sets again: a grant was stale. Cheap when somebody else has just done so.

        Raises UnavailableError while no engine answers from the policy in force.
        """
        await self._policies.now()
        grown = self._take_in()
        if grown or self._directory_moved():
            self._generation += 1
            self._grants.drop_grants()
            self._facts.clear()

    def forget(self) -> None:
        """The registry has changed, or the policy: nothing that was decided on it before is used again."""
        self._generation += 1
        self._grants.drop_grants()
        self._facts.clear()

    @property
    def policy(self) -> PolicyNow:
        """What answers now."""
        return self._policies.current

    def marks(self, numbers: Iterable[int]) -> list[tuple[int, MarkSet]]:
        """The mark sets with these ids, ascending, as far as they were taken in."""
        found = ((number, self._index.mark_set(number)) for number in sorted(set(numbers)))
        return [(number, marks) for number, marks in found if marks is not None]

    async def permits(self, caller: Caller, path: str, justification: Justification | None) -> bool:
        """Whether this caller may also call another method for what it states. Raises as `decide` for anything else."""
        rule = self._catalogue.find(path)
        if rule is None:
            return False
        try:
            await self.decide(caller, rule, justification)
        except DecisionError:
            return False
        return True

    async def capabilities(self, caller: Caller) -> list[tuple[str, bool, tuple[str, ...], str]]:
        """(path, allowed, purposes for which, rule that refuses) of each method, as policy answers for this caller."""
        found: list[tuple[str, bool, tuple[str, ...], str]] = []
        purposes, policy = sorted(caller.purposes & PURPOSES), await self._policies.now()
        for rule in self._catalogue:
            answers = {
                purpose: await self._ask_method(policy, self._situation(policy, caller, purpose), rule)
                for purpose in ([UNSPECIFIED] if rule.justification_exempt else purposes or [UNSPECIFIED])
            }
            allowed = [purpose for purpose, asked in answers.items() if asked.answer.allow]
            refusing = "" if allowed else next(asked.answer.rule for asked in answers.values())
            granted = purposes if allowed == [UNSPECIFIED] else allowed
            found.append((rule.path, bool(allowed), tuple(granted), refusing))
        return found

    async def _decide_afresh(
        self,
        policy: PolicyNow,
        key: Hashable,
        generation: int,
        caller: Caller,
        rule: MethodRule,
        justification: Justification | None,
    ) -> Grant:
        situation = self._situation(policy, caller, UNSPECIFIED)
        if justification is not None:
            situation = stating(situation, justification, policy.bundle)
        now_us, monotonic_us = self._clock.now_us(), self._clock.monotonic_us()
        asked = await self._ask_method(policy, situation, rule)
        if not asked.answer.allow:
            raise refusal(asked)
        grant, question = await self._grant(asked, rule, now_us)
        held = _Held(grant, generation, now_us, monotonic_us + grant.valid_until_us - now_us)
        self._grants.add(question, key, held, GRANT_BYTES + len(grant.policy_input))
        return grant

    def _situation(self, policy: PolicyNow, caller: Caller, purpose: str) -> Situation:
        name = str(caller.agency)
        facts = self._facts.get(name)
        if facts is None:
            facts = self._source.facts(name)
            if facts is None or facts.agency.name != name:
                raise IdentityError(
                    "AGENCY_UNKNOWN", "your agency is not in this broker's directory; ask its administrator to enrol it"
                )
            self._facts[name] = facts
        return situated(policy.bundle, caller, facts, purpose)

    async def _ask_method(self, policy: PolicyNow, situation: Situation, rule: MethodRule) -> Asked:
        question = method_question(situation, rule.permission, exempt=rule.justification_exempt)
        key = (policy.engine.name, policy.engine.bundle, question)
        answer = self._methods.get(key)
        if answer is None:
            answer = policy.reader.method((await policy.engine.method(question)).document)
            self._methods.put(key, answer)
        return Asked(policy, situation, question, answer)

    async def _grant(self, asked: Asked, rule: MethodRule, now_us: int) -> tuple[Grant, Hashable]:
        """A grant, and the question under which it is kept."""
        engine = asked.policy.engine
        if not rule.marked:
            key = (engine.name, engine.bundle, asked.question)
            self._grants.keep(key, None, 0)
            return unmarked_grant(asked, max(self._index.watermark, 0)), key
        question = grant_question(asked.situation, now_us)
        key = (engine.name, engine.bundle, question)
        evaluation = await self._evaluate(asked.policy, asked.situation, key, question)
        return marked_grant(asked, question, evaluation, self._index, now_us), key

    async def _evaluate(self, policy: PolicyNow, situation: Situation, key: Hashable, question: bytes) -> Evaluation:
        evaluation = self._grants.evaluation(key)
        if evaluation is None:
            answered = await policy.engine.grant(question)
            agency = situation.facts.agency
            evaluation = Evaluation(
                policy.reader.grant(answered.document),
                agency.name,
                agency.compartments,
                answered.decision_id or secrets.token_hex(16),
            )
        extended = evaluation.extended(self._index)
        if extended is not evaluation:
            self._grants.keep(key, extended, extended.weight())
        return extended

    def _take_in(self) -> bool:
        new = self._source.mark_sets(self._index.watermark)
        self._index.extend(new)
        return bool(new)

    def _directory_moved(self) -> bool:
        agency = next(iter(self._facts), None)
        fresh = None if agency is None else self._source.facts(agency)
        return fresh is None or any(facts.revision != fresh.revision for facts in self._facts.values())
