"""Evaluations by question, and the grants made of them by what their callers said: one bound for both.

MUSTs:
1. All that is kept stays within its bytes: a grant's bitmaps are its evaluation's, counted once, and both go together,
   the least recently used question first. Nothing is cleared because the cache is full.
2. Grants go, all at once, when what they rest on has moved (`drop_grants`); evaluations stay, to be extended.
3. A grant of a question that is not kept (any more) is not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Evaluated = TypeVar("Evaluated")
Granted = TypeVar("Granted")


@dataclass(slots=True)
class _Kept(Generic[Evaluated]):
    evaluation: Evaluated | None
    weight: int
    keys: set[Hashable] = field(default_factory=set)
    grants_weight: int = 0


class GrantCache(Generic[Evaluated, Granted]):
    """Questions are what policy was asked; keys what a caller said, of which several may ask the same."""

    def __init__(self, max_grants: int, max_bytes: int) -> None:
        self._max_grants = max_grants
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, _Kept[Evaluated]] = OrderedDict()
        self._grants: dict[Hashable, tuple[Granted, Hashable]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._grants)

    def grant(self, key: Hashable) -> Granted | None:
        """The grant under a key; its question becomes the most recently used."""
        found = self._grants.get(key)
        if found is None:
            return None
        self._kept.move_to_end(found[1])
        return found[0]

    def evaluation(self, question: Hashable) -> Evaluated | None:
        """What was evaluated for a question, which becomes the most recently used."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        self._kept.move_to_end(question)
        return kept.evaluation

    def keep(self, question: Hashable, evaluation: Evaluated | None, weight: int) -> None:
        """Keep an evaluation in the place of another, whose grants go; None: the grants have no bitmaps."""
        held = self._kept.get(question)
        if held is not None and held.evaluation is evaluation:
            self._kept.move_to_end(question)
            return
        self._drop(question)
        self._kept[question] = _Kept(evaluation, weight)
        self.bytes += weight
        self._fit()

    def add(self, question: Hashable, key: Hashable, grant: Granted, weight: int) -> None:
        """Keep a grant beside its question's evaluation. `weight`: its bytes beside the bitmaps."""
        kept = self._kept.get(question)
        if kept is None:
            return
        if key not in kept.keys:
            kept.keys.add(key)
            kept.grants_weight += weight
            self.bytes += weight
        self._grants[key] = grant, question
        self._fit()

    def drop_grants(self) -> None:
        """Every grant is stale."""
        self._grants.clear()
        for kept in self._kept.values():
            self.bytes -= kept.grants_weight
            kept.grants_weight = 0
            kept.keys.clear()

    def _fit(self) -> None:
        while self._kept and (self.bytes > self._max_bytes or len(self._grants) > self._max_grants):
            self._drop(next(iter(self._kept)))

    def _drop(self, question: Hashable) -> None:
        kept = self._kept.pop(question, None)
        if kept is None:
            return
        self.bytes -= kept.weight + kept.grants_weight
        for key in kept.keys:
            self._grants.pop(key, None)
