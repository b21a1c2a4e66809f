"""What an engine may answer, exactly: anything else is no answer, and the caller is refused.

MUST refuse (UnavailableError POLICY_UNAVAILABLE): a missing or an additional key; a wrong type; a class, rule, mark,
operator or enum value that this broker does not know; a tree that is too large. A policy with a misspelt name is
refused whole, never read as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.decide.bundle import RuleText
from broker.decide.trees import (
    ABSENT,
    CONSTANT_OPS,
    OPTIONAL_ATTRS,
    SCALAR_ATTRS,
    SCALAR_OPS,
    SET_ATTRS,
    SET_OPS,
    AllOf,
    AnyOf,
    Leaf,
    Tree,
)
from broker.domain.errors import UnavailableError
from broker.domain.grant import FULL, PART, PSEUDONYM
from entente.common.v1 import marks_pb2

MAX_DEPTH = 12
MAX_NODES = 4_000
MAX_VALUES = 10_000

# How a class may be released, the fuller before the coarser.
FORMS = (FULL, PART, PSEUDONYM)

_ENUMS = {
    "classification": marks_pb2.Classification,
    "markings": marks_pb2.Marking,
    "handling_code": marks_pb2.HandlingCode,
    "handling_conditions": marks_pb2.HandlingCondition,
    "europol_handling": marks_pb2.EuropolHandling,
    "tlp": marks_pb2.Tlp,
    "sanitisation": marks_pb2.Sanitisation,
    "fallback": marks_pb2.Fallback,
    "reach": marks_pb2.Reach,
}


def enum_names(attr: str) -> frozenset[str] | None:
    """The values that a mark can have, without prefix; None for a mark that is not an enum."""
    enum = _ENUMS.get(attr)
    if enum is None:
        return None
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return frozenset(name.removeprefix(prefix) for name in enum.keys())  # noqa: SIM118 - no mapping


_ENUM_VALUES = {attr: names for attr in _ENUMS if (names := enum_names(attr)) is not None}


@dataclass(frozen=True, slots=True)
class MethodAnswer:
    """May they? By which rule, and which classes of an answer's unmarked parts go with it."""

    allow: bool
    rule: str
    answer_classes: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClassTrees:
    """Where a class is released in full, where at least in its coarser form, and where at least as a pseudonym."""

    full: Tree
    part: Tree
    pseudonym: Tree


@dataclass(frozen=True, slots=True)
class GrantAnswer:
    """The trees of one caller's grant."""

    rows: Tree
    pointers: Tree
    silent: Tree
    classes: Mapping[str, ClassTrees]


def malformed(what: str) -> UnavailableError:
    """The refusal of an answer that is none."""
    return UnavailableError("POLICY_UNAVAILABLE", "policy did not answer as it must; try again later", detail=what)


