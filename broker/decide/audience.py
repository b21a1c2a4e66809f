"""Readers who are only supposed: what they would be granted, over mark sets that nobody has stored.

Guarantees: the question is built, the engine asked, its answer read, evaluated under the hard ceiling and explained by
the very parts that decide on real callers; only the caller and the mark sets are another's. What an engine answered is
kept under the whole question, apart from what is kept of real callers, which nothing here reads or changes.

Does not: intern or store a mark set; suppose a role that counts by appointment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import orjson

from broker.decide.answers import GrantAnswer, MethodAnswer
from broker.decide.bundle import PolicyBundle
from broker.decide.cache import BoundedCache
from broker.decide.decider import FactSource
from broker.decide.evaluation import TREES_BYTES, Evaluation
from broker.decide.granting import Asked, marked_grant
from broker.decide.marksets import MarkSetIndex, NumberedMarkSet
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.rollout import PolicyNow
from broker.decide.vocabulary import CLEARANCES, PURPOSES, known
from broker.domain.caller import AgencyId, Caller
from broker.domain.clock import Clock
from broker.domain.directory import AgencyFacts, Agreement
from broker.domain.supposed import Reader, Sight

READS = "REPORT_READ"
MOST_KEPT, MOST_BYTES = 4_000, 64 * 1024 * 1024

# What answers now.
Policy = Callable[[], PolicyNow]


def operational_purposes(bundle: PolicyBundle) -> list[str]:
    """The purposes for which records are read at all, in the order of their names."""
    purposes = orjson.loads(bundle.data)["purposes"]
    return sorted(name for name, purpose in purposes.items() if purpose["operational"] is True)


def supposed_caller(agency: str, roles: frozenset[str], clearance: str, nationalities: frozenset[str]) -> Caller:
    """A caller who is nobody: what of one policy decides on, and nothing else."""
    return Caller(
        agency=AgencyId.parse(agency),
        workload="",
        thumbprint=b"",
        serial="",
        user="",
        roles=roles,
        clearance=clearance,
        nationalities=nationalities,
        purposes=frozenset(PURPOSES),
        issuer="",
        token_id="",
        expires_at=0,
    )


def supposed_situation(reader: Reader, facts: AgencyFacts, bundle: PolicyBundle) -> Situation:
    """What a decision on this reader would rest on."""
    agency = facts.agency
    roles = (reader.roles & bundle.roles) - bundle.appointed_roles
    nationalities = reader.nationalities or frozenset({agency.country})
    return Situation(
        supposed_caller(agency.name, roles, known(reader.clearance, CLEARANCES), nationalities),
        facts,
        known(reader.purpose, PURPOSES),
        reader.authorised,
        roles,
        known(reader.legal_basis.strip(), bundle.legal_bases),
        reader.case_stated,
    )


def with_agreement(facts: AgencyFacts, added: Agreement) -> AgencyFacts:
    """An agency's facts as if an agreement were in force: one that is its own, from now on whenever it begins."""
    if facts.agency.name not in added.parties:
        return facts
    kept = (one for one in facts.agreements if one.agreement_id != added.agreement_id)
    return replace(facts, agreements=(*kept, replace(added, valid_from_us=0)))


class Audience:
    """Asks policy about readers who are supposed. One per event loop."""

    def __init__(self, policy: Policy, source: FactSource, clock: Clock) -> None:
        self._policy, self._source, self._clock = policy, source, clock
        self._grants: BoundedCache[GrantAnswer] = BoundedCache(MOST_KEPT, MOST_BYTES, lambda _: TREES_BYTES)
        self._methods: BoundedCache[MethodAnswer] = BoundedCache(MOST_KEPT, MOST_BYTES, lambda _: 1_000)

    @property
    def revision(self) -> str:
        """Of the policies that answer."""
        return self._policy().bundle.revision

    def purposes(self) -> list[str]:
        """The operational purposes."""
        return operational_purposes(self._policy().bundle)

    def over(self, mark_sets: Sequence[NumberedMarkSet], agreement: Agreement | None = None) -> Onlookers:
        """The same, over these mark sets alone (their numbers ascend), as if an agreement were in force too."""
        index = MarkSetIndex()
        index.extend(mark_sets)
        return Onlookers(self, index, agreement)

    async def look(self, reader: Reader, index: MarkSetIndex, agreement: Agreement | None) -> Sight:
        """What a reader would be granted. Raises UnavailableError; LookupError for an agency that is not there."""
        policy = self._policy()
        facts = self._source.facts(reader.agency)
        if facts is None:
            raise LookupError(reader.agency)
        if agreement is not None:
            facts = with_agreement(facts, agreement)
        situation, now_us = supposed_situation(reader, facts, policy.bundle), self._clock.now_us()
        question = method_question(situation, READS, exempt=False)
        method = await self._method(policy, question)
        if not method.allow:
            return Sight(None, method.rule, policy.bundle.rules[method.rule].reason)
        asked = Asked(policy, situation, question, method)
        question = grant_question(situation, now_us)
        answer, agency = await self._grant(policy, question), facts.agency
        evaluation = Evaluation(answer, agency.name, agency.compartments, "").extended(index)
        return Sight(marked_grant(asked, question, evaluation, index, now_us))

    async def _method(self, policy: PolicyNow, question: bytes) -> MethodAnswer:
        key = (policy.engine.name, policy.engine.bundle, question)
        found = self._methods.get(key)
        if found is None:
            found = policy.reader.method((await policy.engine.method(question)).document)
            self._methods.put(key, found)
        return found

    async def _grant(self, policy: PolicyNow, question: bytes) -> GrantAnswer:
        key = (policy.engine.name, policy.engine.bundle, question)
        found = self._grants.get(key)
        if found is None:
            found = policy.reader.grant((await policy.engine.grant(question)).document)
            self._grants.put(key, found)
        return found


@dataclass(frozen=True, slots=True)
class Onlookers:
    """Supposed readers of some mark sets."""

    audience: Audience
    index: MarkSetIndex
    agreement: Agreement | None = None

    async def look(self, reader: Reader) -> Sight:
        """See `Audience.look`."""
        return await self.audience.look(reader, self.index, self.agreement)
