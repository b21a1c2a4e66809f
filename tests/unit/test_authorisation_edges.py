"""The edges of what decides: each restriction alone and with its neighbours, said here once more in plain words.

Nothing of `broker.decide` is used to say what is expected, so that a fault there is not repeated here.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from broker.decide.answers import MAX_DEPTH, MAX_NODES, MAX_VALUES, AnswerReader, enum_names
from broker.decide.ceiling import Ceiling, refusing_rule
from broker.decide.evaluation import Evaluation, Explainer
from broker.decide.marksets import Bitmaps, MarkSetIndex
from broker.decide.question import NEVER_US, Situation, counted, grant_question, method_question, valid_until_us
from broker.decide.trees import AnyOf, Leaf, scalar
from broker.decide.vocabulary import DECIDED_CLASSES, FIELD_CLASSES
from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.errors import UnavailableError
from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD, ClassGrant, Grant, View
from broker.domain.marks import MarkSet, adds_nothing, inherit, listens, looser_than, points
from tests.support.engines import ALL_GRANTED, ALLOWED
from tests.support.grants import POLICY
from tests.support.questions import BUNDLE, LATER_US, caller

ME, OTHER = "home.example/me", "away.example/other"
MINE = frozenset({"op-a", "op-b"})
OPEN = {"HEADER", "MARKING", "SUMMARY", "TEAR_LINE", "GRADING"}
OWNERS = {"SOURCE", "INTERNAL", "REFERENCE"}


def every_restriction() -> Iterator[MarkSet]:
    """Every combination of the marks under the ceiling."""
    recipients: tuple[frozenset[str] | None, ...] = (None, frozenset(), frozenset({ME}), frozenset({"x/y"}))
    compartments = (frozenset[str](), frozenset({"op-a"}), MINE, frozenset({"op-a", "op-z"}))
    for values in product(
        (ME, OTHER),
        recipients,
        compartments,
        ("", "SOURCE_PROTECTED", "SANITISED"),
        ("", "POINTER", "SILENT"),
        ("", "REDACTED", "POINTER", "SILENT", "NONE"),
    ):
        originator, named, held, sanitisation, fallback, reach = values
        yield MarkSet(
            "report",
            originator,
            classification="OFFICIAL",
            releasable_to=named,
            compartments=held,
            sanitisation=sanitisation,
            fallback=fallback,
            reach=reach,
        )


SETS = list(every_restriction())


def member(one: MarkSet) -> bool:
    return all(name in MINE for name in one.compartments)


def goes_as_far(one: MarkSet) -> bool:
    """Others may see it at all, as far as its own restrictions go."""
    named = one.releasable_to is None or ME in one.releasable_to
    return named and one.sanitisation != "SOURCE_PROTECTED" and one.reach in ("", "REDACTED")


def visible(one: MarkSet) -> bool:
    return member(one) and (one.originator == ME or goes_as_far(one))


def bits(bitmap: int) -> list[bool]:
    return [bool(bitmap >> number & 1) for number in range(len(SETS))]


@pytest.fixture(scope="module")
def index() -> MarkSetIndex:
    made = MarkSetIndex()
    made.extend(list(enumerate(SETS)))
    return made


def test_the_ceiling_is_what_the_restrictions_say(index: MarkSetIndex) -> None:
    held = Ceiling(index.bitmaps, ME, MINE)
    assert bits(held.rows) == [visible(one) for one in SETS]
    for name in FIELD_CLASSES:
        of_class = [visible(one) and (one.originator == ME or name not in OWNERS) for one in SETS]
        in_full = [visible(one) and (one.originator == ME or name in OPEN or one.reach == "") for one in SETS]
        assert (name, bits(held.of_class(name))) == (name, of_class)
        assert (name, bits(held.in_full(name))) == (name, in_full)


def test_only_who_asked_for_it_has_pointers_and_silence(index: MarkSetIndex) -> None:
    held = Ceiling(index.bitmaps, ME, MINE)
    told = [
        member(one)
        and (
            (one.fallback == "POINTER" and one.reach in ("", "REDACTED", "POINTER"))
            or (one.reach == "POINTER" and goes_as_far(replace(one, reach="")))
        )
        for one in SETS
    ]
    hushed = [
        one.reach == "SILENT" or (one.fallback == "SILENT" and one.reach in ("", "REDACTED", "POINTER")) for one in SETS
    ]
    assert bits(held.pointers) == told
    assert bits(held.silent) == hushed


@pytest.mark.parametrize("name", [*FIELD_CLASSES, "ROWS", "POINTERS"])
def test_the_ceiling_names_the_restriction_that_refuses(name: str) -> None:
    for one, full in product(SETS, (False, True)):
        expected = None
        if not member(one):
            expected = "ceiling_compartment"
        elif one.originator == ME:
            expected = None
        elif one.releasable_to is not None and ME not in one.releasable_to:
            expected = "ceiling_recipient"
        elif one.sanitisation == "SOURCE_PROTECTED" or name in OWNERS:
            expected = "ceiling_source"
        elif one.reach in ("POINTER", "SILENT", "NONE") or (
            one.reach == "REDACTED" and full and name in FIELD_CLASSES and name not in OPEN
        ):
            expected = "ceiling_reach"
        assert refusing_rule(one, name, ME, MINE, full=full) == expected, (one, full)


def all_granted(index: MarkSetIndex) -> Evaluation:
    reader = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)
    return Evaluation(reader.grant(ALL_GRANTED), ME, MINE, "d").extended(index)


def test_an_engine_that_grants_all_is_held_class_by_class(index: MarkSetIndex) -> None:
    found = all_granted(index)
    assert found.classes is not None
    assert bits(found.rows) == [visible(one) for one in SETS]
    assert found.classes["ENVELOPE"] == ClassGrant(full=found.rows)
    for name in ("DIRECTORY", "AUDIT"):
        assert found.classes[name] == ClassGrant()
    for name in DECIDED_CLASSES:
        held = found.classes[name]
        allowed = [visible(one) and (one.originator == ME or name not in OWNERS) for one in SETS]
        full = [
            may and (one.originator == ME or name in OPEN or one.reach == "")
            for may, one in zip(allowed, SETS, strict=True)
        ]
        assert (name, bits(held.full)) == (name, full)
        assert (name, bits(held.part)) == (name, [a and not f for a, f in zip(allowed, full, strict=True)])
        assert held.pseudonym == 0  # what is released in its coarser form is no pseudonym too


@pytest.mark.parametrize("withheld", ["rows", "pointers", "silent"])
def test_what_an_engine_does_not_grant_is_granted_to_nobody(index: MarkSetIndex, withheld: str) -> None:
    document: dict[str, Any] = copy.deepcopy(ALL_GRANTED) | {withheld: {"any": []}}
    reader = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)
    asked = Evaluation(reader.grant(document), ME, MINE, "d")
    assert asked.weight() == 32_768 + 2 * sys.getsizeof(0)
    found = asked.extended(index)
    told = {"rows": found.rows, "pointers": found.pointers, "silent": found.silent}
    assert {name for name, bitmap in told.items() if not bitmap} == {withheld}
    if withheld == "rows":
        assert found.classes is not None
        assert set(found.classes.values()) == {ClassGrant()}


def test_whoever_sees_a_portion_is_told_of_it_in_no_other_way(index: MarkSetIndex) -> None:
    found = all_granted(index)
    assert found.rows & found.pointers == found.rows & found.silent == found.pointers & found.silent == 0
    assert found.pointers
    assert found.silent


def test_a_pseudonym_is_granted_beside_neither_form(index: MarkSetIndex) -> None:
    document: dict[str, Any] = copy.deepcopy(ALL_GRANTED)
    eq = {"rule": "reach", "op": "eq", "attr": "fallback", "value": "UNSPECIFIED"}
    far = {"rule": "reach", "op": "eq", "attr": "fallback", "value": "POINTER"}
    document["classes"]["IDENTITY"] = {"full": eq, "part": far, "pseudonym": {"all": []}}
    found = Evaluation(AnswerReader(BUNDLE.rules, DECIDED_CLASSES).grant(document), ME, MINE, "d").extended(index)
    assert found.classes is not None
    held = found.classes["IDENTITY"]
    for number, one in enumerate(SETS):
        full = visible(one) and one.fallback == "" and (one.originator == ME or one.reach == "")
        part = visible(one) and one.fallback == "POINTER"
        named = visible(one) and not full and not part
        assert [bool(b >> number & 1) for b in (held.full, held.part, held.pseudonym)] == [full, part, named]


@pytest.mark.parametrize("cut", [0, 1, 719, 1439])
def test_what_grows_is_what_is_evaluated_at_once(index: MarkSetIndex, cut: int) -> None:
    numbered = list(enumerate(SETS))
    growing = MarkSetIndex()
    growing.extend(numbered[:cut])
    first = all_granted(growing)
    growing.extend(numbered[cut:])
    grown, whole = first.extended(growing), all_granted(index)
    assert (grown.rows, grown.pointers, grown.silent) == (whole.rows, whole.pointers, whole.silent)
    assert (grown.classes, grown.watermark) == (whole.classes, len(SETS) - 1)
    assert grown.extended(growing) is grown
    assert (grown.lineage is first.lineage, whole.lineage is first.lineage) == (True, False)


def test_equal_bitmaps_of_a_grant_are_one_object_and_stay_so() -> None:
    index = MarkSetIndex()
    index.extend(list(enumerate(SETS)))
    found = all_granted(index)
    for step in range(2):
        assert found.classes is not None
        held = [b for one in found.classes.values() for b in (one.full, one.part, one.pseudonym)]
        assert len({id(b) for b in [found.rows, *held]}) == len({found.rows, *held}) < 12, step
        objects = {id(b): b for b in [found.rows, found.pointers, found.silent, *held]}
        assert found.weight() == 32_768 + 2 * sum(map(sys.getsizeof, objects.values()))
        # Nothing new of what a bitmap tells: it stays the very same.
        index.extend([(len(SETS) + step, SETS[-1])])
        grown = found.extended(index)
        assert grown.rows is found.rows
        found = grown


def test_the_explanation_asks_the_trees_first_and_then_the_ceiling() -> None:
    index = MarkSetIndex()
    hidden = MarkSet("report", OTHER, classification="OFFICIAL", releasable_to=frozenset())
    index.extend([(1, hidden), (2, replace(hidden, releasable_to=None)), (3, replace(hidden, originator=ME))])
    document: dict[str, Any] = copy.deepcopy(ALL_GRANTED)
    own = {"rule": "own_record", "op": "eq", "attr": "originator", "value": ME}
    never = {"rule": "tlp_red", "op": "never"}
    document["pointers"] = {"rule": "no_pointer", "op": "never"}
    document["classes"]["IDENTITY"] = {"full": own, "part": never, "pseudonym": {"any": []}}
    document["classes"]["EVENT"] = {"full": own, "part": {"any": []}, "pseudonym": {"any": []}}
    document["classes"]["PLACE"] = {"full": own, "part": never, "pseudonym": {"rule": "agreement", "op": "never"}}
    answer = AnswerReader(BUNDLE.rules, DECIDED_CLASSES).grant(document)
    explain = Explainer(answer, ME, MINE, index, BUNDLE.rules)
    assert explain("ROWS", 1, False) == ("ceiling_recipient", BUNDLE.rules["ceiling_recipient"].reason)
    assert explain("ROWS", 2, False)[0] == "not_granted"
    assert explain("IDENTITY", 2, True)[0] == "own_record"
    assert explain("IDENTITY", 2, False)[0] == "tlp_red"
    assert explain("PLACE", 2, False)[0] == "agreement"
    assert explain("EVENT", 2, False)[0] == "own_record"
    assert explain("POINTERS", 2, False)[0] == "no_pointer"
    assert explain("SOURCE", 2, False)[0] == "ceiling_source"
    assert explain("IDENTITY", 9, True)[0] == "not_granted"


# Mark sets and their numbers


def test_a_subset_is_of_those_that_have_the_list() -> None:
    made = Bitmaps()
    lists = (None, frozenset[str](), frozenset({"a"}), frozenset({"a", "b"}), frozenset({"c"}))
    made.extend([(number, MarkSet("report", ME, releasable_to=one)) for number, one in enumerate(lists)])
    for values, expected in (("", 0b00010), ("a", 0b00110), ("ab", 0b01110), ("abc", 0b11110), ("xyz", 0b00010)):
        assert made.within("releasable_to", frozenset(values)) == expected
        assert made.evaluate(Leaf("r", "subset", "releasable_to", frozenset(values))) == expected
    assert made.without("releasable_to") == 0b00001
    assert made.having("releasable_to", "a") == 0b01100
    assert made.having("originator", ME) == made.everything == 0b11111
    assert made.having("originator", OTHER) == 0


def test_what_is_not_said_has_a_word_and_an_originators_domain_is_before_its_slash() -> None:
    one = MarkSet("report", ME, tlp="RED")
    said = {attr: scalar(one, attr) for attr in ("record_type", "originator", "originator_domain", "tlp", "reach")}
    assert tuple(said.values()) == ("report", ME, "home.example", "RED", "UNSPECIFIED")


def test_an_index_finds_by_number_and_only_what_it_has() -> None:
    index = MarkSetIndex()
    assert (index.watermark, index.mark_set(0), index.since(-1)) == (-1, None, index.bitmaps)
    index.extend([])
    index.extend([(1, SETS[0]), (4, SETS[1])])
    assert [index.mark_set(number) for number in (-1, 0, 1, 2, 4, 5)] == [None, None, SETS[0], None, SETS[1], None]
    tail = index.since(1)
    assert (tail.first, tail.top, tail.everything) == (2, 4, 0b100)
    assert index.since(1) is tail
    index.extend([(5, SETS[2])])
    assert index.since(1).everything == 0b1100
    assert index.since(4).everything == 0b1
    assert index.since(1).everything == 0b1100
    assert index.since(5).everything == 0


# Answers


READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)


def refused(work: Any, *given: Any) -> str:
    with pytest.raises(UnavailableError) as failure:
        work(*given)
    assert failure.value.reason == "POLICY_UNAVAILABLE"
    return failure.value.detail


def rows(tree: object) -> dict[str, Any]:
    return {**copy.deepcopy(ALL_GRANTED), "rows": tree}


def test_a_refusal_names_what_was_wrong() -> None:
    assert refused(READER.method, None) == "method is not an object"
    assert refused(READER.grant, 1) == "grant is not an object"
    assert refused(READER.grant, {**ALL_GRANTED, "classes": []}) == "grant.classes is not an object"
    document = rows({"all": []})
    document["classes"]["PLACE"] = None
    assert refused(READER.grant, document) == "grant.classes.PLACE is not an object"


@pytest.mark.parametrize("classes", [{"ENVELOPE": 1}, [1], ["ENVELOPE", 1], [["ENVELOPE"]], [None], {}])
def test_classes_of_an_answer_are_a_list_of_words(classes: object) -> None:
    refused(READER.method, ALLOWED | {"answer_classes": classes})


def test_all_unmarked_classes_may_be_answered() -> None:
    answer = READER.method(ALLOWED | {"answer_classes": ["ENVELOPE", "DIRECTORY", "AUDIT"]})
    assert answer.answer_classes == {"ENVELOPE", "DIRECTORY", "AUDIT"}


@pytest.mark.parametrize("attr", ["classification", "handling_code", "tlp", "sanitisation", "fallback", "reach"])
def test_a_scalar_mark_has_the_values_of_its_enum_and_no_other(attr: str) -> None:
    leaf = {"rule": "reach", "op": "within", "attr": attr}
    names = enum_names(attr)
    assert names is not None
    assert "UNSPECIFIED" in names
    READER.grant(rows(leaf | {"values": sorted(names)}))
    refused(READER.grant, rows(leaf | {"values": ["NO_SUCH"]}))


@pytest.mark.parametrize("attr", ["markings", "handling_conditions", "europol_handling"])
def test_a_set_mark_has_the_values_of_its_enum_and_no_other(attr: str) -> None:
    for op, key in (("subset", "values"), ("intersects", "values"), ("contains", "value")):
        leaf: dict[str, Any] = {"rule": "reach", "op": op, "attr": attr}
        one = sorted(enum_names(attr) or ())[0]
        READER.grant(rows(leaf | {key: [one] if key == "values" else one}))
        refused(READER.grant, rows(leaf | {key: ["NO_SUCH"] if key == "values" else "NO_SUCH"}))


def test_a_mark_that_is_no_enum_has_any_value() -> None:
    assert enum_names("originator") is None
    assert enum_names("compartments") is None
    leaf = {"rule": "reach", "op": "eq", "attr": "originator", "value": "any/thing"}
    assert READER.grant(rows(leaf)).rows == Leaf("reach", "eq", "originator", frozenset({"any/thing"}))
    record_type = {"rule": "reach", "op": "within", "attr": "record_type", "values": ["report"]}
    assert READER.grant(rows(record_type)).rows == Leaf("reach", "within", "record_type", frozenset({"report"}))


@pytest.mark.parametrize(
    "leaf",
    [
        {"rule": "reach", "op": ["eq"]},
        {"rule": ["reach"], "op": "always"},
        {"rule": {}, "op": "never"},
        {"rule": "reach", "op": "absent", "attr": ["releasable_to"]},
        {"rule": "reach", "op": "within", "attr": ["tlp"], "values": []},
        {"rule": "reach", "op": "within", "attr": "tlp", "values": {"CLEAR": 1}},
        {"rule": "reach", "op": "within", "attr": "originator", "values": "abc"},
        {"rule": "reach", "op": "within", "attr": "originator", "values": ["a", 1]},
        {"rule": "reach", "op": "within", "attr": "originator", "values": ["a", ["b"]]},
        {"rule": "reach", "op": "eq", "attr": "originator", "value": None},
        {"rule": "reach", "op": "matches", "attr": "originator", "values": ["a"]},
        {"rule": "reach", "op": "eq", "attr": "originator", "values": ["a"]},
        {"rule": "reach", "op": "within", "attr": "originator", "value": "a"},
    ],
)
def test_a_leaf_of_a_wrong_shape_is_refused_and_never_raises_anything_else(leaf: object) -> None:
    refused(READER.grant, rows(leaf))


def deep(levels: int) -> dict[str, Any]:
    return {"all": [deep(levels - 1)]} if levels else {"all": []}


def test_an_answers_size_is_bounded_to_the_node() -> None:
    assert (MAX_DEPTH, MAX_NODES, MAX_VALUES) == (12, 4_000, 10_000)
    READER.grant(rows(deep(MAX_DEPTH)))
    refused(READER.grant, rows(deep(MAX_DEPTH + 1)))
    # Beside the rows there are two trees and three of each class, each a single node.
    spare = MAX_NODES - 3 - 3 * len(DECIDED_CLASSES)
    READER.grant(rows({"any": [{"all": []}] * spare}))
    refused(READER.grant, rows({"any": [{"all": []}] * (spare + 1)}))
    leaf = {"rule": "reach", "op": "within", "attr": "originator"}
    READER.grant(rows(leaf | {"values": ["x"] * MAX_VALUES}))
    refused(READER.grant, rows({"any": [leaf | {"values": ["x"] * MAX_VALUES}, leaf | {"values": ["x"]}]}))


def test_equal_trees_of_an_answer_are_one_object() -> None:
    leaf = {"rule": "reach", "op": "eq", "attr": "originator", "value": "a/b"}
    found = READER.grant(rows({"any": [{"all": [leaf]}, {"all": [dict(leaf)]}]})).rows
    assert isinstance(found, AnyOf)
    assert found.children[0] is found.children[1]


# Questions


def agreement(number: int, **changes: Any) -> Agreement:
    made = Agreement(f"a{number}", frozenset({ME, OTHER}), frozenset({"FRAUD"}), "SECRET", 10, 20)
    return replace(made, **changes)


def situation(*agreements: Agreement, **changes: Any) -> Situation:
    agency = Agency(ME, "Me", "GB", "REGIONAL", compartments=frozenset({"op-b", "op-a"}))
    who = caller(ME, nationalities=frozenset({"GB", "DE", "nowhere"}), purposes=frozenset({"FRAUD", "AUDIT", "FUN"}))
    made = Situation(who, AgencyFacts(agency, agreements, 1), "FRAUD", False, frozenset({"b", "a"}))
    return replace(made, **changes)


def test_a_grants_question_is_these_words_and_no_others() -> None:
    terms = agreement(
        2,
        purposes=frozenset({"FRAUD", "AUDIT", "FUN"}),
        record_types=frozenset({"report", "request"}),
        classes=(("IDENTITY", "PSEUDONYM"), ("*", "GENERALISE")),
        use="INTELLIGENCE_ONLY",
        assurances=frozenset({"B", "A"}),
        legal_bases=frozenset({"Y", "X"}),
        parties=frozenset({ME, OTHER, "third.example/one"}),
    )
    asked = json.loads(grant_question(situation(terms, agreement(1), authorised=True, case_stated=True), 15))
    first, second = asked.pop("agreements")
    assert asked == {
        "agency": {
            "compartments": ["op-a", "op-b"],
            "country": "GB",
            "level": "REGIONAL",
            "name": ME,
            "trust_domain": "home.example",
        },
        "authorised": True,
        "case_stated": True,
        "clearance": "SECRET",
        "legal_basis": "UNSPECIFIED",
        "nationalities": ["DE", "GB"],
        "purpose": "FRAUD",
        "roles": ["a", "b"],
    }
    assert first["id"] == "a1"
    assert second == {
        "assurances": ["A", "B"],
        "ceiling": "SECRET",
        "classes": {"*": "GENERALISE", "IDENTITY": "PSEUDONYM"},
        "id": "a2",
        "legal_bases": ["X", "Y"],
        "partners": ["away.example/other", "third.example/one"],
        "purposes": ["AUDIT", "FRAUD"],
        "record_types": ["report", "request"],
        "use": "INTELLIGENCE_ONLY",
    }
    plain = json.loads(grant_question(situation(), 15))
    assert (plain["authorised"], plain["case_stated"], plain["agreements"]) == (False, False, [])


def test_a_methods_question_is_these_words_and_no_others() -> None:
    assert json.loads(method_question(situation(), "REPORT_READ", exempt=True)) == {
        "agency": {"country": "GB", "level": "REGIONAL", "name": ME, "trust_domain": "home.example"},
        "exempt": True,
        "permission": "REPORT_READ",
        "purpose": "FRAUD",
        "purposes": ["AUDIT", "FRAUD"],
        "roles": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("changes", "now_us", "counts"),
    [
        ({}, 9, False),
        ({}, 10, True),
        ({}, 19, True),
        ({}, 20, False),
        ({"parties": frozenset({OTHER, "x/y"})}, 15, False),
        ({"ceiling": "COSMIC"}, 15, False),
    ],
)
def test_an_agreement_counts_in_force_for_its_parties_up_to_a_known_ceiling(
    changes: dict[str, Any], now_us: int, counts: bool
) -> None:
    asking = situation(agreement(1, **changes))
    assert bool(json.loads(grant_question(asking, now_us))["agreements"]) == counts
    assert counted(asking, now_us) == (asking.facts.agreements if counts else ())


@pytest.mark.parametrize(
    ("changes", "basis", "counts"),
    [
        ({"purposes": frozenset({"INVESTIGATION"})}, "UNSPECIFIED", False),
        ({"legal_bases": frozenset({"X"})}, "UNSPECIFIED", False),
        ({"legal_bases": frozenset({"X"})}, "X", True),
        ({}, "X", True),
    ],
)
def test_a_grant_rests_on_agreements_for_its_purpose_and_basis(
    changes: dict[str, Any], basis: str, counts: bool
) -> None:
    asking = situation(agreement(1, **changes), legal_basis=basis)
    assert counted(asking, 15) == (asking.facts.agreements if counts else ())


def test_a_grant_ends_at_the_next_boundary_of_any_agreement() -> None:
    held = [agreement(1, valid_from_us=10, valid_until_us=20), agreement(2, valid_from_us=15, valid_until_us=LATER_US)]
    ends = {now: valid_until_us(held, now) for now in (0, 9, 10, 14, 15, 19, 20)}
    assert ends == {0: 10, 9: 10, 10: 15, 14: 15, 15: 20, 19: 20, 20: LATER_US}
    assert valid_until_us(held, LATER_US) == valid_until_us([], 0) == NEVER_US == 9_007_199_254_740_991


# Grants


def grant(**bitmaps: Any) -> Grant:
    usual: dict[str, Any] = {"rows": 0b1111, "pointers": 0, "classes": {}}
    return Grant(
        **usual | bitmaps,
        answer_classes=frozenset(),
        watermark=3,
        data_revision=1,
        valid_until_us=1,
        policy=POLICY,
        policy_input=b"",
        explain=lambda name, number, full: (f"{name}.{number}.{full}", "R"),
    )


def test_a_portion_is_seen_where_both_bits_are_set() -> None:
    held = grant(rows=0b0110)
    for portion, container in product(range(9), repeat=2):
        assert held.sees(portion, container) == (portion in (1, 2) and container in (1, 2))
    with pytest.raises(ValueError):
        held.sees(-1, 1)


def test_a_class_is_released_as_the_lesser_of_both_and_never_as_two_of_them() -> None:
    """Mark set 0 in full, 1 in part, 2 as a pseudonym, 3 not at all."""
    held = grant(classes={"PLACE": ClassGrant(0b0001, 0b0010, 0b0100)})
    expected = {(0, 0): FULL, (1, 1): PART, (0, 1): PART, (1, 0): PART}
    expected |= {(2, 2): PSEUDONYM, (0, 2): PSEUDONYM, (2, 0): PSEUDONYM}
    for portion, container in product(range(6), repeat=2):
        view = held.view(portion, container)
        assert view == View((("PLACE", expected.get((portion, container), WITHHELD)),))
        assert held.view(portion, container) is view


def test_a_view_names_every_class_in_order() -> None:
    held = grant(classes={"PLACE": ClassGrant(1), "EVENT": ClassGrant()})
    assert held.view(0, 0).levels == (("EVENT", WITHHELD), ("PLACE", FULL))


def test_of_two_mark_sets_the_one_that_refuses_is_blamed() -> None:
    held = grant(classes={"PLACE": ClassGrant(0b0001, 0b0010)})
    for portion, container, full, blamed in (
        (0, 1, True, 1),
        (1, 0, True, 1),
        (3, 0, True, 3),
        (0, 3, True, 3),
        (1, 3, False, 3),
        (3, 1, False, 3),
        (3, 2, False, 3),
        (2, 3, True, 2),
    ):
        rule, reason = held.refusal("PLACE", portion, container, full=full)
        assert (rule, reason) == (f"PLACE.{blamed}.{full}", "R")


def test_views_are_forgotten_before_they_are_too_many() -> None:
    held = grant(rows=(1 << 40) - 1, classes={"PLACE": ClassGrant((1 << 40) - 1)})
    for portion, container in product(range(40), repeat=2):
        assert held.view(portion, container).levels == (("PLACE", FULL),)
        assert len(held._views) <= 1_024


def test_a_changed_copy_of_a_grant_remembers_nothing_of_the_first() -> None:
    first = grant(rows=0b01, classes={"PLACE": ClassGrant(0b01)})
    assert (first.sees(0, 0), first.view(0, 0).levels) == (True, (("PLACE", FULL),))
    other = replace(first, rows=0b10, classes={"PLACE": ClassGrant(0b10)})
    assert (other.sees(0, 0), other.sees(1, 1), other.view(0, 0).levels) == (False, True, (("PLACE", WITHHELD),))


# Marks


ORDERS: dict[str, tuple[Any, ...]] = {
    "classification": ("OFFICIAL", "SECRET", "TOP_SECRET"),
    "tlp": ("", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED"),
    "reach": ("", "REDACTED", "POINTER", "SILENT", "NONE"),
    "handling_code": ("", "P", "C"),
}
BASE = MarkSet("report", ME, classification="OFFICIAL")


@pytest.mark.parametrize("field", ["classification", "tlp", "reach"])
def test_a_mark_lower_than_its_containers_is_looser(field: str) -> None:
    order = ORDERS[field]
    for low, high in product(range(len(order)), repeat=2):
        container, portion = replace(BASE, **{field: order[high]}), replace(BASE, **{field: order[low]})
        assert looser_than(container, portion) == ((field,) if low < high else ())


def test_handling_is_looser_without_the_containers_code_or_conditions() -> None:
    strict = replace(BASE, handling_code="C", handling_conditions=frozenset({"A1"}))
    assert looser_than(strict, replace(strict, handling_code="P")) == ("handling_code",)
    assert looser_than(strict, replace(strict, handling_conditions=frozenset())) == ("handling_conditions",)
    assert looser_than(strict, replace(strict, handling_conditions=frozenset({"A1", "A2"}))) == ()
    assert looser_than(replace(BASE, handling_code="P"), strict) == ()
    # Conditions that a container with P may have bind too, whatever the portion's code.
    odd = replace(strict, handling_code="P")
    assert looser_than(odd, replace(BASE, handling_code="P")) == ("handling_conditions",)


@pytest.mark.parametrize("field", ["europol_handling", "compartments"])
def test_a_portion_keeps_all_of_its_containers_members(field: str) -> None:
    held = replace(BASE, **{field: frozenset({"a"})})
    assert looser_than(held, BASE) == (field,)
    assert looser_than(held, replace(BASE, **{field: frozenset({"b"})})) == (field,)
    assert looser_than(held, replace(BASE, **{field: frozenset({"a", "b"})})) == ()
    assert looser_than(BASE, held) == ()


def test_a_portion_names_nobody_beyond_its_containers_recipients() -> None:
    def to(*names: str) -> MarkSet:
        return replace(BASE, releasable_to=frozenset(names))

    assert looser_than(to("a"), to("a", "b")) == ("releasable_to",)
    assert looser_than(to(), to("a")) == ("releasable_to",)
    assert looser_than(to("a", "b"), to("a")) == looser_than(to("a"), to()) == looser_than(BASE, to("a")) == ()


SAID: dict[str, Any] = {
    "classification": "SECRET",
    "handling_code": "C",
    "europol_handling": frozenset({"H1"}),
    "tlp": "AMBER",
    "compartments": frozenset({"op-a"}),
    "releasable_to": frozenset({"x/y"}),
    "reach": "REDACTED",
    "sanitisation": "SANITISED",
    "fallback": "POINTER",
    "markings": frozenset({"OFFICIAL_SENSITIVE"}),
    "handling_conditions": frozenset({"A1"}),
}


def test_what_a_portion_leaves_unsaid_is_its_containers() -> None:
    container, unsaid = MarkSet("report", ME, **SAID), MarkSet("report", ME)
    found = inherit(container, unsaid)
    assert found == replace(container, sanitisation="", fallback="")
    assert inherit(unsaid, container) == container
    for field in ("classification", "europol_handling", "tlp", "compartments", "releasable_to", "reach"):
        other = {"tlp": "RED", "classification": "TOP_SECRET", "reach": "NONE"}.get(field, frozenset({"other"}))
        assert getattr(inherit(container, replace(unsaid, **{field: other})), field) == other
    assert inherit(container, replace(unsaid, releasable_to=frozenset())).releasable_to == frozenset()


def test_conditions_go_with_the_code_and_markings_add_up() -> None:
    container = MarkSet("report", ME, handling_code="C", handling_conditions=frozenset({"A1"}), markings=frozenset("x"))
    own = inherit(container, MarkSet("report", ME, handling_code="C", markings=frozenset("y")))
    assert (own.handling_conditions, own.markings) == (frozenset(), frozenset("xy"))
    silent = inherit(container, MarkSet("report", ME, handling_conditions=frozenset({"S2"})))
    assert (silent.handling_code, silent.handling_conditions) == ("C", frozenset({"A1"}))


@pytest.mark.parametrize(
    "one",
    [
        MarkSet("report", OTHER, fallback=f, reach=r)
        for f, r in product(("", "POINTER", "SILENT"), ("", "REDACTED", "POINTER", "SILENT", "NONE"))
    ],
)
def test_a_portion_points_or_listens_where_either_of_its_marks_says_so(one: MarkSet) -> None:
    assert points(one) is (one.fallback == "POINTER" or one.reach == "POINTER")
    assert listens(one) is (one.fallback == "SILENT" or one.reach == "SILENT")


def test_a_portion_adds_nothing_to_a_container_that_asks_for_all_that_it_asks_for() -> None:
    container = MarkSet("report", OTHER, fallback="POINTER", sanitisation="SANITISED")
    protected = replace(container, sanitisation="SOURCE_PROTECTED")
    for portion, within, nothing in (
        (container, container, True),
        (replace(container, fallback=""), container, True),
        (replace(container, sanitisation=""), container, True),
        (replace(container, fallback="SILENT"), container, False),
        (protected, container, False),
        (protected, protected, True),
        (container, protected, True),
        (replace(container, tlp="RED"), container, False),
    ):
        assert adds_nothing(within, portion) is nothing, portion
