"""Each thing by itself: one mark, one purpose, one role, one term otherwise than usual, decided as in plain words.

Random pairs meet everything often but few things alone, where a rule that is missing shows. The grant is held against
the naive decision, the method against the sentences of docs/policy.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import orjson

from broker.decide.answers import AnswerReader
from broker.decide.embedded import EmbeddedEngine
from broker.decide.evaluation import Evaluation
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.vocabulary import DECIDED_CLASSES, LEVELS, PURPOSES, UNSPECIFIED, names
from broker.domain.directory import EVERY, TRANSFORMS, Agency, AgencyFacts, Agreement
from broker.domain.marks import CLASSIFICATIONS, REACH_ORDER, TLP_ORDER, MarkSet
from entente.access.v1 import access_pb2
from tests.support.naive import decided, marks_document, naive_engine
from tests.support.questions import AGENCIES, BUNDLE, CONDITIONS, EUROPOL, LATER_US, caller, marks

ME, PARTNER, ABROAD = AGENCIES[1], AGENCIES[0], AGENCIES[3]
READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)
TERMS = Agreement("terms", frozenset({ME, PARTNER, ABROAD}), PURPOSES, "SECRET", 0, LATER_US)
BASIS = sorted(BUNDLE.legal_bases)[0]


def usual(*agreements: Agreement, purpose: str = "INVESTIGATION", level: str = "REGIONAL", **changes: Any) -> Situation:
    """An officer of a regional unit who investigates a stated case, cleared to SECRET."""
    person = caller(ME, **{name: changes.pop(name) for name in list(changes) if name not in Situation.__slots__})
    agency = Agency(ME, "", "GB", level, compartments=frozenset({"op-lime"}))
    made = Situation(person, AgencyFacts(agency, agreements, 1), purpose, True, person.roles, case_stated=True)
    return replace(made, **changes)


def situations() -> Iterator[Situation]:
    """The usual one under an agreement and without, and each thing otherwise."""
    yield usual()
    for purpose in (*sorted(PURPOSES), UNSPECIFIED):
        yield usual(TERMS, purpose=purpose)
    yield from (
        usual(TERMS, authorised=authorised, case_stated=stated) for authorised, stated in ((False, True), (True, False))
    )
    for role in sorted(BUNDLE.roles):
        yield usual(TERMS, roles=frozenset({role}))
    yield from (usual(TERMS, level=level) for level in (*sorted(LEVELS), UNSPECIFIED))
    for clearance, country in product((*CLASSIFICATIONS, ""), ("GB", "DE")):
        yield usual(TERMS, clearance=clearance, nationalities=frozenset({country}))
    yield from (usual(other) for other in terms())
    yield usual(replace(TERMS, legal_bases=frozenset({BASIS})), legal_basis=BASIS)


def terms() -> Iterator[Agreement]:
    """The agreement with one term otherwise."""
    for ceiling in CLASSIFICATIONS:
        yield replace(TERMS, ceiling=ceiling)
    for transform in TRANSFORMS:
        yield replace(TERMS, classes=((EVERY, transform),))
        yield replace(TERMS, classes=((EVERY, "FULL"), ("IDENTITY", transform), ("INFORMATION", transform)))
    yield replace(TERMS, purposes=frozenset({"FRAUD"}))
    yield replace(TERMS, record_types=frozenset({"other"}))
    yield replace(TERMS, use="INTELLIGENCE_ONLY")
    yield replace(TERMS, legal_bases=frozenset({BASIS}))
    yield replace(TERMS, parties=frozenset({ME, ABROAD}))


def one_mark_otherwise(originator: str) -> Iterator[MarkSet]:
    """An ordinary portion, and with one mark changed; conditions and codes each alone."""
    base = marks(originator)
    yield base
    for field, values in (
        ("classification", (*CLASSIFICATIONS, "")),
        ("tlp", TLP_ORDER),
        ("reach", REACH_ORDER),
        ("fallback", ("POINTER", "SILENT")),
        ("sanitisation", ("SOURCE_PROTECTED", "SANITISED", "TEAR_LINE")),
        ("handling_code", ("C", "")),
        ("releasable_to", (frozenset(), frozenset({ME}), frozenset({PARTNER}))),
        ("compartments", (frozenset({"op-lime"}), frozenset({"op-quince"}), frozenset({"op-lime", "op-quince"}))),
        ("europol_handling", [frozenset({code}) for code in EUROPOL]),
    ):
        yield from (replace(base, **{field: value}) for value in values)
    for condition in CONDITIONS:
        yield replace(base, handling_code="C", handling_conditions=frozenset({condition}))
    yield replace(base, tlp="RED", releasable_to=frozenset({ME}))
    yield replace(base, europol_handling=frozenset({"H2"}), releasable_to=frozenset({ME}))
    for reach, fallback in (("REDACTED", "POINTER"), ("POINTER", "SILENT"), ("NONE", "POINTER"), ("SILENT", "POINTER")):
        yield replace(base, reach=reach, fallback=fallback)


async def test_each_thing_otherwise_is_decided_as_one_record_at_a_time() -> None:
    engine, naive, index = EmbeddedEngine(BUNDLE), naive_engine(), MarkSetIndex()
    await engine.start()
    sets = [*one_mark_otherwise(PARTNER), *list(one_mark_otherwise(ABROAD))[::2], *list(one_mark_otherwise(ME))[::3]]
    index.extend(list(enumerate(sets)))
    for situation in situations():
        question = grant_question(situation, now_us=10)
        answer = READER.grant((await engine.grant(question)).document)
        agency = situation.facts.agency
        found = Evaluation(answer, agency.name, agency.compartments, "d").extended(index)
        asked = orjson.loads(question)
        for number, one in enumerate(sets):
            naive.set_input_json(orjson.dumps({"caller": asked, "marks": marks_document(one)}).decode())
            expected = orjson.loads(naive.eval_rule_as_json("data.entente.naive.decision"))
            assert decided(found, number) == expected, (asked, one)
    await engine.close()


async def test_each_role_may_call_what_its_row_says_for_a_purpose_of_its_own() -> None:
    engine = EmbeddedEngine(BUNDLE)
    await engine.start()
    held = orjson.loads(BUNDLE.data)["roles"]
    pairs = [{"officer", "auditor"}, {"administrator", "liaison_officer"}, set[str]()]
    permissions, purposes = names(access_pb2.Permission), (*sorted(PURPOSES), UNSPECIFIED)
    for roles in (*({role} for role in sorted(held)), *pairs):
        for permission, purpose, exempt in product(permissions, purposes, (False, True)):
            allowed_purposes = frozenset(sorted(PURPOSES)[::2])
            situation = usual(purpose=purpose, roles=frozenset(roles), purposes=allowed_purposes)
            question = method_question(situation, permission, exempt=exempt)
            answer = READER.method((await engine.method(question)).document)
            free = exempt and permission == "SELF" and purpose == UNSPECIFIED
            serving = [role for role in roles if permission in held[role]["permissions"]]
            if not serving:
                expected = "role_permits"
            elif not free and purpose not in allowed_purposes:
                expected = "purpose_in_token"
            elif not free and not any(purpose in held[role]["purposes"] for role in serving):
                expected = "purpose_for_role"
            else:
                expected = "method_permitted"
            assert (answer.rule, answer.allow) == (expected, expected == "method_permitted"), question
    for level in ("", "VILLAGE"):
        question = method_question(usual(level=level), "REPORT_READ", exempt=False)
        assert READER.method((await engine.method(question)).document).rule == "agency_placed"
    await engine.close()
