"""All mark sets as bitmaps: one integer per value of each mark, bit k for mark set k.

A condition tree becomes a handful of `&` and `|` over these integers, however many mark sets there are. The index
only grows: mark sets are immutable, and new ones come with higher ids. What was evaluated up to a watermark is
extended by evaluating the same tree over the new ids alone (`MarkSetIndex.since`).

Refuses an id at or below the watermark: a mark set that changed or came late would never be evaluated.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from broker.decide.trees import (
    ABSENT,
    CONSTANT_OPS,
    SCALAR_ATTRS,
    SCALAR_OPS,
    SET_ATTRS,
    AllOf,
    Leaf,
    Tree,
    members,
    scalar,
)
from broker.domain.marks import MarkSet

NumberedMarkSet = tuple[int, MarkSet]
_Table = dict[Any, int]


class Bitmaps:
    """Bitmaps over the mark sets from `first` on: bit k stands for mark set first + k."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.top = first - 1
        self.everything = 0
        self._scalars: dict[str, dict[str, int]] = {attr: {} for attr in SCALAR_ATTRS}
        self._members: dict[str, dict[str, int]] = {attr: {} for attr in SET_ATTRS}
        self._absent: dict[str, int] = dict.fromkeys(SET_ATTRS, 0)

    def extend(self, mark_sets: Sequence[NumberedMarkSet]) -> None:
        """Take in mark sets with ascending ids above all earlier ones, all at once."""
        batch = _Batch(self.top + 1)
        for number, mark_set in mark_sets:
            if number <= self.top:
                raise ValueError("mark sets come with ascending ids")
            self.top = number
            for attr in SCALAR_ATTRS:
                batch.note(self._scalars[attr], scalar(mark_set, attr), number)
            for attr in SET_ATTRS:
                found = members(mark_set, attr)
                if found is None:
                    batch.note(self._absent, attr, number)
                    continue
                for member in found:
                    batch.note(self._members[attr], member, number)
            batch.everything.append(number)
        self.everything |= batch.bitmap(batch.everything, self.first)
        batch.merge(self.first)

    def evaluate(self, tree: Tree, seen: dict[Tree, int] | None = None) -> int:
        """The mark sets on which a tree holds. `seen` keeps the subtrees that several trees share."""
        cache = {} if seen is None else seen
        found = cache.get(tree)
        if found is None:
            found = cache[tree] = self._evaluate(tree, cache)
        return found

    def _evaluate(self, tree: Tree, seen: dict[Tree, int]) -> int:
        if isinstance(tree, Leaf):
            return self._leaf(tree)
        if isinstance(tree, AllOf):
            found = self.everything
            for child in tree.children:
                found &= self.evaluate(child, seen)
            return found
        found = 0
        for child in tree.children:
            found |= self.evaluate(child, seen)
        return found

    def _leaf(self, leaf: Leaf) -> int:
        if leaf.op in CONSTANT_OPS:
            return self.everything if leaf.op == "always" else 0
        if leaf.op == ABSENT:
            return self._absent[leaf.attr]
        if leaf.op == "subset":
            return self.within(leaf.attr, leaf.values)
        held = (self._scalars if leaf.op in SCALAR_OPS else self._members)[leaf.attr]
        return _union(held.get(value, 0) for value in leaf.values)

    def having(self, attr: str, value: str) -> int:
        """The mark sets whose scalar mark is this value, or whose set mark has it as a member."""
        held = self._scalars if attr in self._scalars else self._members
        return held[attr].get(value, 0)

    def within(self, attr: str, values: frozenset[str]) -> int:
        """The mark sets with a list all of whose members are among these: those with no member beside them."""
        beside = _union(bits for member, bits in self._members[attr].items() if member not in values)
        return self.everything & ~(self._absent[attr] | beside)

    def without(self, attr: str) -> int:
        """The mark sets that have no such list at all."""
        return self._absent[attr]


class MarkSetIndex:
    """Every mark set, by number and as bitmaps."""

    def __init__(self) -> None:
        self.bitmaps = Bitmaps()
        # The store numbers them without gaps, so the place is the number.
        self._mark_sets: list[MarkSet | None] = []
        self._recent: Bitmaps | None = None

    @property
    def watermark(self) -> int:
        """The highest id that was taken in; -1 before the first."""
        return self.bitmaps.top

    def extend(self, mark_sets: Sequence[NumberedMarkSet]) -> None:
        """Take in new mark sets. Raises ValueError unless their ids ascend above the watermark."""
        if mark_sets:
            self.bitmaps.extend(mark_sets)
            for number, mark_set in mark_sets:
                self._mark_sets.extend([None] * (number - len(self._mark_sets)))
                self._mark_sets.append(mark_set)
            self._recent = None

    def mark_set(self, number: int) -> MarkSet | None:
        """One mark set."""
        return self._mark_sets[number] if 0 <= number < len(self._mark_sets) else None

    def since(self, watermark: int) -> Bitmaps:
        """Bitmaps over the mark sets above a watermark; -1 gives all. The last answer is kept for the next caller."""
        if watermark < 0:
            return self.bitmaps
        if self._recent is None or self._recent.first != watermark + 1:
            new = enumerate(self._mark_sets[watermark + 1 :], watermark + 1)
            recent = Bitmaps(watermark + 1)
            recent.extend([(number, mark_set) for number, mark_set in new if mark_set is not None])
            self._recent = recent
        return self._recent


class _Batch:
    """Collects ids per value, so that a thousand new mark sets cost one integer each value and not a thousand."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._noted: dict[int, tuple[_Table, dict[Hashable, list[int]]]] = {}
        self.everything: list[int] = []

    def note(self, table: _Table, value: Hashable, number: int) -> None:
        _, values = self._noted.setdefault(id(table), (table, {}))
        values.setdefault(value, []).append(number)

    def merge(self, first: int) -> None:
        for table, values in self._noted.values():
            for value, numbers in values.items():
                table[value] = table.get(value, 0) | self.bitmap(numbers, first)

    def bitmap(self, numbers: list[int], first: int) -> int:
        if not numbers:
            return 0
        packed = bytearray((numbers[-1] - self._start) // 8 + 1)
        for number in numbers:
            offset = number - self._start
            packed[offset >> 3] |= 1 << (offset & 7)
        return int.from_bytes(packed, "little") << (self._start - first)


def _union(bitmaps: Iterable[int]) -> int:
    found = 0
    for bits in bitmaps:
        found |= bits
    return found
