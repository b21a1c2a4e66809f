"""Search over latest versions: conditions hold only on what the caller may see in full.

Guarantees, each a MUST of rule 7 (hidden equals absent):
1. a record is found only where its own mark set is in the grant's rows;
2. a condition on a field matches only through index rows whose class is released in full, and which are visible, on
   both the portion's and the container's mark set; every word of a text must be matched so;
3. conditions on the head (originator, times, references) need the head's class in full on the record;
4. pages are ordered by `seq`, newest first, and cut by what is visible alone; which way the rows are read is chosen by
   visible counts alone.
Does not rank by relevance: an order by hidden text would tell of it. What is told beside the rows, pointers above all,
is `store.beside`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Table,
    Text,
    and_,
    bindparam,
    exists,
    literal,
    or_,
    select,
    true,
)

from broker.domain.grant import Grant
from broker.store.counts import VisibleCounts
from broker.store.engine import each, flagged
from broker.store.fresh import require_fresh
from broker.store.mark_sets import flags, numbers
from broker.store.prepared import Driver, Prepared
from broker.store.records import LARGEST, VERSIONS, StoredVersion, stored
from broker.store.schema import external_reference, record, value_index, version, word_index

HEAD = "HEADER"
REFERENCE = "REFERENCE"


@dataclass(frozen=True, slots=True)
class ValueCondition:
    """A record has this normalised value, in a field of this class."""

    kind: str
    value: str
    field_class: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """All must hold. Times in epoch us, within 64 bits: [after_us, before_us). `words` are found in fields of
    `word_classes`.

    `reference` is (originator, source, reference): the caller's own agency's. `pointable`: it asks for one exact value
    of an entity and says nothing else of the record but, at most, whose it is: pointers may answer it.
    """

    record_type: str
    values: tuple[ValueCondition, ...] = ()
    words: tuple[str, ...] = ()
    word_classes: tuple[str, ...] = ()
    originator: str | None = None
    after_us: int | None = None
    before_us: int | None = None
    reference: tuple[str, str, str] | None = None
    include_retracted: bool = False
    pointable: bool = False


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a statement depends on, so that each is built once."""

    values: int
    words: bool
    word_classes: int
    originator: bool
    reference: bool
    include_retracted: bool
    few: bool


def search(
    driver: Driver, counts: VisibleCounts, grant: Grant, wanted: Conditions, below_seq: int | None, most: int
) -> list[StoredVersion]:
    """At most so many latest versions, newest first, below a `seq` (None: from the newest)."""
    require_fresh(driver, grant)
    visible = _visible_rows(grant, wanted)
    if not visible:
        return []
    shape = _Shape(
        values=len(wanted.values),
        words=bool(wanted.words),
        word_classes=len(wanted.word_classes),
        originator=wanted.originator is not None,
        reference=wanted.reference is not None,
        include_retracted=wanted.include_retracted,
        few=counts.few(driver, visible),
    )
    values = _parameters(grant, wanted, visible, LARGEST if below_seq is None else below_seq, most)
    if shape.few:
        values["ids"] = numbers(visible)
    seqs = _statement(shape).all(driver, values)
    rows = _BY_SEQS.all(driver, {"seqs": json.dumps([seq for (seq,) in seqs])}) if seqs else []
    return [stored(row) for row in rows]


def _visible_rows(grant: Grant, wanted: Conditions) -> int:
    """The mark sets of records that can be found at all by these conditions."""
    visible = grant.rows
    if wanted.originator is not None or wanted.after_us is not None or wanted.before_us is not None:
        visible &= _full(grant, HEAD)
    if wanted.reference is not None:
        visible &= _full(grant, REFERENCE)
    return visible


def _full(grant: Grant, field_class: str) -> int:
    held = grant.classes.get(field_class)
    return 0 if held is None else held.full & grant.rows


def _parameters(grant: Grant, wanted: Conditions, visible: int, below: int, most: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "rows": flags(visible),
        "below": below,
        "most": most,
        "record_type": wanted.record_type,
        "after": -LARGEST if wanted.after_us is None else wanted.after_us,
        "before": LARGEST if wanted.before_us is None else wanted.before_us,
        "originator": wanted.originator,
    }
    for n, condition in enumerate(wanted.values):
        values[f"kind_{n}"] = condition.kind
        values[f"value_{n}"] = condition.value
        values[f"value_class_{n}"] = condition.field_class
        values[f"value_flags_{n}"] = flags(_full(grant, condition.field_class))
    for n, field_class in enumerate(wanted.word_classes):
        values[f"word_class_{n}"] = field_class
        values[f"word_flags_{n}"] = flags(_full(grant, field_class))
    if wanted.words:
        # The longest word is likely the rarest; where no value does, it drives the scan.
        values["word"] = max(wanted.words, key=lambda word: (len(word), word))
        values["all_words"] = json.dumps(wanted.words)
    if wanted.reference is not None:
        values["holder"], values["source"], values["reference"] = wanted.reference
    return values


