"""Decisions: what a grant says of one pair of mark sets for one record type, interned by content.

MUSTs:
1. Two pairs get the same number only if they release the same classes in the same way and refuse the others by the same
   rules for the same reasons. So a released view that is kept under its numbers fits every caller that has them.
2. A mark set above the grant's watermark is invisible: it was not evaluated.
3. A number is never used again.
4. Where no case is stated no class is released as a pseudonym, whatever the grant says.

For one event loop: it takes no lock.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD, Grant, View
from broker.release.classes import classes_within
from broker.release.errors import ReleaseError
from broker.release.records import RecordType

# Bounds; each is far above what is met, and reaching it costs a recomputation.
_MOST_GRANTS = 256
_MOST_DECISIONS = 16384
# Of one grant: a page of a hundred has a few hundred pairs of mark sets.
_MOST_VECTORS = 1024
_MOST_PAIRS = 1024

Refusal = tuple[str, str]
NO_GRANT: Refusal = ("schema.no_class", "NOT_GRANTED")
# As the policy itself says it, should it ever ask for no case.
NO_CASE: Refusal = ("case_reference", "AGREEMENT")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is released of one portion. `refusals` holds (rule, reason) for each class that is not released in full.

    `named`: a field can be released as a pseudonym, so that what is released depends on recipient and case.
    """

    number: int
    view: View
    refusals: Mapping[str, Refusal]
    named: bool


@dataclass(frozen=True, slots=True)
class Vector:
    """The decisions on a record: the container's, and each portion's (None: hidden). `number` stands for them all.

    `named`: some of what they release is a pseudonym, so that a released view is one recipient's and case's alone.
    """

    number: int
    container: Decision
    portions: tuple[Decision | None, ...]
    named: bool


@dataclass(slots=True)
class _Memo:
    """What was found out of the grants of one lineage, with or without a case, up to the watermark of each.

    It holds no grant: bitmaps go when nobody decides by them any more. And a grant that grew has lost nothing.
    """

    case_stated: bool
    decisions: dict[tuple[str, int, int], Decision | None] = field(default_factory=dict)
    vectors: dict[tuple[str, int, tuple[int, ...]], Vector] = field(default_factory=dict)


class Decisions:
    """Decisions by content, and what they are for each grant's mark sets."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._decisions: dict[object, Decision] = {}
        self._vectors: dict[object, Vector] = {}
        self._memos: dict[tuple[object, bool], _Memo] = {}

    def vector(
        self, grant: Grant, record: RecordType, container: int, portions: tuple[int, ...], *, case_stated: bool
    ) -> Vector:
        """The decisions on a record with these mark sets. Raises ReleaseError when the container is not visible."""
        if max((container, *portions)) > grant.watermark:
            # Not evaluated, hence hidden: nothing to be remembered of it, for the grant that grew will show it.
            return self._intern_vector(_Memo(case_stated), grant, record, container, portions)
        memo = self._memo(grant, case_stated)
        key = (record.message.full_name, container, portions)
        found = memo.vectors.get(key)
        if found is None:
            if len(memo.vectors) >= _MOST_VECTORS:
                memo.vectors.clear()
            found = memo.vectors[key] = self._intern_vector(memo, grant, record, container, portions)
        return found

    def _memo(self, grant: Grant, case_stated: bool) -> _Memo:
        memo = self._memos.get((grant.lineage, case_stated))
        if memo is None:
            if len(self._memos) >= _MOST_GRANTS:
                del self._memos[next(iter(self._memos))]
            memo = self._memos[grant.lineage, case_stated] = _Memo(case_stated)
        return memo

    def _intern_vector(
        self, memo: _Memo, grant: Grant, record: RecordType, container: int, portions: tuple[int, ...]
    ) -> Vector:
        held = self._decision(memo, grant, record, container, container)
        if held is None:
            raise ReleaseError(f"mark set {container} is not visible to this grant")
        decided = tuple(self._decision(memo, grant, record, portion, container) for portion in portions)
        key = (held.number, tuple(one.number if one else 0 for one in decided))
        if len(self._vectors) >= _MOST_DECISIONS:
            self._vectors.clear()
        found = self._vectors.get(key)
        if found is None:
            named = any(one.named for one in (held, *decided) if one is not None)
            found = self._vectors[key] = Vector(next(self._numbers), held, decided, named)
        return found

    def _decision(self, memo: _Memo, grant: Grant, record: RecordType, portion: int, container: int) -> Decision | None:
        key = (record.message.full_name, portion, container)
        if key not in memo.decisions:
            if len(memo.decisions) >= _MOST_PAIRS:
                memo.decisions.clear()
            memo.decisions[key] = self._decide(memo, grant, record, portion, container)
        return memo.decisions[key]

    def _decide(self, memo: _Memo, grant: Grant, record: RecordType, portion: int, container: int) -> Decision | None:
        if not visible(grant, portion, container):
            return None
        within = classes_within(record.message)
        levels = {name: level for name, level in grant.view(portion, container).levels if name in within}
        _never_looser(grant, levels, container)
        caseless = () if memo.case_stated else tuple(name for name, level in levels.items() if level == PSEUDONYM)
        levels |= dict.fromkeys(caseless, WITHHELD)
        refusals = {
            name: NO_CASE if name in caseless else _refusal(grant, name, portion, container, levels.get(name, WITHHELD))
            for name in sorted(within)
            if levels.get(name) != FULL
        }
        view = View(tuple(sorted(levels.items())))
        content = (record.message.full_name, view, tuple(refusals.items()))
        if len(self._decisions) >= _MOST_DECISIONS:
            self._decisions.clear()
        found = self._decisions.get(content)
        if found is None:
            named = {name for name, level in levels.items() if level == PSEUDONYM} & record.named_classes
            found = self._decisions[content] = Decision(next(self._numbers), view, refusals, bool(named))
        return found


def visible(grant: Grant, portion: int, container: int) -> bool:
    """Whether the pair is visible at all. Raises ReleaseError for what is no mark set."""
    if portion < 0 or container < 0:
        raise ReleaseError(f"there is no mark set {min(portion, container)}")
    return max(portion, container) <= grant.watermark and grant.sees(portion, container)


# What a portion may be released as in a container that is released so; a coarser form and a pseudonym exclude one
# another, for together they would tell more than either. Any other word releases nothing.
_WITHIN: Mapping[str, frozenset[str]] = {
    FULL: frozenset((FULL, PART, PSEUDONYM)),
    PART: frozenset((PART,)),
    PSEUDONYM: frozenset((PSEUDONYM,)),
}
_RELEASING = _WITHIN[FULL]


def _never_looser(grant: Grant, levels: Mapping[str, str], container: int) -> None:
    """A container's restriction binds its contents; a grant whose view says otherwise is a defect."""
    for name, level in grant.view(container, container).levels:
        if levels.get(name) in _RELEASING and levels[name] not in _WITHIN.get(level, ()):
            raise ReleaseError(f"class {name} is looser on a portion than on its container")


def _refusal(grant: Grant, name: str, portion: int, container: int, level: str) -> Refusal:
    if name not in grant.classes:
        return NO_GRANT
    return grant.refusal(name, portion, container, full=level in (PART, PSEUDONYM))
