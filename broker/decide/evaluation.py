"""One grant question's answer over all mark sets: trees become bitmaps, under the hard ceiling.

Guarantees: no class is released where its portion is not visible; nothing is released above the ceiling; what was
evaluated up to a watermark is extended over the new mark sets alone and equals a fresh evaluation. A refusal is
explained from the same trees that made it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from broker.decide.answers import ClassTrees, GrantAnswer
from broker.decide.bundle import RuleText
from broker.decide.ceiling import Ceiling, refusing_rule
from broker.decide.marksets import Bitmaps, MarkSetIndex
from broker.decide.trees import NOTHING, Tree, first_failing
from broker.decide.vocabulary import FIELD_CLASSES
from broker.domain.grant import ClassGrant
from broker.domain.marks import MarkSet

ROWS = "ROWS"
POINTERS = "POINTERS"
ENVELOPE = "ENVELOPE"

TREES_BYTES = 32 * 1024
"""About what one answer's trees take in memory, beside their bitmaps."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Bitmaps of one answer, up to a watermark, and what is needed to extend and to explain them.

    `lineage` stays the same when it is extended: what was found out of mark sets up to the watermark still holds.
    """

    answer: GrantAnswer
    agency: str
    compartments: frozenset[str]
    decision_id: str
    watermark: int = -1
    rows: int = 0
    pointers: int = 0
    silent: int = 0
    classes: Mapping[str, ClassGrant] | None = None
    lineage: object = field(default_factory=object, compare=False, repr=False)

    def extended(self, index: MarkSetIndex) -> Evaluation:
        """The same answer over all that the index holds."""
        if self.classes is not None and self.watermark == index.watermark:
            return self
        rows, pointers, silent, classes = self._evaluate(index.since(self.watermark))
        if self.classes is None:
            one = _sharing()
            rows, pointers, silent = one(rows), one(pointers), one(silent)
            classes = {name: ClassGrant(one(c.full), one(c.part), one(c.pseudonym)) for name, c in classes.items()}
        else:
            join = _joining(self.watermark + 1)
            rows, pointers, silent = join(self.rows, rows), join(self.pointers, pointers), join(self.silent, silent)
            classes = {name: _joined(held, classes[name], join) for name, held in self.classes.items()}
        return replace(self, watermark=index.watermark, rows=rows, pointers=pointers, silent=silent, classes=classes)

    def _evaluate(self, bitmaps: Bitmaps) -> tuple[int, int, int, dict[str, ClassGrant]]:
        ceiling = Ceiling(bitmaps, self.agency, self.compartments)
        seen: dict[Tree, int] = {}
        rows = bitmaps.evaluate(self.answer.rows, seen) & ceiling.rows
        pointers = bitmaps.evaluate(self.answer.pointers, seen) & ceiling.pointers & ~rows
        silent = bitmaps.evaluate(self.answer.silent, seen) & ceiling.silent & ~rows & ~pointers
        classes = dict.fromkeys(FIELD_CLASSES, ClassGrant())
        classes[ENVELOPE] = ClassGrant(full=rows)
        for name, trees in self.answer.classes.items():
            allowed = rows & ceiling.of_class(name)
            full = bitmaps.evaluate(trees.full, seen) & allowed & ceiling.in_full(name)
            part = bitmaps.evaluate(trees.part, seen) & allowed & ~full
            named = bitmaps.evaluate(trees.pseudonym, seen) & allowed & ~full & ~part
            classes[name] = ClassGrant(full, part, named)
        return rows, pointers, silent, classes

    def weight(self) -> int:
        """Bytes in memory, roughly: each bitmap once, and once more for the form in which its bits are read."""
        held = (self.classes or {}).values()
        classes = (bits for one in held for bits in (one.full, one.part, one.pseudonym))
        bitmaps = {id(bits): bits for bits in (self.rows, self.pointers, self.silent, *classes)}
        return TREES_BYTES + 2 * sum(map(sys.getsizeof, bitmaps.values()))


def _sharing() -> Callable[[int], int]:
    """Gives one object for all equal bitmaps: of the sixty of a grant about fifteen differ."""
    seen: dict[int, int] = {}
    return lambda bits: seen.setdefault(bits, bits)


def _joining(shift: int) -> Callable[[int, int], int]:
    """Joins bitmaps to those over mark sets from `shift` on. What was one object stays one, and itself without news."""
    seen: dict[tuple[int, int], int] = {}

    def join(held: int, new: int) -> int:
        found = seen.get((id(held), new))
        if found is None:
            found = seen[id(held), new] = held | new << shift if new else held
        return found

    return join


@dataclass(frozen=True, slots=True)
class Explainer:
    """Says which rule refuses a class on a mark set: the trees first, then the ceiling."""

    answer: GrantAnswer
    agency: str
    compartments: frozenset[str]
    index: MarkSetIndex
    rules: Mapping[str, RuleText]

    def __call__(self, name: str, number: int, full: bool) -> tuple[str, str]:
        """(rule, reason); `name` is a class, `ROWS` or `POINTERS`. `full`: why not in full, else why not at all."""
        mark_set = self.index.mark_set(number)
        rule = None if mark_set is None else self._rule(name, mark_set, full=full)
        rule = rule or "not_granted"
        return rule, self.rules[rule].reason

    def _rule(self, name: str, mark_set: MarkSet, *, full: bool) -> str | None:
        if name == POINTERS:
            return first_failing(self.answer.pointers, mark_set)
        trees = self.answer.classes.get(name)
        refused = first_failing(self.answer.rows, mark_set)
        if refused is None and trees is not None:
            refused = first_failing(_wanted(trees, full=full), mark_set)
        return refused or refusing_rule(mark_set, name, self.agency, self.compartments, full=full)


def _joined(held: ClassGrant, new: ClassGrant, join: Callable[[int, int], int]) -> ClassGrant:
    return ClassGrant(join(held.full, new.full), join(held.part, new.part), join(held.pseudonym, new.pseudonym))


def _wanted(trees: ClassTrees, *, full: bool) -> Tree:
    """The tree that was to hold: what is withheld is refused by what refuses the least form that its class has."""
    if full:
        return trees.full
    return next((tree for tree in (trees.pseudonym, trees.part) if tree != NOTHING), trees.full)