# The page's rows, once it is known which: versions are wide, and a scan must not read those that it passes over.
_BY_SEQS = Prepared(
    VERSIONS.where(version.c.seq.in_(select(each("seqs", Integer).c.value))).order_by(version.c.seq.desc())
)


@lru_cache(maxsize=256)
def _statement(shape: _Shape) -> Prepared:
    """The seqs of a page, newest first.

    Few visible records are listed and tested; else the first value or the word leads, where there is one; else the
    records are passed in their order.
    """
    tests = list(_value_tests(shape.values))
    if shape.few or not (tests or shape.words):
        conditions = [_holds(table, test, record) for table, test in tests]
        if shape.words:
            conditions.append(_all_words(record, shape))
        return _page(record, (*_record_tests(shape), *conditions), by_mark_set=shape.few)
    leader, matches = tests[0] if tests else (word_index, _word_tests(word_index, bindparam("word"), shape))
    others = [_holds(table, test, leader) for table, test in tests[1:]]
    if shape.words:
        others.append(_all_words(leader, shape))
    return _page(leader, (*matches, *others, _holds(record, _record_tests(shape), leader)), by_mark_set=False)


def _page(table: Table, conditions: Iterable[ColumnElement[bool]], *, by_mark_set: bool) -> Prepared:
    seq: ColumnElement[int] = table.c.seq
    found = select(seq).where(*conditions)
    if table is not record:
        found = found.distinct()
    if by_mark_set:
        # An expression hides the column's own index from the planner: the list of mark sets has to lead.
        seq = seq + literal(0)
        found = found.where(record.c.mark_set.in_(select(each("ids", Integer).c.value)))
    return Prepared(found.where(seq < bindparam("below")).order_by(seq.desc()).limit(bindparam("most")))


def _record_tests(shape: _Shape) -> Iterator[ColumnElement[bool]]:
    yield flagged(bindparam("rows", type_=LargeBinary()), record.c.mark_set)
    yield record.c.record_type == bindparam("record_type")
    yield record.c.updated_us >= bindparam("after")
    yield record.c.updated_us < bindparam("before")
    if not shape.include_retracted:
        yield record.c.active.is_(true())
    if shape.originator:
        yield record.c.originator == bindparam("originator")
    if shape.reference:
        held = select(external_reference.c.record_id).where(
            external_reference.c.originator == bindparam("holder"),
            external_reference.c.source == bindparam("source"),
            external_reference.c.reference == bindparam("reference"),
        )
        yield record.c.record_id == held.scalar_subquery()


Test = tuple[Table, list[ColumnElement[bool]]]


def _value_tests(values: int) -> Iterator[Test]:
    for n in range(values):
        table: Table = value_index if n == 0 else value_index.alias(f"value_{n}")  # type: ignore[assignment]
        yield (
            table,
            [
                table.c.kind == bindparam(f"kind_{n}"),
                table.c.value == bindparam(f"value_{n}"),
                _released(table, f"value_class_{n}", f"value_flags_{n}"),
            ],
        )


def _word_tests(table: Table, word: ColumnElement[str], shape: _Shape) -> list[ColumnElement[bool]]:
    places = [_released(table, f"word_class_{p}", f"word_flags_{p}") for p in range(shape.word_classes)]
    return [table.c.word == word, or_(*places)]


def _all_words(driver: Table, shape: _Shape) -> ColumnElement[bool]:
    """There is no word asked for that the driver's record does not hold where the caller sees it."""
    asked = each("all_words", Text)
    held: Table = word_index.alias("held")  # type: ignore[assignment]
    tests = _word_tests(held, asked.c.value, shape)
    found = select(literal(1)).select_from(held).where(held.c.seq == driver.c.seq, *tests).correlate(driver, asked)
    return ~exists(select(literal(1)).select_from(asked).where(~exists(found)).correlate(driver))


def _released(table: Table, field_class: str, full: str) -> ColumnElement[bool]:
    """The row's class is released in full on both of its mark sets."""
    marks = (table.c.portion, table.c.container)
    both = (flagged(bindparam(full, type_=LargeBinary()), number) for number in marks)
    return and_(table.c.field_class == bindparam(field_class), *both)


def _holds(table: Table, test: Iterable[ColumnElement[bool]], driver: Table) -> ColumnElement[bool]:
    found = select(literal(1)).select_from(table).where(table.c.seq == driver.c.seq, *test)
    return exists(found.correlate(driver))
