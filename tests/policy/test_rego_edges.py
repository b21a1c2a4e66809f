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
from broker.decide.vocabulary import CLASS_TRANSFORMS, DECIDED_CLASSES, LEVELS, PURPOSES, UNSPECIFIED, names
from broker.domain.directory import EVERY, Agency, AgencyFacts, Agreement
from broker.domain.marks import CLASSIFICATIONS, REACH_ORDER, TLP_ORDER, MarkSet
from entente.access.v1 import access_pb2
from tests.support.naive import decided, marks_document, naive_engine
from tests.support.questions import AGENCIES, BUNDLE, CONDITIONS, EUROPOL, LATER_US, caller, marks

ME, PARTNER, ABROAD = AGENCIES[1], AGENCIES[0], AGENCIES[3]
READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)
TERMS = Agreement("terms", frozenset({ME, PARTNER, ABROAD}), PURPOSES, "SECRET", 0, LATER_US)
BASIS = sorted(BUNDLE.legal_bases)[0]
ASSURED = frozenset({"NO_DEATH_PENALTY", "NO_TORTURE", "DATA_PROTECTION"})


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
    # Two that count, with other partners and terms: each for its own partners alone.
    for transform in CLASS_TRANSFORMS:
        one = replace(TERMS, parties=frozenset({ME, PARTNER}), ceiling="OFFICIAL", classes=((EVERY, transform),))
        yield usual(one, replace(one, parties=frozenset({ME, ABROAD}), ceiling="SECRET", assurances=ASSURED))


def terms() -> Iterator[Agreement]:
    """The agreement with one term otherwise."""
    for ceiling in CLASSIFICATIONS:
        yield replace(TERMS, ceiling=ceiling)
    for transform in CLASS_TRANSFORMS:
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


async def test_a_term_that_says_nothing_known_counts_for_nothing() -> None:
    engine, index = EmbeddedEngine(BUNDLE), MarkSetIndex()
    await engine.start()
    index.extend([(0, marks(PARTNER))])
    for agreement, legal_basis, seen in (
        (replace(TERMS, use="INTELLIGENCE_ONLY"), UNSPECIFIED, True),
        (replace(TERMS, use=UNSPECIFIED), UNSPECIFIED, False),
        (replace(TERMS, legal_bases=frozenset({UNSPECIFIED})), UNSPECIFIED, False),
        (replace(TERMS, legal_bases=frozenset({UNSPECIFIED})), BASIS, False),
    ):
        situation = usual(agreement, purpose="INTELLIGENCE_DEVELOPMENT", legal_basis=legal_basis)
        answer = READER.grant((await engine.grant(grant_question(situation, now_us=10))).document)
        found = Evaluation(answer, ME, frozenset(), "d").extended(index)
        assert bool(found.rows) is seen, agreement
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
    await engine.close()


async def test_a_method_is_for_agencies_with_a_place_and_answers_with_its_own_classes() -> None:
    engine = EmbeddedEngine(BUNDLE)
    await engine.start()
    for level in (*sorted(LEVELS), "", "VILLAGE"):
        question = method_question(usual(level=level), "REPORT_READ", exempt=False)
        placed = READER.method((await engine.method(question)).document).rule != "agency_placed"
        assert placed is (level in ("LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL")), level
    answered = {name: ["DIRECTORY"] for name in ("DIRECTORY_READ", "REGISTRY_READ", "REGISTRY_WRITE", "REVOKE")}
    answered["AUDIT_READ"] = ["AUDIT"]
    everybody = frozenset(orjson.loads(BUNDLE.data)["roles"])
    for permission, roles in product(names(access_pb2.Permission), (everybody, frozenset[str]())):
        for purpose in ("INVESTIGATION", "ADMINISTRATION", "AUDIT"):
            situation = usual(purpose=purpose, roles=roles)
            document: Any = (await engine.method(method_question(situation, permission, exempt=False))).document
            beside = answered.get(permission, []) if document["allow"] else []
            assert document["answer_classes"] == ["ENVELOPE", *beside], (permission, purpose)
    await engine.close()


async def test_a_condition_or_code_that_policy_does_not_know_hides_the_portion() -> None:
    engine, index = EmbeddedEngine(BUNDLE), MarkSetIndex()
    await engine.start()
    base = marks(PARTNER, handling_code="C", releasable_to=frozenset({ME}))
    unknown = frozenset({"Z9"})
    index.extend(
        list(enumerate([base, replace(base, handling_conditions=unknown), replace(base, europol_handling=unknown)]))
    )
    for purpose in ("INVESTIGATION", "THREAT_TO_LIFE"):
        answer = READER.grant((await engine.grant(grant_question(usual(TERMS, purpose=purpose), now_us=10))).document)
        assert Evaluation(answer, ME, frozenset(), "d").extended(index).rows == 0b001
    await engine.close()


async def test_the_trees_ask_by_themselves_for_what_the_ceiling_asks_again() -> None:
    engine, index = EmbeddedEngine(BUNDLE), MarkSetIndex()
    await engine.start()
    held = (frozenset[str](), frozenset({"op-lime"}), frozenset({"op-quince"}))
    sets = [
        marks(PARTNER, reach=reach, fallback=fallback, compartments=compartments)
        for reach, fallback, compartments in product(REACH_ORDER, ("", "POINTER", "SILENT"), held)
    ]
    index.extend(list(enumerate(sets)))
    answer = READER.grant((await engine.grant(grant_question(usual(TERMS), now_us=10))).document)
    trees = (answer.rows, answer.pointers, answer.silent)
    for number, one in enumerate(sets):
        member = one.compartments <= {"op-lime"}
        far = one.reach in ("", "REDACTED")
        points = one.reach == "POINTER" or (one.fallback == "POINTER" and far)
        hushed = one.reach == "SILENT" or (one.fallback == "SILENT" and (far or one.reach == "POINTER"))
        found = [bool(index.bitmaps.evaluate(tree) >> number & 1) for tree in trees]
        assert found == [member and far, member and points, hushed], one
    await engine.close()


def test_each_purpose_is_what_the_guide_says_of_it() -> None:
    everyday = {"CRIME_PREVENTION", "INVESTIGATION", "INTELLIGENCE_DEVELOPMENT", "THREAT_TO_LIFE", "CHILD_PROTECTION"}
    inquiries = everyday - {"CRIME_PREVENTION"}
    expected = {
        "operational": everyday | {"FRAUD", "BORDER_SECURITY"},
        "crime": everyday | {"FRAUD"},
        "investigative": inquiries,
        "direct_action": {"CRIME_PREVENTION", "BORDER_SECURITY"},
        "court": {"INVESTIGATION", "FRAUD"},
        "money": {"INVESTIGATION", "FRAUD"},
        "contacts": inquiries | {"FRAUD"},
        "objects": inquiries | {"BORDER_SECURITY"},
    }
    rows = orjson.loads(BUNDLE.data)["purposes"]
    assert {flag: {name for name, row in rows.items() if row[flag]} for flag in expected} == expected
