"""One release stage that serves everybody, against one that has never served anybody: the same bytes, whoever asked.

Random grants of a few questions at growing watermarks (so that their lineages meet), agreements, recipients, cases,
originators and versions; caches so small that they turn over, and large enough that they do not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from broker.domain.answer import Answer, StoredItem
from broker.domain.directory import Agreement
from broker.domain.grant import FULL, PART, PSEUDONYM, Grant
from broker.release.errors import ReleaseError
from broker.release.plans import Plans
from broker.release.projector import Released, Releaser
from broker.release.pseudonyms import NOBODY, Pseudonyms, Scope
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill
from tests.support.released import CLASSES, Levels, grant, item

SEARCH = report_service_pb2.SearchReportsResponse
NORTH, SOUTH, EAST = "police.example/north", "police.example/south", "police.example/east"
CASES = ("", "OP 1", "op  1", "OP 2")
SCOPES = (NOBODY, *(Scope.of(agency, case) for agency in (NORTH, SOUTH, EAST) for case in CASES))
MARKS = 6
NAMES = Pseudonyms(bytes(range(32)))
# A plan follows from a type and a view alone; made anew for each of some thousand releases it would take minutes.
PLANS = Plans()


@dataclass(frozen=True)
class Question:
    """What was decided once, over all mark sets; `lineage` is that of all grants made of it."""

    marks: tuple[Levels | None, ...]
    rule: str
    lineage: object

    def grant(self, watermark: int, agreements: tuple[Agreement, ...]) -> Grant:
        made = grant(*self.marks[: watermark + 1], pointers=1 << watermark, rule=self.rule)
        return replace(made, lineage=self.lineage, agreements=agreements)


def levels(chance: random.Random) -> Levels | None:
    if chance.random() < 0.15:
        return None
    loose = dict.fromkeys(CLASSES, FULL)
    for name in chance.sample(CLASSES, 6):
        loose[name] = chance.choice((FULL, PART, PSEUDONYM, PSEUDONYM, ""))
    return loose


def agreement(chance: random.Random, number: int) -> Agreement:
    parties = frozenset(chance.sample((NORTH, SOUTH, EAST), 2))
    use = chance.choice(("EVIDENTIAL", "INTELLIGENCE_ONLY"))
    return Agreement(f"a{number}", parties, frozenset({"INVESTIGATION"}), "SECRET", 0, 2**50, use=use)


def reports() -> list[report_pb2.Report]:
    """Four, of which the last two have one id and version, as no store has them."""
    made = []
    for seed in range(4):
        one = report_pb2.Report.FromString(fill(report_pb2.Report, min(seed, 2)).message.SerializeToString())
        del one.entities[2:]
        del one.links[1:]
        made.append(one)
    made[3].title = "changed"
    return made


REPORTS = reports()


def stored(chance: random.Random) -> StoredItem:
    report = chance.choice(REPORTS)
    count = len(report.lines) + len(report.entities) + len(report.links)
    # Of a few templates of marks, so that callers meet.
    template = random.Random(chance.randrange(6))
    portions = [template.randrange(MARKS) for _ in range(count)]
    made = item(report, *portions, mark_set=template.randrange(MARKS), as_pointer=chance.random() < 0.1)
    return replace(made, originator=chance.choice((NORTH, SOUTH, EAST)))


def released(by: Releaser, answer: Answer, held: Grant, scope: Scope) -> Released | str:
    try:
        return by.release(answer, SEARCH, held, scope)
    except ReleaseError as refusal:
        return str(refusal)


@pytest.mark.parametrize("cache_bytes", [600_000, 1 << 26], ids=["turning over", "keeping all"])
def test_what_is_kept_ready_is_served_to_nobody_else(cache_bytes: int) -> None:
    """cache MUSTs 1 and 2, decisions MUSTs 1 and 2, projector MUSTs 5 and 7."""
    chance = random.Random(cache_bytes)
    shared = Releaser(cache_bytes, NAMES)
    questions = [
        Question(tuple(levels(chance) for _ in range(MARKS)), f"rule{number % 2}", object()) for number in range(6)
    ]
    # Two callers whose questions differ in nothing but who asks: what they share is meant to be shared.
    questions.append(replace(questions[0], lineage=object()))
    treaties = [agreement(chance, number) for number in range(4)]
    outcomes = {"served": 0, "refused": 0}
    for _ in range(900):
        agreements = tuple(chance.sample(treaties, chance.randrange(3)))
        held = chance.choice(questions).grant(chance.randrange(2, MARKS), agreements)
        answer = Answer(items=tuple(stored(chance) for _ in range(chance.choice((1, 1, 2)))))
        scope = chance.choice(SCOPES)
        fresh = Releaser(0, NAMES)
        fresh.plans = PLANS
        expected = released(fresh, answer, held, scope)
        assert released(shared, answer, held, scope) == expected
        outcomes["refused" if isinstance(expected, str) else "served"] += 1
    assert min(outcomes.values()) > 100, outcomes
    assert shared.cache.hits > 20, "nothing was shared, so nothing was proven"
