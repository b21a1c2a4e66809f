"""The cases of `policies/cases`, on both engines: who asks what of which portion, sees which classes, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from broker.decide.answers import AnswerReader
from broker.decide.bundle import policy_folder
from broker.decide.engine import PolicyEngine
from broker.decide.evaluation import Evaluation, Explainer
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.marks import MarkSet
from tests.support.questions import BUNDLE, LATER_US, caller

FOLDER = policy_folder() / "cases"
CAST = yaml.safe_load((FOLDER / "cast.yaml").read_text())
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['case']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "cast.yaml"
    for case in yaml.safe_load(path.read_text())
]
METHOD_KEYS = {"case", "who", "purpose", "purposes", "exempt", "calls", "allowed", "refused"}
PORTION_KEYS = {"case", "who", "purpose", "authorised", "portion", "full", "part", "withheld", "hidden", "pointer"}
READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)


@dataclass
class Seen:
    """What one case's caller sees of one portion."""

    evaluation: Evaluation
    explain: Explainer

    def level(self, name: str) -> str:
        assert self.evaluation.classes is not None
        held = self.evaluation.classes[name]
        return "full" if held.full else "part" if held.part else "withheld"


def situation(case: dict[str, Any]) -> Situation:
    person = dict(CAST["people"][case["who"]])
    name = person.pop("agency")
    for key in ("roles", "nationalities", "purposes"):
        person[key] = frozenset(person[key])
    if "purposes" in case:
        person["purposes"] = frozenset(case["purposes"])
    known = CAST["agencies"][name]
    agency = Agency(name, name, known["country"], known["level"], compartments=frozenset(known.get("compartments", ())))
    agreements = tuple(
        Agreement(key, frozenset(a["parties"]), frozenset(a["purposes"]), a["ceiling"], 0, LATER_US)
        for key, a in CAST["agreements"].items()
        if name in a["parties"]
    )
    facts = AgencyFacts(agency, agreements, 1)
    asking = caller(name, **person)
    return Situation(asking, facts, case["purpose"], case.get("authorised", False), asking.roles)


def portion(case: dict[str, Any]) -> MarkSet:
    values = CAST["ordinary"] | case.get("portion", {})
    return MarkSet(
        "report",
        **{
            key: frozenset(value) if isinstance(value, list) else "" if value == "UNSPECIFIED" else value
            for key, value in values.items()
        },
    )


async def look(engine: PolicyEngine, case: dict[str, Any]) -> Seen:
    asking = situation(case)
    answered = await engine.grant(grant_question(asking, now_us=1))
    agency = asking.facts.agency
    index = MarkSetIndex()
    index.extend([(0, portion(case))])
    answer = READER.grant(answered.document)
    evaluation = Evaluation(answer, agency.name, agency.compartments, "").extended(index)
    return Seen(evaluation, Explainer(answer, agency.name, agency.compartments, index, BUNDLE.rules))


@pytest.mark.parametrize("case", CASES)
async def test_case(engine: PolicyEngine, case: dict[str, Any]) -> None:
    if "calls" in case:
        assert case.keys() <= METHOD_KEYS
        await check_method(engine, case)
        return
    assert case.keys() <= PORTION_KEYS
    seen = await look(engine, case)
    if "hidden" in case:
        assert (seen.evaluation.rows, seen.explain("ROWS", 0, True)[0]) == (0, case["hidden"])
        assert bool(seen.evaluation.pointers) == case.get("pointer", False)
        return
    assert seen.evaluation.rows == 1
    for name in case.get("full", ()):
        assert (name, seen.level(name)) == (name, "full")
    for level, full in (("part", True), ("withheld", False)):
        for name, rule in case.get(level, {}).items():
            assert (name, seen.level(name), seen.explain(name, 0, full)[0]) == (name, level, rule)


async def check_method(engine: PolicyEngine, case: dict[str, Any]) -> None:
    question = method_question(situation(case), case["calls"], exempt=case.get("exempt", False))
    answer = READER.method((await engine.method(question)).document)
    if "refused" in case:
        assert (answer.allow, answer.rule) == (False, case["refused"])
    else:
        assert (answer.allow, answer.answer_classes) == (True, frozenset(case["allowed"]))


def test_every_rule_that_refuses_has_its_case() -> None:
    cases = [case.values[0] for case in CASES]
    named: set[str] = set()
    for case in cases:
        assert isinstance(case, dict)
        named |= {case.get("hidden", ""), case.get("refused", ""), *case.get("withheld", {}).values()}
        named |= set(case.get("part", {}).values())
    # These never refuse, are refused as a method before any portion, or are the broker's own ceiling.
    elsewhere = {"method_permitted", "own_record", "agency_placed", "operational_purpose", "no_pointer", "not_silent"}
    elsewhere |= {"not_granted"}
    elsewhere |= {name for name in BUNDLE.rules if name.startswith("ceiling_")}
    assert set(BUNDLE.rules) - elsewhere <= named
    assert len(cases) >= 40
