"""Simulations: the record replayed exactly, the bitmaps compared as each record would be decided by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from broker.decide.answers import AnswerReader
from broker.decide.bundle import PolicyBundle
from broker.decide.embedded import EmbeddedEngine
from broker.decide.evaluation import Evaluation
from broker.decide.marksets import MarkSetIndex
from broker.decide.question import Situation, grant_question, method_question
from broker.decide.rollout import PolicyNow
from broker.decide.simulation import Simulator
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.grant import ClassGrant
from broker.domain.marks import MarkSet, inherit
from broker.domain.simulated import FORMS, CandidateError, Proposed, RecordedDecision, RecordKind, Scene
from tests.support.policies import stricter
from tests.support.questions import AGENCIES, BUNDLE, FakeClock, caller, random_marks

OWNER, READER = AGENCIES[0], AGENCIES[1]
PURPOSE = "INVESTIGATION"
LATER = 2**50


def agreement(name: str = "a1", **changes: object) -> Agreement:
    usual = Agreement(name, frozenset({OWNER, READER}), frozenset({PURPOSE}), "SECRET", 0, LATER)
    return replace(usual, **changes)  # type: ignore[arg-type]


def facts(name: str, *agreements: Agreement) -> AgencyFacts:
    return AgencyFacts(Agency(name, name, "GB", "REGIONAL"), agreements, 1)


def situation_of(of: AgencyFacts) -> Situation:
    """An officer who investigates."""
    return Situation(caller(of.agency.name), of, PURPOSE, False, frozenset({"officer"}))


def recorded(
    of: AgencyFacts, *, allowed: bool = True, bundle: str = BUNDLE.revision, count: int = 1
) -> RecordedDecision:
    """A read by an officer, as the ledger has it."""
    situation = situation_of(of)
    asked = method_question(situation, "REPORT_READ", exempt=False)
    policy_input = b'{"grant":' + grant_question(situation, 1) + b',"method":' + asked + b"}"
    return RecordedDecision("/x.Reports/Get", bundle, allowed, policy_input, count)


def scene(seed: int, *decisions: RecordedDecision, agreements: tuple[Agreement, ...] = ()) -> Scene:
    """Generated records of the owner's, of several portions each."""
    rng = random.Random(seed)
    kinds, marks = [], list(_mark_sets(rng))
    for place in range(0, len(marks), 3):
        numbers = [number for number, _ in marks[place : place + 3]]
        kinds.append(RecordKind(numbers[0], tuple(numbers[1:]), 1 + place % 2, (f"r{place}",)))
    agencies = {name: facts(name, *agreements) for name in (OWNER, READER)}
    return Scene(decisions, tuple(kinds), tuple(marks), agencies)


def _mark_sets(rng: random.Random) -> Iterator[tuple[int, MarkSet]]:
    for number in range(1, 91, 3):
        record = replace(random_marks(rng), record_type="report", originator=OWNER)
        yield number, record
        for one in (1, 2):
            portion = replace(random_marks(rng), record_type="report", originator=OWNER)
            yield number + one, inherit(record, portion)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    made = Simulator(lambda: PolicyNow.of(0, BUNDLE, EmbeddedEngine(BUNDLE)), lambda _: stricter(), FakeClock())
    yield made
    made.close()


async def one_by_one(bundle: PolicyBundle, of: AgencyFacts, scenery: Scene) -> dict[tuple[str, str], dict[int, str]]:
    """(record, class) -> the forms of its pairs, each decided over an index that holds its own two mark sets alone."""
    engine = EmbeddedEngine(bundle)
    await engine.start()
    document = (await engine.grant(grant_question(situation_of(of), 1))).document
    answer = AnswerReader(bundle.rules, DECIDED_CLASSES).grant(document)
    marks = dict(scenery.mark_sets)
    found: dict[tuple[str, str], dict[int, str]] = {}
    for kind in scenery.kinds:
        for portion in {kind.mark_set, *kind.portions}:
            index = MarkSetIndex()
            index.extend([(0, marks[kind.mark_set]), (1, marks[portion])])
            made = Evaluation(answer, of.agency.name, of.agency.compartments, "").extended(index)
            for name, held in (made.classes or {}).items():
                if name != "ENVELOPE":
                    found.setdefault((kind.record_ids[0], name), {})[portion] = _form(held)
    return found


