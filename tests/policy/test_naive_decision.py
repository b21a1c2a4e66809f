"""The grant decides every generated pair of caller and marks as `decision.rego` does, one record at a time."""

from __future__ import annotations

import random
from dataclasses import fields

import orjson
import pytest
import regorus

from broker.decide.answers import AnswerReader
from broker.decide.bundle import policy_folder
from broker.decide.embedded import EmbeddedEngine
from broker.decide.evaluation import Evaluation
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import Situation, grant_question
from broker.decide.trees import UNSPECIFIED
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.marks import MarkSet
from tests.support.questions import BUNDLE, random_marks, random_situation

CALLERS = 120
MARK_SETS = 60


@pytest.fixture(scope="module")
def naive() -> regorus.Engine:
    engine = regorus.Engine()
    for name, text in BUNDLE.modules:
        engine.add_policy(name, text)
    engine.add_policy_from_file(str(policy_folder() / "decision.rego"))
    engine.add_data_json('{"policy":' + BUNDLE.data.decode() + "}")
    return engine


def marks_document(mark_set: MarkSet) -> dict[str, object]:
    document: dict[str, object] = {}
    for field in fields(mark_set):
        value = getattr(mark_set, field.name)
        is_set = isinstance(value, frozenset)
        document[field.name] = sorted(value) if is_set else (value if value is None else value or UNSPECIFIED)
    document["originator_domain"] = mark_set.originator.partition("/")[0]
    return document


async def evaluate(engine: EmbeddedEngine, situation: Situation, index: MarkSetIndex) -> Evaluation:
    question = grant_question(situation, now_us=10)
    answer = AnswerReader(BUNDLE.rules, DECIDED_CLASSES).grant((await engine.grant(question)).document)
    agency = situation.facts.agency
    return Evaluation(answer, agency.name, agency.compartments, "d").extended(index)


def levels(evaluation: Evaluation, number: int) -> dict[str, str]:
    assert evaluation.classes is not None
    found = {}
    for name in DECIDED_CLASSES:
        held = evaluation.classes[name]
        if held.full >> number & 1:
            found[name] = "full"
        elif held.part >> number & 1:
            found[name] = "part"
    return found


async def test_grants_equal_the_naive_decision(embedded: EmbeddedEngine, naive: regorus.Engine) -> None:
    rnd = random.Random(22)
    index = MarkSetIndex()
    sets = [random_marks(rnd) for _ in range(MARK_SETS)]
    index.extend(list(enumerate(sets)))
    visible = 0
    for _ in range(CALLERS):
        situation = random_situation(rnd)
        evaluation = await evaluate(embedded, situation, index)
        asked = orjson.loads(grant_question(situation, now_us=10))
        for number, mark_set in enumerate(sets):
            naive.set_input_json(orjson.dumps({"caller": asked, "marks": marks_document(mark_set)}).decode())
            decision = orjson.loads(naive.eval_rule_as_json("data.entente.naive.decision"))
            seen = bool(evaluation.rows >> number & 1)
            visible += seen
            assert (seen, levels(evaluation, number)) == (decision["visible"], decision["classes"]), (asked, mark_set)
            assert bool(evaluation.pointers >> number & 1) == decision["pointer"], (asked, mark_set)
            assert bool(evaluation.silent >> number & 1) == decision["silent"], (asked, mark_set)
    assert visible > 800  # the pairs are not all refusals
