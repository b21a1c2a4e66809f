"""Two evaluations of one question compared, over the present records: who would get which class in which other form.

Guarantees: a record is counted for each difference once, however many of its portions show it; a record without one is
not looked at: the bitmaps say first where a difference can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from broker.decide.evaluation import Evaluation
from broker.decide.question import Situation
from broker.domain.exchange import PolicyReference
from broker.domain.grant import FULL as GRANTED
from broker.domain.grant import PART, Grant
from broker.domain.grant import PSEUDONYM as NAMED
from broker.domain.simulated import COARSER, FULL, NONE, POINTER, PSEUDONYM, SILENT, RecordKind, Shift

MOST_SHIFTS = 500
MOST_IDS = 20
_FORM = {GRANTED: FULL, PART: COARSER, NAMED: PSEUDONYM}
_NO_POLICY = PolicyReference("", "", 0, "", "")
ENVELOPE = "ENVELOPE"

# agency, purpose, class (empty: the record), form now, form then.
_Key = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _Found:
    """Records (by kind) that one difference holds for, and whose it is."""

    kinds: set[int] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    on_record: bool = False


class Comparison:
    """Collects the differences of all questions."""

    def __init__(self, kinds: Sequence[RecordKind]) -> None:
        self._kinds = kinds
        self._having: dict[int, list[int]] = {}
        for place, kind in enumerate(kinds):
            for number in {kind.mark_set, *kind.portions}:
                self._having.setdefault(number, []).append(place)
        self._found: dict[_Key, _Found] = {}

    def add(self, situation: Situation, now: Evaluation, then: Evaluation, *, supposed: bool) -> None:
        """One question's two answers."""
        classes = {name: _differing(now, then, name) for name in (now.classes or {}) if name != ENVELOPE}
        records = (now.rows ^ then.rows) | (now.pointers ^ then.pointers) | (now.silent ^ then.silent)
        changed = records
        for bits in classes.values():
            changed |= bits
        affected = {place for number in _bits(changed) for place in self._having.get(number, ())}
        if not affected:
            return
        before, after = _grant(now), _grant(then)
        head = (situation.facts.agency.name, situation.purpose)
        for place in affected:
            for key in _differences(self._kinds[place], before, after, classes):
                found = self._found.setdefault((*head, *key), _Found())
                found.kinds.add(place)
                found.roles |= situation.roles
                found.on_record |= not supposed

    def shifts(self) -> tuple[Shift, ...]:
        """The differences, those of the most records first; the farthest reaching of them, where there are too many."""
        made = [self._shift(key, found) for key, found in self._found.items()]
        made.sort(key=lambda one: (-one.records, one.agency, one.purpose, one.field_class, one.now, one.then))
        return tuple(made[:MOST_SHIFTS])

    @property
    def cut(self) -> bool:
        """Whether `shifts` leaves some out."""
        return len(self._found) > MOST_SHIFTS

    def _shift(self, key: _Key, found: _Found) -> Shift:
        kinds = [self._kinds[place] for place in sorted(found.kinds)]
        ids = sorted(name for kind in kinds for name in kind.record_ids)[:MOST_IDS]
        count = sum(kind.count for kind in kinds)
        return Shift(*key, count, tuple(ids), tuple(sorted(found.roles)), not found.on_record)


def _differences(kind: RecordKind, now: Grant, then: Grant, classes: dict[str, int]) -> Iterator[tuple[str, str, str]]:
    """(class, form now, form then) of a record; the class is empty for the record itself."""
    record = _record_form(now, kind.mark_set), _record_form(then, kind.mark_set)
    if record[0] != record[1]:
        yield "", *record
    pairs = {kind.mark_set, *kind.portions}
    seen: set[tuple[str, str, str]] = set()
    for portion in pairs:
        before, after = (dict(grant.view(portion, kind.mark_set).levels) for grant in (now, then))
        for name in classes:
            forms = _FORM.get(before.get(name, ""), NONE), _FORM.get(after.get(name, ""), NONE)
            if forms[0] != forms[1]:
                seen.add((name, *forms))
    yield from sorted(seen)


def _record_form(grant: Grant, number: int) -> str:
    for bits, form in ((grant.rows, FULL), (grant.pointers, POINTER), (grant.silent, SILENT)):
        if bits >> number & 1:
            return form
    return NONE


def _differing(now: Evaluation, then: Evaluation, name: str) -> int:
    one, other = (now.classes or {})[name], (then.classes or {})[name]
    return (one.full ^ other.full) | (one.part ^ other.part) | (one.pseudonym ^ other.pseudonym)


def _bits(bitmap: int) -> Iterator[int]:
    for number, bit in enumerate(format(bitmap, "b")[::-1]):
        if bit == "1":
            yield number


def _grant(one: Evaluation) -> Grant:
    """The evaluation as what a read would hold, so that it is read as one."""
    return Grant(
        rows=one.rows,
        pointers=one.pointers,
        silent=one.silent,
        classes=one.classes or {},
        answer_classes=frozenset(),
        watermark=max(one.watermark, 0),
        data_revision=0,
        valid_until_us=0,
        policy=_NO_POLICY,
        policy_input=b"",
        explain=lambda *_: ("", ""),
    )