def _form(held: ClassGrant) -> str:
    full, part, named = held.full, held.part, held.pseudonym
    if full & 3 == 3:
        return "FULL"
    if (full | part) & 3 == 3:
        return "COARSER"
    return "PSEUDONYM" if (full | named) & 3 == 3 else "NONE"


@pytest.mark.parametrize("seed", range(6))
async def test_the_bitmaps_tell_what_deciding_each_record_tells(simulator: Simulator, seed: int) -> None:
    """MUST 3: an agreement ends; what is said to be lost is what deciding each record, with and without, gives."""
    scenery = scene(seed, recorded(facts(READER, agreement())), agreements=(agreement(),))
    made = await simulator.simulate(Proposed(withdrawn="a1"), scenery)
    told = {
        (record, one.field_class)
        for one in made.shifts
        if one.agency == READER and one.purpose == PURPOSE and one.field_class and not one.supposed
        for record in one.record_ids
    }
    before = await one_by_one(BUNDLE, facts(READER, agreement()), scenery)
    after = await one_by_one(BUNDLE, facts(READER), scenery)
    assert told == {key for key in before if before[key] != after[key]}
    assert told, "these records rest on the agreement"


async def test_a_record_that_does_not_reproduce_is_told(simulator: Simulator) -> None:
    """MUST 2: under the revision in force, a recorded answer that is another than the policy's now."""
    true, false = recorded(facts(READER), count=5), recorded(facts(READER), allowed=False, count=2)
    made = await simulator.simulate(Proposed(), scene(1, true, false))
    assert (made.exchanges, made.replayed, made.not_reproduced, made.not_compared) == (7, 2, 1, 0)


async def test_what_another_revision_decided_is_replayed_and_not_compared(simulator: Simulator) -> None:
    old = recorded(facts(READER), allowed=False, bundle="f" * 64)
    lost = replace(recorded(facts(READER)), policy_input=b"")
    made = await simulator.simulate(Proposed(), scene(1, old, lost))
    assert (made.replayed, made.not_reproduced, made.not_compared) == (1, 0, 2)


async def test_records_from_before_the_newest_questions_are_asked_again(simulator: Simulator) -> None:
    """An input that a former version of the broker sealed has fewer members: nothing was stated then."""
    asked = orjson.loads(recorded(facts(READER)).policy_input)
    for name in ("legal_basis", "case_stated"):
        del asked["grant"][name]
    old = replace(recorded(facts(READER)), policy_input=orjson.dumps(asked, option=orjson.OPT_SORT_KEYS))
    made = await simulator.simulate(Proposed(agreement=agreement()), scene(2, old))
    assert made.shifts


async def test_who_never_asked_is_supposed(simulator: Simulator) -> None:
    made = await simulator.simulate(Proposed(agreement=agreement()), scene(3))
    assert (made.replayed, made.supposed) == (0, 14)
    assert made.shifts
    assert all(one.supposed and one.purpose == PURPOSE for one in made.shifts)
    assert {one.agency for one in made.shifts} == {READER}


async def test_other_policies_are_compared_on_the_same_questions(simulator: Simulator) -> None:
    scenery = scene(4, recorded(facts(READER, agreement())), agreements=(agreement(),))
    made = await simulator.simulate(Proposed(archive=b"stricter"), scenery)
    assert made.candidate == stricter().revision
    names = {(one.now, one.then) for one in made.shifts if one.field_class == "IDENTITY" and not one.supposed}
    assert ("FULL", "COARSER") in names
    assert all(FORMS.index(then) < FORMS.index(now) for now, then in names), "stricter gives nobody more"


async def test_what_there_was_no_time_for_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """MUST 4."""
    monkeypatch.setattr("broker.decide.simulation.SECONDS", 0)
    made = await simulator.simulate(Proposed(agreement=agreement()), scene(5, recorded(facts(READER))))
    assert made.shortened
    assert not made.shifts


async def test_policies_that_cannot_be_read_are_no_candidate() -> None:
    def refuse(_: bytes) -> PolicyBundle:
        raise ValueError("not signed by the policy authority")

    made = Simulator(lambda: PolicyNow.of(0, BUNDLE, EmbeddedEngine(BUNDLE)), refuse, FakeClock())
    with pytest.raises(CandidateError, match="not signed"):
        await made.simulate(Proposed(archive=b"x"), scene(1))
    made.close()
