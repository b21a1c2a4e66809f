"""Both engines answer every question alike, byte for byte as canonical JSON. `make policy` asks ten times as many."""

from __future__ import annotations

import random
from dataclasses import replace

import orjson

from broker.decide.answers import AnswerReader
from broker.decide.embedded import EmbeddedEngine
from broker.decide.opa import OpaEngine
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.vocabulary import DECIDED_CLASSES, PURPOSES, names
from broker.domain.directory import Agency, AgencyFacts
from entente.access.v1 import access_pb2
from tests.support.both_engines import answered_differently
from tests.support.questions import (
    AGENCIES,
    BUNDLE,
    LATER_US,
    caller,
    random_agreement,
    random_question,
    random_situation,
)

GRANTS = 1_000
METHODS = 3_000
OVER_REST = 60


def grant_questions(count: int, seed: int) -> list[bytes]:
    """Callers with nothing, with 0 to 60 agreements, and with words that nobody knows."""
    rnd = random.Random(seed)
    return [random_question(rnd) for _ in range(count)]


def method_questions(count: int, seed: int) -> list[bytes]:
    rnd = random.Random(seed)
    permissions = (*names(access_pb2.Permission), "UNSPECIFIED", "COSMIC")
    return [
        method_question(random_situation(rnd), rnd.choice(permissions), exempt=rnd.random() < 0.3) for _ in range(count)
    ]


async def test_engines_agree_on_grants() -> None:
    questions = grant_questions(GRANTS, 20)
    assert {len(orjson.loads(question)["agreements"]) for question in questions} >= {0, 1, 2, 3}
    assert any(len(orjson.loads(question)["agreements"]) > 20 for question in questions)
    assert await answered_differently("grant", questions) == []


async def test_engines_agree_on_methods() -> None:
    assert await answered_differently("method", method_questions(METHODS, 21)) == []


async def test_the_answer_for_sixty_agreements_is_within_what_the_broker_reads(embedded: EmbeddedEngine) -> None:
    """Sixty partners on any terms, and on terms that have nothing in common."""
    reader, rnd = AnswerReader(BUNDLE.rules, DECIDED_CLASSES), random.Random(23)
    name = AGENCIES[0]
    for _ in range(3):
        agreements = tuple(
            replace(random_agreement(rnd, name, number), purposes=PURPOSES, valid_until_us=LATER_US)
            for number in range(60)
        )
        facts = AgencyFacts(Agency(name, name, "GB", "REGIONAL"), agreements, 1)
        asking = Situation(caller(name), facts, "INTELLIGENCE_DEVELOPMENT", True, frozenset({"officer"}), "MLAT", True)
        reader.grant((await embedded.grant(grant_question(asking, now_us=10))).document)


async def test_opa_answers_over_rest_as_it_evaluates(embedded: EmbeddedEngine, opa: OpaEngine) -> None:
    for question in grant_questions(OVER_REST, 22):
        assert (await embedded.grant(question)).document == (await opa.grant(question)).document
