"""decide: may this caller call this method for this purpose, and what may it see?

Guarantees:
1. The engine is asked once for each distinct question; the answer is kept under the whole question, engine, bundle and
   the directory's revision. The usual decision is one dictionary lookup.
2. A grant holds in [decided, valid_until): never after the earliest boundary of an agreement, on the wall clock and on
   the monotonic one, so that a clock that steps back revives nothing.
3. Callers who ask the same at once share one evaluation. A decision that began before `refresh` is not kept after it.
4. Every failure of an engine is a refusal.
5. A role that counts by appointment counts only for the person whom the directory appoints, in that agency; and no
   other person's grant is ever shared with somebody who claims one.

Refuses: an unknown agency, a purpose or method that policy does not allow, a party that the token does not vouch for.
Does not: read records. Whether directory and mark sets are still those of the grant is tested by the store, in the
transaction that reads the rows; it raises StaleGrantError, and the pipeline calls `refresh` and decides again.
Rights on behalf of others are the token's: its issuer intersects them, a request only selects a party.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from broker.decide.answers import AnswerReader, MethodAnswer
from broker.decide.bundle import PolicyBundle
from broker.decide.cache import BoundedCache, SingleFlight
from broker.decide.catalogue import Catalogue, MethodRule
from broker.decide.engine import PolicyEngine
from broker.decide.evaluation import Evaluation, Explainer
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import NEVER_US, Situation, grant_question, method_question, valid_until_us
from broker.decide.vocabulary import DECIDED_CLASSES, FIELD_CLASSES, PURPOSES, UNSPECIFIED, known
from broker.domain.caller import Caller
from broker.domain.clock import Clock
from broker.domain.directory import AgencyFacts
from broker.domain.errors import DecisionError, IdentityError
from broker.domain.exchange import Justification, PolicyReference
from broker.domain.grant import ClassGrant, Grant
from broker.domain.marks import MarkSet

MAX_GRANTS = 10_000
MAX_GRANT_BYTES = 256 * 1024 * 1024
MAX_METHOD_ANSWERS = 20_000


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

    def __init__(
        self, engine: PolicyEngine, bundle: PolicyBundle, catalogue: Catalogue, source: FactSource, clock: Clock
    ) -> None:
        self._engine = engine
        self._bundle = bundle
        self._catalogue = catalogue
        self._source = source
        self._clock = clock
        self._reader = AnswerReader(bundle.rules, DECIDED_CLASSES)
        self._index = MarkSetIndex()
        self._facts: dict[str, AgencyFacts] = {}
        self._generation = 0
        self._hot: dict[Hashable, _Held] = {}
        self._methods: BoundedCache[MethodAnswer] = BoundedCache(MAX_METHOD_ANSWERS, MAX_GRANT_BYTES, lambda _: 1_000)
        self._evaluations: BoundedCache[Evaluation] = BoundedCache(MAX_GRANTS, MAX_GRANT_BYTES, Evaluation.weight)
        self._flights = SingleFlight()

    async def start(self) -> None:
        """Start the engine and read the mark sets. Raises UnavailableError when policy cannot answer."""
        await self._engine.start()
        self._take_in()

    async def close(self) -> None:
        await self._engine.close()

    async def decide(self, caller: Caller, rule: MethodRule, justification: Justification | None) -> Grant:
        """The grant of one call.

        Raises:
            DecisionError: METHOD_NOT_PERMITTED, PURPOSE_NOT_PERMITTED or ON_BEHALF_NOT_PERMITTED.
            IdentityError: AGENCY_UNKNOWN.
            UnavailableError: POLICY_UNAVAILABLE.
        """
        key = _key(caller, rule, justification, self._bundle)
        held = self._hot.get(key)
        if (
            held is not None
            and held.generation == self._generation
            and held.from_us <= self._clock.now_us() < held.grant.valid_until_us
            and self._clock.monotonic_us() < held.until_monotonic_us
        ):
            return held.grant
        generation = self._generation
        return await self._flights.run(
            (generation, key), lambda: self._decide_afresh(key, generation, caller, rule, justification)
        )

    async def refresh(self) -> None:
        """Read directory and mark sets again: a grant was stale. Cheap when somebody else has just done so."""
        grown = self._take_in()
        if grown or self._directory_moved():
            self._generation += 1
            self._facts.clear()

    def forget(self) -> None:
        """The registry has changed: nothing that was decided on the directory before is used again."""
        self._generation += 1
        self._facts.clear()

    async def capabilities(self, caller: Caller) -> list[tuple[str, bool, tuple[str, ...], str]]:
        """(path, allowed, purposes for which, rule that refuses) of each method, as policy answers for this caller."""
        found: list[tuple[str, bool, tuple[str, ...], str]] = []
        purposes = sorted(caller.purposes & PURPOSES)
        for rule in self._catalogue:
            answers = {
                purpose: await self._ask_method(self._situation(caller, purpose), rule)
                for purpose in ([UNSPECIFIED] if rule.justification_exempt else purposes or [UNSPECIFIED])
            }
            allowed = [purpose for purpose, (answer, _) in answers.items() if answer.allow]
            refusing = "" if allowed else next(answer.rule for answer, _ in answers.values())
            granted = purposes if allowed == [UNSPECIFIED] else allowed
            found.append((rule.path, bool(allowed), tuple(granted), refusing))
        return found

    async def _decide_afresh(
        self, key: Hashable, generation: int, caller: Caller, rule: MethodRule, justification: Justification | None
    ) -> Grant:
        situation = self._situation(caller, UNSPECIFIED)
        if justification is not None:
            if justification.on_behalf_of and justification.on_behalf_of not in caller.on_behalf_of:
                raise DecisionError(
                    "ON_BEHALF_NOT_PERMITTED", "your token does not say that you may act for this party; leave it out"
                )
            situation = replace(
                situation,
                purpose=known(justification.purpose, PURPOSES),
                authorised=_says(justification.authoriser),
                legal_basis=known(justification.legal_basis.strip(), self._bundle.legal_bases),
                case_stated=_says(justification.case_reference),
            )
        now_us, monotonic_us = self._clock.now_us(), self._clock.monotonic_us()
        answer, question = await self._ask_method(situation, rule)
        if not answer.allow:
            raise self._refusal(answer, question)
        grant = await self._grant(situation, rule, answer, question, now_us)
        if len(self._hot) >= MAX_GRANTS:
            self._hot.clear()
        self._hot[key] = _Held(grant, generation, now_us, monotonic_us + grant.valid_until_us - now_us)
        return grant

    def _situation(self, caller: Caller, purpose: str) -> Situation:
        name = str(caller.agency)
        facts = self._facts.get(name)
        if facts is None:
            facts = self._source.facts(name)
            if facts is None or facts.agency.name != name:
                raise IdentityError(
                    "AGENCY_UNKNOWN", "your agency is not in this broker's directory; ask its administrator to enrol it"
                )
            self._facts[name] = facts
        return Situation(caller, facts, purpose, False, self._effective(caller, facts))

    def _effective(self, caller: Caller, facts: AgencyFacts) -> frozenset[str]:
        """The roles that count: known to policy, and held by appointment where that is what they ask for."""
        appointed = self._bundle.appointed_roles
        return frozenset(
            role
            for role in caller.roles & self._bundle.roles
            if role not in appointed or (caller.user, role) in facts.appointments
        )

    async def _ask_method(self, situation: Situation, rule: MethodRule) -> tuple[MethodAnswer, bytes]:
        question = method_question(situation, rule.permission, exempt=rule.justification_exempt)
        key = (self._engine.name, self._engine.bundle, question)
        answer = self._methods.get(key)
        if answer is None:
            answer = self._reader.method((await self._engine.method(question)).document)
            self._methods.put(key, answer)
        return answer, question

    async def _grant(
        self, situation: Situation, rule: MethodRule, answer: MethodAnswer, question: bytes, now_us: int
    ) -> Grant:
        if not rule.marked:
            policy_input = b'{"grant":null,"method":' + question + b"}"
            none = dict.fromkeys(FIELD_CLASSES, ClassGrant())
            return Grant(
                rows=0,
                pointers=0,
                classes=none,
                answer_classes=answer.answer_classes,
                watermark=max(self._index.watermark, 0),
                data_revision=situation.facts.revision,
                valid_until_us=NEVER_US,
                policy=self._reference(situation, policy_input, secrets.token_hex(16)),
                policy_input=policy_input,
                explain=self._explain_nothing,
                roles=situation.roles,
            )
        asked = grant_question(situation, now_us)
        evaluation = await self._evaluate(situation, asked)
        policy_input = b'{"grant":' + asked + b',"method":' + question + b"}"
        return Grant(
            rows=evaluation.rows,
            pointers=evaluation.pointers,
            silent=evaluation.silent,
            classes=evaluation.classes or {},
            answer_classes=answer.answer_classes,
            watermark=max(evaluation.watermark, 0),
            data_revision=situation.facts.revision,
            valid_until_us=valid_until_us(situation.facts.agreements, now_us),
            policy=self._reference(situation, policy_input, evaluation.decision_id),
            policy_input=policy_input,
            explain=Explainer(
                evaluation.answer, evaluation.agency, evaluation.compartments, self._index, self._bundle.rules
            ),
            roles=situation.roles,
        )

    async def _evaluate(self, situation: Situation, question: bytes) -> Evaluation:
        key = (self._engine.name, self._engine.bundle, question)
        evaluation = self._evaluations.get(key)
        if evaluation is None:
            answered = await self._engine.grant(question)
            agency = situation.facts.agency
            evaluation = Evaluation(
                self._reader.grant(answered.document),
                agency.name,
                agency.compartments,
                answered.decision_id or secrets.token_hex(16),
            )
        extended = evaluation.extended(self._index)
        if extended is not evaluation:
            self._evaluations.put(key, extended)
        return extended

    def _reference(self, situation: Situation, policy_input: bytes, decision_id: str) -> PolicyReference:
        return PolicyReference(
            engine=self._engine.name,
            bundle=self._engine.bundle,
            data=situation.facts.revision,
            decision_id=decision_id,
            input_hash=hashlib.sha256(policy_input).hexdigest(),
        )

    def _refusal(self, answer: MethodAnswer, question: bytes) -> DecisionError:
        rule = self._bundle.rules[answer.rule]
        reason = "PURPOSE_NOT_PERMITTED" if rule.reason == "PURPOSE" else "METHOD_NOT_PERMITTED"
        asked = hashlib.sha256(question).hexdigest()
        detail = f"rule {answer.rule}, {self._engine.name} bundle {self._engine.bundle}, input {asked}"
        return DecisionError(reason, f"{rule.text} {rule.remedy}", detail=detail)

    def _take_in(self) -> bool:
        new = self._source.mark_sets(self._index.watermark)
        self._index.extend(new)
        return bool(new)

    def _directory_moved(self) -> bool:
        agency = next(iter(self._facts), None)
        fresh = None if agency is None else self._source.facts(agency)
        return fresh is None or any(facts.revision != fresh.revision for facts in self._facts.values())

    def _explain_nothing(self, _name: str, _number: int, _full: bool) -> tuple[str, str]:
        return "not_granted", self._bundle.rules["not_granted"].reason


def _key(caller: Caller, rule: MethodRule, justification: Justification | None, bundle: PolicyBundle) -> Hashable:
    """All that a decision depends on, beside what `refresh` reads. The user is left out, so that officers alike share
    it, unless a role is claimed that counts by appointment: that is one person's."""
    agency = caller.agency
    asked = (
        None
        if justification is None
        else (
            justification.purpose,
            justification.on_behalf_of,
            _says(justification.authoriser),
            known(justification.legal_basis.strip(), bundle.legal_bases),
            _says(justification.case_reference),
        )
    )
    return (
        agency.trust_domain,
        agency.agency,
        caller.roles,
        "" if caller.roles.isdisjoint(bundle.appointed_roles) else caller.user,
        caller.clearance,
        caller.nationalities,
        caller.purposes,
        caller.on_behalf_of,
        rule.permission,
        rule.justification_exempt,
        rule.marked,
        asked,
    )


def _says(text: str) -> bool:
    """Whether a text names somebody or something: blanks and signs do not."""
    return any(map(str.isalnum, text))