class AnswerReader:
    """Reads engines' answers against the rules and the classes that both sides know."""

    def __init__(
        self, rules: Mapping[str, RuleText], decided: Sequence[str], unmarked: Sequence[str] = ("DIRECTORY", "AUDIT")
    ) -> None:
        """`decided`: the classes that a grant must answer for; `unmarked`: those that a method's answer may hold."""
        self._rules = rules
        self._decided = frozenset(decided)
        self._unmarked = frozenset(unmarked) | {"ENVELOPE"}

    def method(self, document: object) -> MethodAnswer:
        """Raises UnavailableError for anything but a method's answer."""
        answer = _object(document, "method", {"allow", "rule", "answer_classes"})
        allow, classes = answer["allow"], answer["answer_classes"]
        if not isinstance(allow, bool):
            raise malformed("method.allow is not a boolean")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise malformed("method.answer_classes is not a list of classes")
        if not set(classes) <= self._unmarked or len(set(classes)) != len(classes):
            raise malformed("method.answer_classes holds another class")
        return MethodAnswer(allow, self._rule(answer["rule"]), frozenset(classes))

    def grant(self, document: object) -> GrantAnswer:
        """Raises UnavailableError for anything but a grant."""
        answer = _object(document, "grant", {"rows", "pointers", "silent", "classes"})
        classes = _object(answer["classes"], "grant.classes", self._decided)
        budget = _Budget()
        trees: dict[str, ClassTrees] = {}
        for name, entry in classes.items():
            pair = _object(entry, f"grant.classes.{name}", set(FORMS))
            trees[name] = ClassTrees(*(self._tree(pair[how], budget) for how in FORMS))
        rows, pointers, silent = (self._tree(answer[name], budget) for name in ("rows", "pointers", "silent"))
        return GrantAnswer(rows, pointers, silent, trees)

    def _tree(self, document: object, budget: _Budget, depth: int = 0) -> Tree:
        budget.spend(depth)
        if not isinstance(document, dict):
            raise malformed("a tree is not an object")
        return budget.one(self._node(document, budget, depth))

    def _node(self, document: dict[str, object], budget: _Budget, depth: int) -> Tree:
        for key, kind in (("all", AllOf), ("any", AnyOf)):
            if key in document:
                children = _object(document, "a tree", {key})[key]
                if not isinstance(children, list):
                    raise malformed("a tree's children are not a list")
                return kind(tuple(self._tree(child, budget, depth + 1) for child in children))
        return self._leaf(document, budget)

    def _leaf(self, document: dict[str, object], budget: _Budget) -> Leaf:
        op = document.get("op")
        if op in CONSTANT_OPS:
            leaf = _object(document, "a leaf", {"rule", "op"})
            return Leaf(self._rule(leaf["rule"]), str(op))
        if op == ABSENT:
            leaf = _object(document, "a leaf", {"rule", "op", "attr"})
            return Leaf(self._rule(leaf["rule"]), ABSENT, _attr(leaf["attr"], OPTIONAL_ATTRS))
        single = op in ("eq", "contains")
        if op not in SCALAR_OPS and op not in SET_OPS:
            raise malformed("a leaf has an unknown operator")
        leaf = _object(document, "a leaf", {"rule", "op", "attr", "value" if single else "values"})
        attr = _attr(leaf["attr"], SCALAR_ATTRS if op in SCALAR_OPS else SET_ATTRS)
        values = [leaf["value"]] if single else leaf["values"]
        return Leaf(self._rule(leaf["rule"]), str(op), attr, _values(attr, values, budget))

    def _rule(self, name: object) -> str:
        if not isinstance(name, str) or name not in self._rules:
            raise malformed("an answer names an unknown rule")
        return name


class _Budget:
    """How much one answer may hold."""

    def __init__(self) -> None:
        self.nodes = 0
        self.values = 0
        self._seen: dict[Tree, Tree] = {}

    def one(self, tree: Tree) -> Tree:
        """One object for equal trees: the classes of an answer repeat most of one another."""
        return self._seen.setdefault(tree, tree)

    def spend(self, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise malformed("a grant's trees are too large")


def _object(document: object, what: str, keys: set[str] | frozenset[str]) -> dict[str, object]:
    if not isinstance(document, dict):
        raise malformed(f"{what} is not an object")
    if document.keys() != keys:
        raise malformed(f"{what} has keys {sorted(map(str, document.keys() ^ keys))} too many or too few")
    return document


def _attr(attr: object, known: Sequence[str]) -> str:
    if not isinstance(attr, str) or attr not in known:
        raise malformed("a leaf tests a mark that its operator does not fit")
    return attr


def _values(attr: str, values: object, budget: _Budget) -> frozenset[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise malformed("a leaf's values are not strings")
    budget.values += len(values)
    if budget.values > MAX_VALUES:
        raise malformed("a grant's leaves hold too many values")
    known = _ENUM_VALUES.get(attr)
    if known is not None and not known.issuperset(values):
        raise malformed(f"a leaf names a value that {attr} cannot have")
    return frozenset(values)
