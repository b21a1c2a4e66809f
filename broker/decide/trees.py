"""Condition trees over marks: what a policy answers with, and how one is read on a single mark set.

Trees have no negation: a value that no branch names is refused. `first_failing` names the rule of a refusal: of an
`all` the first child that fails, of an `any` the last branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from broker.domain.marks import MarkSet

UNSPECIFIED = "UNSPECIFIED"
"""Stands for a mark that is not stated, as in the protos."""

SCALAR_ATTRS = (
    "record_type",
    "originator",
    "originator_domain",
    "classification",
    "handling_code",
    "tlp",
    "sanitisation",
    "fallback",
    "reach",
)
SET_ATTRS = ("markings", "handling_conditions", "europol_handling", "compartments", "releasable_to")
OPTIONAL_ATTRS = ("releasable_to",)

SCALAR_OPS = ("eq", "within")
SET_OPS = ("contains", "intersects", "subset")
CONSTANT_OPS = ("always", "never")
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One conjunct, with the name of its rule. `values` of `eq` and `contains` holds one."""

    rule: str
    op: str
    attr: str = ""
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every child must hold; without children it always does."""

    children: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One child must hold; without children none ever does."""

    children: tuple[Tree, ...]


Tree: TypeAlias = Leaf | AllOf | AnyOf

NOTHING = AnyOf(())


def scalar(mark_set: MarkSet, attr: str) -> str:
    """A scalar mark's value, `UNSPECIFIED` where it is not stated."""
    if attr == "originator_domain":
        return mark_set.originator.partition("/")[0]
    return getattr(mark_set, attr) or UNSPECIFIED


def members(mark_set: MarkSet, attr: str) -> frozenset[str] | None:
    """A set mark's members; None only of a list that does not exist."""
    found: frozenset[str] | None = getattr(mark_set, attr)
    return found


def holds(tree: Tree, mark_set: MarkSet) -> bool:
    """Whether a tree holds on one mark set."""
    if isinstance(tree, Leaf):
        return _leaf_holds(tree, mark_set)
    if isinstance(tree, AllOf):
        return all(holds(child, mark_set) for child in tree.children)
    return any(holds(child, mark_set) for child in tree.children)


def first_failing(tree: Tree, mark_set: MarkSet) -> str | None:
    """The rule that refuses this mark set, or None when the tree holds. Empty: the tree names none."""
    if holds(tree, mark_set):
        return None
    if isinstance(tree, Leaf):
        return tree.rule
    if isinstance(tree, AnyOf):
        return (first_failing(tree.children[-1], mark_set) or "") if tree.children else ""
    return next(rule for child in tree.children if (rule := first_failing(child, mark_set)) is not None)


def _leaf_holds(leaf: Leaf, mark_set: MarkSet) -> bool:
    if leaf.op in CONSTANT_OPS:
        return leaf.op == "always"
    if leaf.op in SCALAR_OPS:
        return scalar(mark_set, leaf.attr) in leaf.values
    found = members(mark_set, leaf.attr)
    if leaf.op == ABSENT:
        return found is None
    if found is None:
        return False
    return found <= leaf.values if leaf.op == "subset" else not found.isdisjoint(leaf.values)
