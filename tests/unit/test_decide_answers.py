"""Engines' answers are read exactly or not at all; trees over bitmaps equal trees on one mark set."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from broker.decide.answers import MAX_DEPTH, AnswerReader
from broker.decide.marksets import MarkSetIndex
from broker.decide.trees import SCALAR_ATTRS, SET_ATTRS, AllOf, AnyOf, Leaf, Tree, first_failing, holds, members, scalar
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.errors import UnavailableError
from tests.support.engines import ALL_GRANTED, ALLOWED, own_records
from tests.support.questions import BUNDLE, marks, random_marks

READER = AnswerReader(BUNDLE.rules, DECIDED_CLASSES)
LEAF = {"rule": "tlp_red", "op": "within", "attr": "tlp", "values": ["CLEAR"]}


def granting(rows: object) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(ALL_GRANTED)
    document["rows"] = rows
    return document


def deep(levels: int) -> dict[str, Any]:
    return {"all": [deep(levels - 1)]} if levels else {"all": []}


BAD_TREES: dict[str, object] = {
    "null": None,
    "true": True,
    "a string": "<undefined>",
    "both kinds": {"all": [], "any": []},
    "a negation": {"not": {"all": []}},
    "children no list": {"all": {}},
    "an extra key": LEAF | {"more": 1},
    "no rule": {key: value for key, value in LEAF.items() if key != "rule"},
    "an unknown rule": LEAF | {"rule": "no_such_rule"},
    "an unknown operator": LEAF | {"op": "matches"},
    "an unknown mark": LEAF | {"attr": "colour"},
    "a set operator on a scalar": LEAF | {"op": "subset"},
    "a scalar operator on a set": LEAF | {"attr": "markings"},
    "a misspelt value": LEAF | {"values": ["CLAER"]},
    "a value that is no string": LEAF | {"values": [1]},
    "values no list": LEAF | {"values": "CLEAR"},
    "absent of a mark that always is": {"rule": "recipient", "op": "absent", "attr": "compartments"},
    "a constant with a mark": {"rule": "recipient", "op": "always", "attr": "tlp"},
    "too deep": deep(MAX_DEPTH + 1),
    "too wide": {"any": [{"all": []}] * 5_000},
    "too many values": LEAF | {"attr": "originator", "values": ["x"] * 10_001},
}


@pytest.mark.parametrize("tree", BAD_TREES.values(), ids=BAD_TREES)
def test_a_tree_that_is_not_exactly_one_is_refused(tree: object) -> None:
    with pytest.raises(UnavailableError) as refused:
        READER.grant(granting(tree))
    assert refused.value.reason == "POLICY_UNAVAILABLE"


BAD_METHODS: dict[str, object] = {
    "undefined": None,
    "one for true": ALLOWED | {"allow": 1},
    "a string for true": ALLOWED | {"allow": "true"},
    "an extra key": ALLOWED | {"more": 1},
    "a missing key": {"allow": True, "rule": "method_permitted"},
    "an unknown rule": ALLOWED | {"rule": "x"},
    "a class of records": ALLOWED | {"answer_classes": ["ENVELOPE", "SOURCE"]},
    "a class twice": ALLOWED | {"answer_classes": ["AUDIT", "AUDIT"]},
    "classes no list": ALLOWED | {"answer_classes": "ENVELOPE"},
}


@pytest.mark.parametrize("document", BAD_METHODS.values(), ids=BAD_METHODS)
def test_a_method_answer_that_is_not_exactly_one_is_refused(document: object) -> None:
    with pytest.raises(UnavailableError):
        READER.method(document)


def test_every_class_must_be_answered_for_and_no_other() -> None:
    for name in DECIDED_CLASSES:
        document = granting({"all": []})
        del document["classes"][name]
        with pytest.raises(UnavailableError):
            READER.grant(document)
    for name in ("ENVELOPE", "COLOUR"):
        document = granting({"all": []})
        document["classes"][name] = {"full": {"all": []}, "part": {"all": []}, "pseudonym": {"all": []}}
        with pytest.raises(UnavailableError):
            READER.grant(document)
    assert READER.grant(own_records("a/b")).rows == Leaf("own_record", "eq", "originator", frozenset({"a/b"}))


def random_tree(rnd: random.Random, depth: int = 3) -> Tree:
    if depth and rnd.random() < 0.6:
        children = tuple(random_tree(rnd, depth - 1) for _ in range(rnd.randrange(4)))
        return AllOf(children) if rnd.random() < 0.5 else AnyOf(children)
    if rnd.random() < 0.2:
        return Leaf("r", rnd.choice(("always", "never")))
    example = random_marks(rnd)
    if rnd.random() < 0.5:
        attr = rnd.choice(SCALAR_ATTRS)
        return Leaf("r", "within", attr, frozenset({scalar(example, attr), scalar(random_marks(rnd), attr)}))
    attr = rnd.choice(SET_ATTRS)
    if rnd.random() < 0.2:
        return Leaf("r", "absent", "releasable_to")
    return Leaf("r", rnd.choice(("subset", "intersects", "contains")), attr, members(example, attr) or frozenset())


def test_bitmaps_say_of_each_mark_set_what_the_tree_says_of_it_alone() -> None:
    rnd = random.Random(50)
    sets = [random_marks(rnd) for _ in range(120)]
    index = MarkSetIndex()
    index.extend(list(enumerate(sets))[:70])
    index.extend(list(enumerate(sets))[70:])
    tail = index.since(69)
    for _ in range(400):
        tree = random_tree(rnd)
        bits = index.bitmaps.evaluate(tree)
        assert [bool(bits >> number & 1) for number in range(120)] == [holds(tree, one) for one in sets]
        assert tail.evaluate(tree) == bits >> 70
        for one in sets[:10]:
            assert (first_failing(tree, one) is None) == holds(tree, one)


def test_no_list_is_not_an_empty_list() -> None:
    index = MarkSetIndex()
    index.extend([(0, marks(releasable_to=None)), (1, marks(releasable_to=frozenset()))])
    assert index.bitmaps.evaluate(Leaf("recipient", "absent", "releasable_to")) == 0b01
    assert index.bitmaps.evaluate(Leaf("recipient", "subset", "releasable_to", frozenset({"a/b"}))) == 0b10


def test_mark_sets_come_in_order_and_once() -> None:
    index = MarkSetIndex()
    index.extend([(0, marks()), (3, marks())])
    assert (index.watermark, index.bitmaps.everything) == (3, 0b1001)
    for late in (3, 2):
        with pytest.raises(ValueError, match="ascending"):
            index.extend([(late, marks())])


def test_the_first_failing_child_is_named_and_the_last_branch() -> None:
    def never(name: str) -> Leaf:
        return Leaf(name, "never")

    always = Leaf("fine", "always")
    assert first_failing(AllOf((always, never("second"), never("third"))), marks()) == "second"
    assert first_failing(AnyOf((never("first"), AllOf((always, never("last"))))), marks()) == "last"
    assert first_failing(AnyOf(()), marks()) == ""
    assert first_failing(AnyOf((never("first"), always)), marks()) is None
