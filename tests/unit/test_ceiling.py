"""The hard ceiling, stated once more in plain words and held against both of its makers.

An engine allows everything, in whatever form, to random callers over random marks: what the grant holds then equals
what is written here, no more and no less. What the release stage lets leave equals it too, read from the records' own
marks, whatever mark-set ids and bitmaps say.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from broker.decide.decider import Decider
from broker.decide.rollout import FixedPolicy
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.answer import Answer, StoredItem
from broker.domain.exchange import Justification
from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD, Grant
from broker.domain.marks import MarkSet, inherit
from broker.handle.report.translate import marks_message, portions
from broker.release.ceiling import Ceiling
from broker.release.errors import ReleaseError
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.engines import ALL_GRANTED, ALLOWED, EVERYTHING, NOTHING, AnsweringEngine
from tests.support.questions import (
    AGENCIES,
    BUNDLE,
    CATALOGUE,
    COMPARTMENTS,
    GET_REPORT,
    FakeClock,
    caller,
    marks,
    random_marks,
    some,
    world,
)
from tests.support.released import CLASSES, grant, item, only, without
from tests.support.released import EVERYTHING as ALL_IN_FULL
from tests.support.reports import line, person

ALWAYS_OPEN = ("HEADER", "MARKING", "SUMMARY", "TEAR_LINE", "GRADING")
OWNERS_ALONE = ("SOURCE", "INTERNAL", "REFERENCE")
FORMS = ("full", "part", "pseudonym")


def may_see(one: MarkSet, agency: str, compartments: frozenset[str]) -> bool:
    if any(compartment not in compartments for compartment in one.compartments):
        return False
    if one.originator == agency:
        return True
    if one.releasable_to is not None and agency not in one.releasable_to:
        return False
    return one.sanitisation != "SOURCE_PROTECTED" and one.reach in ("", "REDACTED")


def best_form(one: MarkSet, name: str, agency: str) -> tuple[str, ...]:
    """The forms in which a class of something visible may be released."""
    if one.originator == agency:
        return FORMS
    if name in OWNERS_ALONE:
        return ()
    return FORMS[1:] if one.reach == "REDACTED" and name not in ALWAYS_OPEN else FORMS


def may_be_pointed_at(one: MarkSet, agency: str, compartments: frozenset[str]) -> bool:
    if any(compartment not in compartments for compartment in one.compartments):
        return False
    if one.fallback == "POINTER" and one.reach in ("", "REDACTED", "POINTER"):
        return True
    # By its reach it stands in the place of the portion: for those alone who could have had that.
    named = one.releasable_to is None or agency in one.releasable_to
    return one.reach == "POINTER" and named and one.sanitisation != "SOURCE_PROTECTED"


def may_be_heard(one: MarkSet) -> bool:
    return one.reach == "SILENT" or (one.fallback == "SILENT" and one.reach != "NONE")


async def granted(sets: list[MarkSet], agency: str, compartments: frozenset[str], answer: object) -> Grant:
    source = world(*sets)
    source.agencies[agency] = replace(source.agencies[agency], compartments=compartments)
    decider = Decider(FixedPolicy(AnsweringEngine(ALLOWED, answer), BUNDLE), CATALOGUE, source, FakeClock())
    await decider.refresh()
    rule = CATALOGUE.find(GET_REPORT)
    assert rule is not None
    return await decider.decide(caller(agency), rule, Justification("INVESTIGATION"))


def allowing(form: str) -> object:
    """Everything to everybody, each class in this form alone."""
    trees = {name: {one: EVERYTHING if one == form else NOTHING for one in FORMS} for name in DECIDED_CLASSES}
    return {**ALL_GRANTED, "classes": trees}


@pytest.mark.parametrize("form", [*FORMS, "all"])
@pytest.mark.parametrize("seed", range(6))
async def test_an_engine_that_allows_everything_grants_the_ceiling_and_no_more(form: str, seed: int) -> None:
    chance = random.Random(seed)
    sets = list(dict.fromkeys(random_marks(chance) for _ in range(400)))
    agency, compartments = chance.choice(AGENCIES), some(chance, COMPARTMENTS)
    found = await granted(sets, agency, compartments, ALL_GRANTED if form == "all" else allowing(form))
    seen = {"rows": 0, "pointers": 0, "silent": 0, "classes": 0}
    for number, one in enumerate(sets):
        visible = may_see(one, agency, compartments)
        pointed = not visible and may_be_pointed_at(one, agency, compartments)
        heard = not visible and not pointed and may_be_heard(one)
        assert bool(found.rows >> number & 1) == visible, one
        assert bool(found.pointers >> number & 1) == pointed, one
        assert bool(found.silent >> number & 1) == heard, one
        for name in DECIDED_CLASSES:
            forms = best_form(one, name, agency) if visible else ()
            expected = next((best for best in forms if form in (best, "all")), WITHHELD)
            held = found.classes[name]
            given = [kind for kind in FORMS if getattr(held, kind) >> number & 1]
            assert given == ([expected] if expected else []), (name, one)
            seen["classes"] += bool(expected)
        seen["rows"] += visible
        seen["pointers"] += pointed
        seen["silent"] += heard
    assert min(seen.values()) > 10, f"a ceiling over nothing proves nothing: {seen}"


# The release stage's own, on whole records.


def stored(chance: random.Random) -> tuple[report_pb2.Report, MarkSet, list[MarkSet]]:
    """A report whose record and portions carry random marks, and these as the ceiling has to read them."""
    record = random_marks(chance)
    made = report_pb2.Report(title="t", lines=[line("1", "x"), line("2", "y")], entities=[person("a", "Ana Lime")])
    made.header.record_id = f"{chance.getrandbits(128):032x}"
    made.header.originator, made.header.version = record.originator, 1
    made.header.marks.CopyFrom(marks_message(record))
    own = []
    for _, _, portion in portions(made):
        stated = marks(record.originator, classification="", handling_code="", tlp="")
        if chance.random() < 0.3:
            stated = replace(random_marks(chance), originator=record.originator)
            portion.marks.CopyFrom(marks_message(stated))
        own.append(inherit(record, stated))
    return made, record, own


def leaves(
    ceiling: Ceiling, one: StoredItem, held: Grant, agency: str, compartments: frozenset[str] = frozenset()
) -> bool:
    try:
        ceiling.require(
            Answer(items=(one,)), report_service_pb2.GetReportResponse, replace(held, compartments=compartments), agency
        )
    except ReleaseError:
        return False
    return True


LEVELS = {"full": FULL, "part": PART, "pseudonym": PSEUDONYM}


def drawn() -> Iterator[tuple[random.Random, str, frozenset[str]]]:
    for seed in range(400):
        chance = random.Random(seed)
        yield chance, chance.choice(AGENCIES), some(chance, COMPARTMENTS)


def test_no_record_leaves_beyond_its_own_marks_whatever_the_grant_says() -> None:
    """The grant shows everything in a random form; mark-set ids say nothing of the marks."""
    ceiling, let = Ceiling(), {True: 0, False: 0}
    for chance, agency, compartments in drawn():
        report, record, own = stored(chance)
        form = chance.choice(FORMS)
        names = chance.choice((ALWAYS_OPEN, CLASSES, [name for name in CLASSES if name not in OWNERS_ALONE]))
        held = grant(*[dict.fromkeys(names, LEVELS[form])] * 4)
        one = item(report, 1, 2, 3)
        expected = all(may_see(part, agency, compartments) for part in (record, *own)) and all(
            form in best_form(part, name, agency) for part in (record, *own) for name in names
        )
        assert leaves(ceiling, one, held, agency, compartments) == expected, (record, own, agency, names, form)
        let[expected] += 1
    assert min(let.values()) > 40, let


def test_portions_that_the_grant_hides_do_not_keep_the_record() -> None:
    """They do not leave."""
    protected = marks_pb2.Marks(sanitisation=marks_pb2.SANITISATION_SOURCE_PROTECTED)
    report = report_pb2.Report(lines=[line("1", "x"), line("2", "y", marks=protected)])
    report.header.record_id, report.header.originator, report.header.version = "a" * 32, AGENCIES[0], 1
    open_ones = dict.fromkeys(ALWAYS_OPEN, FULL)
    assert leaves(Ceiling(), item(report, 0, 1), grant(open_ones, None), AGENCIES[1])
    assert not leaves(Ceiling(), item(report, 0, 1), grant(open_ones, open_ones), AGENCIES[1])
    assert leaves(Ceiling(), item(report, 0, 1), grant(open_ones, open_ones), AGENCIES[0])


def test_no_pointer_leaves_that_nobody_asked_for() -> None:
    ceiling, let = Ceiling(), {True: 0, False: 0}
    for chance, agency, compartments in drawn():
        report, record, _ = stored(chance)
        one = item(report, 0, 0, 0, as_pointer=True)
        expected = may_be_pointed_at(record, agency, compartments)
        assert leaves(ceiling, one, grant(None, pointers=1), agency, compartments) == expected, record
        let[expected] += 1
    assert min(let.values()) > 40, let


def test_a_record_that_changed_is_read_again() -> None:
    """What is remembered of a version is of these very bytes."""
    ceiling = Ceiling()
    report = report_pb2.Report(title="t")
    report.header.record_id, report.header.originator, report.header.version = "a" * 32, AGENCIES[0], 1
    held = grant(only("SUMMARY"))
    assert leaves(ceiling, item(report), held, AGENCIES[1])
    report.header.marks.reach = marks_pb2.REACH_NONE
    assert not leaves(ceiling, item(report), held, AGENCIES[1])


def test_an_owners_class_is_refused_in_every_form() -> None:
    report = report_pb2.Report(title="t")
    report.header.record_id, report.header.originator, report.header.version = "a" * 32, AGENCIES[0], 1
    for name in OWNERS_ALONE:
        for level in (FULL, PART, PSEUDONYM):
            assert not leaves(Ceiling(), item(report), grant({"HEADER": FULL, name: level}), AGENCIES[1])
    assert leaves(Ceiling(), item(report), grant(ALL_IN_FULL), AGENCIES[0])
    assert not leaves(Ceiling(), item(report), grant(without("SOURCE")), AGENCIES[1])
