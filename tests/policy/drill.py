"""The policy's long proof: `make policy`. Both engines on every generated question, the grant beside the naive decision
on every generated pair, and what one grant costs. Ends with 1 where anything differs.

    python -m tests.policy.drill [QUESTIONS [CALLERS]]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import orjson

from broker.decide.answers import AnswerReader
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.decide.question import Situation, grant_question
from broker.decide.vocabulary import DECIDED_CLASSES, PURPOSES
from broker.domain.clock import SystemClock
from broker.domain.directory import EVERY, Agency, AgencyFacts, Agreement
from tests.policy.test_engines_agree import grant_questions, method_questions
from tests.support.both_engines import answered_differently
from tests.support.naive import compare
from tests.support.opa import running_opa
from tests.support.questions import AGENCIES, ASSURANCES, BUNDLE, LATER_US, caller

QUESTIONS, CALLERS, MARK_SETS, BATCH = 10_000, 400, 250, 1_000
ROUNDS = 30
PATIENT_S = 20.0
# What five sorts of partners agree on; sixty agreements are twelve of each.
TEMPLATES = (
    {EVERY: "FULL"},
    {EVERY: "FULL", "IDENTITY": "GENERALISE"},
    {EVERY: "WITHHOLD", "SUMMARY": "FULL", "IDENTITY": "PSEUDONYM"},
    {EVERY: "FULL", "FINANCIAL": "WITHHOLD"},
    {EVERY: "GENERALISE"},
)


def asking_under(count: int) -> bytes:
    """An officer's question, whose agency has this many agreements, each with another agency."""
    name = AGENCIES[0]
    agreements = tuple(
        Agreement(
            f"agreement-{number}",
            frozenset({name, f"country{number}.example/police"}),
            PURPOSES,
            ("OFFICIAL", "SECRET")[number % 2],
            0,
            LATER_US,
            classes=tuple(TEMPLATES[number % 5].items()),
            assurances=frozenset(ASSURANCES) if number % 5 else frozenset(),
        )
        for number in range(count)
    )
    facts = AgencyFacts(Agency(name, name, "GB", "REGIONAL", compartments=frozenset({"op-lime"})), agreements, 1)
    asking = Situation(caller(name), facts, "INVESTIGATION", True, frozenset({"officer"}), case_stated=True)
    return grant_question(asking, now_us=10)


async def differences(entry: str, questions: list[bytes]) -> int:
    """How many questions the engines answer differently; tells the first."""
    differ: list[bytes] = []
    for start in range(0, len(questions), BATCH):
        differ += await answered_differently(entry, questions[start : start + BATCH])
    print(
        f"{entry}: {len(questions):,} questions, {len(set(questions)):,} distinct, {len(differ)} answered differently"
    )
    print(*differ[:1], sep="\n", end="\n" if differ else "")
    return len(differ)


async def costs(engine: PolicyEngine) -> None:
    """Prints what a grant costs under no, few and many agreements."""
    reader = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)
    for count in (0, 1, 3, 10, 60):
        question, spans = asking_under(count), []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = await engine.grant(question)
            spans.append(1_000 * (time.perf_counter() - began))
        reader.grant(answer.document)
        said = orjson.dumps(answer.document)
        print(
            f"{engine.name:8} {count:2} agreements: a grant's p50 {statistics.median(spans):5.1f} ms, "
            f"least {min(spans):5.1f} ms; {said.count(b'rule'):4} leaves, {len(said) // 1024:3} KiB"
        )


async def both_costs() -> None:
    embedded = EmbeddedEngine(BUNDLE)
    await embedded.start()
    await costs(embedded)
    await embedded.close()
    with tempfile.TemporaryDirectory() as place:
        BUNDLE.write(Path(place))
        with running_opa(Path(place)) as url:
            opa = OpaEngine(BUNDLE, OpaAddress(url), SystemClock(), deadline_s=PATIENT_S)
            await opa.start()
            await costs(opa)
            await opa.close()


async def drill(questions: int, callers: int) -> int:
    """0 when nothing differs."""
    await both_costs()
    differ = await differences("grant", grant_questions(questions, seed=40))
    differ += await differences("method", method_questions(questions, seed=41))
    seen = await compare(callers, MARK_SETS, seed=42)
    print(
        f"naive decision: {callers * MARK_SETS:,} pairs alike; {', '.join(f'{n:,} {what}' for what, n in seen.items())}"
    )
    return int(differ > 0)


if __name__ == "__main__":
    counts = [int(argument) for argument in sys.argv[1:]] + [QUESTIONS, CALLERS][len(sys.argv) - 1 :]
    sys.exit(asyncio.run(drill(*counts)))
