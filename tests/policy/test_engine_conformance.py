"""What every engine owes the broker: both real ones and the good fake."""

from __future__ import annotations

import asyncio
import random

import pytest

from broker.decide.answers import AnswerReader
from broker.decide.engine import PolicyEngine
from broker.decide.question import grant_question, method_question
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.errors import UnavailableError
from tests.support.engines import SmallEngine
from tests.support.questions import BUNDLE, random_situation

READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)


@pytest.fixture(params=["embedded", "opa", "small"])
def any_engine(request: pytest.FixtureRequest) -> PolicyEngine:
    if request.param == "small":
        return SmallEngine()
    found: PolicyEngine = request.getfixturevalue(request.param)
    return found


async def test_answers_have_the_agreed_shape_for_any_question(any_engine: PolicyEngine) -> None:
    await any_engine.start()
    assert any_engine.name
    assert any_engine.bundle
    rnd = random.Random(30)
    for _ in range(60):
        situation = random_situation(rnd)
        READER.grant((await any_engine.grant(grant_question(situation, now_us=1))).document)
        READER.method((await any_engine.method(method_question(situation, "REPORT_READ", exempt=False))).document)


async def test_a_caller_with_nothing_may_do_nothing(any_engine: PolicyEngine) -> None:
    await any_engine.start()
    rnd = random.Random(31)
    situation = next(s for s in iter(lambda: random_situation(rnd), None) if not s.roles)
    answer = READER.method((await any_engine.method(method_question(situation, "REPORT_READ", exempt=False))).document)
    assert not answer.allow


async def test_questions_may_overlap(any_engine: PolicyEngine) -> None:
    await any_engine.start()
    rnd = random.Random(32)
    questions = [grant_question(random_situation(rnd), now_us=1) for _ in range(8)]
    alone = [(await any_engine.grant(question)).document for question in questions]
    together = await asyncio.gather(*(any_engine.grant(question) for question in questions))
    assert [answer.document for answer in together] == alone


@pytest.mark.parametrize("question", [b"", b"{", b"\xff"])
async def test_a_malformed_question_is_refused(any_engine: PolicyEngine, question: bytes) -> None:
    await any_engine.start()
    with pytest.raises(UnavailableError):
        await any_engine.method(question)


async def test_a_closed_engine_refuses_and_may_be_closed_again(any_engine: PolicyEngine) -> None:
    await any_engine.start()
    await any_engine.close()
    await any_engine.close()
    with pytest.raises(UnavailableError):
        await any_engine.grant(b"{}")
