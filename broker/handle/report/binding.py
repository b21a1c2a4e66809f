"""How restrictions bind: a record's its portions, and the present ones the past.

Guarantees: what comes out is in no mark looser than what went in; binding twice changes nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from broker.domain.marks import CLASSIFICATIONS, REACH_ORDER, TLP_ORDER, MarkSet, looser_than
from broker.handle.report.rules import portion_marks
from broker.handle.report.translate import Portion, marks_message

# From what stays with the originator to what is cleared for wider release.
_SANITISATION_ORDER = ("SOURCE_PROTECTED", "", "SANITISED", "TEAR_LINE")


def bound(by: MarkSet, marks: MarkSet) -> MarkSet:
    """`marks`, in no field looser than `by`; what speaks of one portion alone (sanitisation, fallback) stays."""
    return replace(
        marks,
        classification=max(by.classification, marks.classification, key=CLASSIFICATIONS.index),
        markings=by.markings | marks.markings,
        handling_code="C" if "C" in (by.handling_code, marks.handling_code) else marks.handling_code,
        handling_conditions=by.handling_conditions | marks.handling_conditions,
        europol_handling=by.europol_handling | marks.europol_handling,
        tlp=max(by.tlp, marks.tlp, key=TLP_ORDER.index),
        compartments=by.compartments | marks.compartments,
        releasable_to=_recipients(by.releasable_to, marks.releasable_to),
        reach=max(by.reach, marks.reach, key=REACH_ORDER.index),
    )


def tightened(past: MarkSet, present: MarkSet) -> MarkSet:
    """The marks of an earlier version of something, bound by those that it has now."""
    sanitisation = min(past.sanitisation, present.sanitisation, key=_SANITISATION_ORDER.index)
    return replace(bound(present, past), sanitisation=sanitisation)


def bind_portion(record: MarkSet, portion: Portion, unseen: MarkSet | None = None) -> MarkSet:
    """The mark set of a portion that stays while its record changes; the portion's own marks follow, in place.

    `unseen`: the marks that it had, where its writer cannot see it: a record that is loosened does not loosen it.
    """
    inherited = portion_marks(record, portion)
    own = inherited if unseen is None else bound(unseen, inherited)
    if looser_than(record, own):
        own = bound(record, own)
    if own != inherited:
        portion.marks.CopyFrom(marks_message(own))
    return own


def past_marks(
    marks: Mapping[int, MarkSet], record: int, keyed: Mapping[str, int], now: tuple[MarkSet, Mapping[str, MarkSet]]
) -> tuple[MarkSet, tuple[MarkSet, ...]]:
    """Mark sets of an earlier version, bound by the present ones.

    Args:
        marks: the mark sets by id.
        record: the version's own id.
        keyed: its portions' ids by their keys, in order.
        now: the record's marks and its portions' by key, as they are from now on.
    """
    of_record, of_portions = now
    portions = (
        tightened(marks[number], of_portions[key]) if key in of_portions else marks[number]
        for key, number in keyed.items()
    )
    return tightened(marks[record], of_record), tuple(portions)


def _recipients(by: frozenset[str] | None, own: frozenset[str] | None) -> frozenset[str] | None:
    if by is None or own is None:
        return own if by is None else by
    return by & own
