"""What became of each object of a bundle: one row each, nothing silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of an object."""

    REPORT = "report"
    SUBMITTED = "submitted"
    AMENDED = "amended"
    RETRACTED = "retracted"
    UNCHANGED = "unchanged"
    OLDER = "older than held"
    HELD_RETRACTED = "retracted before"
    ABSENT = "held, absent from the bundle"
    LINE = "mapped to a line"
    LINK = "mapped to a link"
    NOT_MAPPED = "not mapped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One object of the bundle (or one property of a type of object). Texts are the bundle's: escape before showing."""

    stix_id: str
    type: str
    name: str
    outcome: Outcome
    detail: str = ""
    record_id: str = ""


COLUMNS = ("bundle", "stix_id", "type", "name", "outcome", "detail", "record_id")


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows have each outcome, in the order of `Outcome`; what did not occur is left out."""
    found = Counter(row.outcome for row in rows)
    return {outcome.value: found[outcome] for outcome in Outcome if found[outcome]}
