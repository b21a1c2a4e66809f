"""The hard ceiling: what holds whatever an engine answers.

MUSTs, on every grant, in code that shares nothing with policies and condition trees:
1. A portion with a list of recipients is visible to its originator and to those on the list; an empty list is nobody.
2. A portion in compartments is visible to members of all of them, whoever they are.
3. A portion that could identify a source is visible to its originator alone; so are the classes of `OWNER_CLASSES`.
4. That a record exists is told beside its rows only where its originator asked for pointers, and within 2: by `reach`
   to those alone whom 1 and 3 let have the portion itself, by `fallback` to others too. That it was looked for is told
   to its originator alone, and only where it asked for that.
5. How far a portion reaches is its originator's to say: with `reach` POINTER, SILENT or NONE it is nobody else's; with
   REDACTED nobody else gets a class in full that is not of `OPEN_CLASSES`.

An engine that answers "allow all" releases nothing beyond this.
"""

from __future__ import annotations

from broker.decide.marksets import Bitmaps
from broker.decide.vocabulary import FIELD_CLASSES
from broker.domain.marks import MarkSet

OWNER_CLASSES = frozenset({"SOURCE", "INTERNAL", "REFERENCE"})
OPEN_CLASSES = frozenset({"HEADER", "MARKING", "SUMMARY", "TEAR_LINE", "GRADING"})
SOURCE_PROTECTED = "SOURCE_PROTECTED"
FAR, REDACTED = "UNSPECIFIED", "REDACTED"


class Ceiling:
    """The ceiling of one agency with its compartments, over some mark sets."""

    def __init__(self, bitmaps: Bitmaps, agency: str, compartments: frozenset[str]) -> None:
        self.own = bitmaps.having("originator", agency)
        recipients = bitmaps.without("releasable_to") | bitmaps.having("releasable_to", agency)
        member = bitmaps.within("compartments", compartments)
        protected = bitmaps.having("sanitisation", SOURCE_PROTECTED)
        theirs = recipients & ~protected
        self._far = bitmaps.having("reach", FAR)
        reaches = self._far | bitmaps.having("reach", REDACTED)
        self.rows = (self.own | (theirs & reaches)) & member
        pointed, hushed = bitmaps.having("reach", "POINTER"), bitmaps.having("reach", "SILENT")
        self.pointers = (bitmaps.having("fallback", "POINTER") & (reaches | pointed) | (theirs & pointed)) & member
        self.silent = bitmaps.having("fallback", "SILENT") & (reaches | pointed) | hushed

    def of_class(self, name: str) -> int:
        """The mark sets on which a class may be released at all."""
        return self.rows & self.own if name in OWNER_CLASSES else self.rows

    def in_full(self, name: str) -> int:
        """The mark sets on which a class may be released in full."""
        return self.rows if name in OPEN_CLASSES else self.rows & (self.own | self._far)


def refusing_rule(
    mark_set: MarkSet, field_class: str, agency: str, compartments: frozenset[str], *, full: bool
) -> str | None:
    """The rule of the ceiling that refuses this agency a class on this mark set (`full`: in full), or None."""
    if not mark_set.compartments <= compartments:
        return "ceiling_compartment"
    if mark_set.originator == agency:
        return None
    if mark_set.releasable_to is not None and agency not in mark_set.releasable_to:
        return "ceiling_recipient"
    if mark_set.sanitisation == SOURCE_PROTECTED or field_class in OWNER_CLASSES:
        return "ceiling_source"
    if mark_set.reach not in ("", REDACTED):
        return "ceiling_reach"
    if mark_set.reach == REDACTED and full and field_class in FIELD_CLASSES and field_class not in OPEN_CLASSES:
        return "ceiling_reach"
    return None
