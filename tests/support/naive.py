"""The naive decision, `policies/decision.rego`, beside the grant: one record at a time, with negations."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields
from typing import Any

import orjson
import regorus

from broker.authoring.case_run import level
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

READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)


async def compare(callers: int, mark_sets: int, seed: int) -> Counter[str]:
    """Compare every pair; raises AssertionError with the first that differs. Returns how often each outcome came."""
    rnd = random.Random(seed)
    naive, embedded, index = naive_engine(), EmbeddedEngine(BUNDLE), MarkSetIndex()
    await embedded.start()
    sets = [random_marks(rnd) for _ in range(mark_sets)]
    index.extend(list(enumerate(sets)))
    seen: Counter[str] = Counter()
    for _ in range(callers):
        situation = random_situation(rnd)
        evaluation = await _evaluate(embedded, situation, index)
        asked = orjson.loads(grant_question(situation, now_us=10))
        for number, mark_set in enumerate(sets):
            naive.set_input_json(orjson.dumps({"caller": asked, "marks": marks_document(mark_set)}).decode())
            decision = orjson.loads(naive.eval_rule_as_json("data.entente.naive.decision"))
            found = decided(evaluation, number)
            assert found == decision, (asked, mark_set)
            seen.update([*found["classes"].values(), *(key for key, value in found.items() if value is True)])
    await embedded.close()
    return seen


def naive_engine() -> regorus.Engine:
    """The naive decision over the shipped data."""
    engine = regorus.Engine()
    engine.add_policy_from_file(str(policy_folder() / "decision.rego"))
    engine.add_data_json('{"policy":' + BUNDLE.data.decode() + "}")
    return engine


def marks_document(mark_set: MarkSet) -> dict[str, object]:
    """A mark set as the naive decision reads it."""
    document: dict[str, object] = {}
    for field in fields(mark_set):
        value = getattr(mark_set, field.name)
        is_set = isinstance(value, frozenset)
        document[field.name] = sorted(value) if is_set else (value if value is None else value or UNSPECIFIED)
    document["originator_domain"] = mark_set.originator.partition("/")[0]
    return document


def decided(evaluation: Evaluation, number: int) -> dict[str, Any]:
    """What a grant says of one mark set, in the form of the naive decision."""
    levels = {name: level((evaluation.classes or {})[name], number) for name in DECIDED_CLASSES}
    return {
        "visible": bool(evaluation.rows >> number & 1),
        "pointer": bool(evaluation.pointers >> number & 1),
        "silent": bool(evaluation.silent >> number & 1),
        "classes": {name: found for name, found in levels.items() if found != "withheld"},
    }


async def _evaluate(engine: EmbeddedEngine, situation: Situation, index: MarkSetIndex) -> Evaluation:
    answer = READER.grant((await engine.grant(grant_question(situation, now_us=10))).document)
    agency = situation.facts.agency
    return Evaluation(answer, agency.name, agency.compartments, "d").extended(index)
