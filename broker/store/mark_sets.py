"""Mark sets: interned once, numbered from 1 without gaps, never changed and never deleted (triggers see to that)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import lru_cache
from itertools import compress
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from broker.domain.errors import LimitError
from broker.domain.marks import MarkSet
from broker.store.schema import mark_set

_AFTER = select(mark_set).where(mark_set.c.id > bindparam("after")).order_by(mark_set.c.id)
_FIND = select(mark_set.c.id).where(mark_set.c.canonical == bindparam("wanted"))
_HIGHEST = select(func.coalesce(func.max(mark_set.c.id), 0))
_ADD = insert(mark_set)
_OF_ONE = select(func.count()).where(mark_set.c.originator == bindparam("of"))
_ONE = select(mark_set.c.canonical).where(mark_set.c.id == bindparam("number"))


# Each new mark set ends every grant and lengthens every bitmap, for good. Agencies that mark by templates need few.
MOST_NEW = 64
MOST_OF_ONE_ORIGINATOR = 20_000


def intern(connection: Connection, wanted: Iterable[MarkSet]) -> dict[MarkSet, int]:
    """The ids of these mark sets; those that are new are added. Within a write's transaction only.

    Raises LimitError where one write adds too many, or its originator has too many.
    """
    found: dict[MarkSet, int] = {}
    added = 0
    for marks in wanted:
        if marks in found:
            continue
        text = _canonical(marks)
        number = connection.execute(_FIND, {"wanted": text}).scalar()
        if number is None:
            added += 1
            _check_room(connection, marks.originator, added)
            number = connection.execute(_HIGHEST).scalar_one() + 1
            connection.execute(_ADD, {"id": number, "canonical": text, "originator": marks.originator})
        found[marks] = number
    return found


def _check_room(connection: Connection, originator: str, added: int) -> None:
    if added > MOST_NEW or connection.execute(_OF_ONE, {"of": originator}).scalar_one() >= MOST_OF_ONE_ORIGINATOR:
        raise LimitError(
            "LIMIT_EXCEEDED",
            "too many combinations of marks that were not used before; mark by your agency's templates",
            detail=f"{added} new in one write",
        )


def after(connection: Connection, number: int) -> list[tuple[int, MarkSet]]:
    """(id, mark set) of those above an id, ascending; 0 for all."""
    return [(row.id, _parse(row.canonical)) for row in connection.execute(_AFTER, {"after": number})]


def by_id(connection: Connection, wanted: Iterable[int]) -> dict[int, MarkSet]:
    """The mark sets with these ids."""
    return {n: _parse(connection.execute(_ONE, {"number": n}).scalar_one()) for n in dict.fromkeys(wanted)}


@lru_cache(maxsize=64)
def flags(bitmap: int) -> bytes:
    """A bitmap as a string of bytes 0 and 1, byte k for mark set k: what `flagged` takes."""
    return format(bitmap, "b")[::-1].encode().translate(_BITS)


@lru_cache(maxsize=64)
def numbers(bitmap: int) -> str:
    """The ids in a bitmap as a JSON array: what `each` takes."""
    held = flags(bitmap)
    return json.dumps(list(compress(range(len(held)), held)))


_BITS = bytes.maketrans(b"01", b"\x00\x01")


def _canonical(marks: MarkSet) -> str:
    """One text for each distinct mark set. What is unsaid is left out, so that a later field changes no old text."""
    values: dict[str, Any] = {}
    for name in MarkSet.__dataclass_fields__:
        value = getattr(marks, name)
        if isinstance(value, frozenset):
            # An empty list of recipients means nobody; every other empty set means nothing said.
            if value or name == "releasable_to":
                values[name] = sorted(value)
        elif value:
            values[name] = value
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _parse(text: str) -> MarkSet:
    values: dict[str, Any] = json.loads(text)
    for name, value in values.items():
        values[name] = _names(tuple(value)) if isinstance(value, list) else sys.intern(value)
    return MarkSet(**values)


@lru_cache(maxsize=4096)
def _names(names: tuple[str, ...]) -> frozenset[str]:
    """One set for all mark sets that have it: a worker holds every mark set, and templates make few of their parts."""
    return frozenset(map(sys.intern, names))
