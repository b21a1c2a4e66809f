"""Both engines answer every question alike, byte for byte as canonical JSON."""

from __future__ import annotations

import random

import orjson

from broker.decide.embedded import EmbeddedEngine
from broker.decide.opa import OpaEngine
from broker.decide.question import grant_question, method_question
from broker.decide.vocabulary import names
from entente.access.v1 import access_pb2
from tests.support.questions import random_situation

QUESTIONS = 600


def canonical(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


async def test_engines_agree_on_grants(embedded: EmbeddedEngine, opa: OpaEngine) -> None:
    rnd = random.Random(20)
    for _ in range(QUESTIONS):
        question = grant_question(random_situation(rnd), now_us=10)
        assert canonical((await embedded.grant(question)).document) == canonical((await opa.grant(question)).document)


async def test_engines_agree_on_methods(embedded: EmbeddedEngine, opa: OpaEngine) -> None:
    rnd = random.Random(21)
    permissions = names(access_pb2.Permission)
    for _ in range(QUESTIONS):
        question = method_question(random_situation(rnd), rnd.choice(permissions), exempt=rnd.random() < 0.3)
        assert canonical((await embedded.method(question)).document) == canonical((await opa.method(question)).document)
