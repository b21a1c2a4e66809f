"""The hard ceiling: what holds whatever an engine answers.

MUSTs, on every grant, in code that shares nothing with policies and condition trees:
1. A portion with a list of recipients is visible to its originator and to those on the list; an empty list is nobody.
2. A portion in compartments is visible to members of all of them, whoever they are.
3. A portion that could identify a source is visible to its originator alone; so are the classes of `OWNER_CLASSES`.
4. That a record exists is told beside its rows only where its originator asked for pointers, and within 2.

An engine that answers "allow all" releases nothing beyond this.
"""

from __future__ import annotations

from broker.decide.marksets import Bitmaps
from broker.domain.marks import MarkSet

OWNER_CLASSES = frozenset({"SOURCE", "INTERNAL", "REFERENCE"})
SOURCE_PROTECTED = "SOURCE_PROTECTED"


class Ceiling:
    """The ceiling of one agency with its compartments, over some mark sets."""

    def __init__(self, bitmaps: Bitmaps, agency: str, compartments: frozenset[str]) -> None:
        self.own = bitmaps.having("originator", agency)
        recipients = bitmaps.without("releasable_to") | bitmaps.having("releasable_to", agency)
        member = bitmaps.within("compartments", compartments)
        protected = bitmaps.having("sanitisation", SOURCE_PROTECTED)
        self.rows = (self.own | (recipients & ~protected)) & member
        self.pointers = bitmaps.having("fallback", "POINTER") & member

    def of_class(self, name: str) -> int:
        """The mark sets on which a class may be released at all."""
        return self.rows & self.own if name in OWNER_CLASSES else self.rows


def refusing_rule(mark_set: MarkSet, field_class: str, agency: str, compartments: frozenset[str]) -> str | None:
    """The rule of the ceiling that refuses this agency a class on this mark set, or None."""
    if not mark_set.compartments <= compartments:
        return "ceiling_compartment"
    if mark_set.originator == agency:
        return None
    if mark_set.releasable_to is not None and agency not in mark_set.releasable_to:
        return "ceiling_recipient"
    if mark_set.sanitisation == SOURCE_PROTECTED or field_class in OWNER_CLASSES:
        return "ceiling_source"
    return None
