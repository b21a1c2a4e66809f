"""Mark sets: the distinct combinations of restrictions that portions carry, and their order.

A portion without a mark inherits its container's; a portion is never looser than its container.
Names are those of `entente.common.v1.Marks` without enum prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CLASSIFICATIONS = ("OFFICIAL", "SECRET", "TOP_SECRET")
TLP_ORDER = ("", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED")
REACH_ORDER = ("", "REDACTED", "POINTER", "SILENT", "NONE")


@dataclass(frozen=True, slots=True)
class MarkSet:
    """One combination, interned by the store as an immutable row with a small integer id.

    `releasable_to` None: no such list; empty: nobody but the originator.
    """

    record_type: str
    originator: str
    classification: str = ""
    markings: frozenset[str] = frozenset()
    handling_code: str = ""
    handling_conditions: frozenset[str] = frozenset()
    europol_handling: frozenset[str] = frozenset()
    tlp: str = ""
    compartments: frozenset[str] = frozenset()
    releasable_to: frozenset[str] | None = None
    sanitisation: str = ""
    fallback: str = ""
    reach: str = ""


def inherit(container: MarkSet, portion: MarkSet) -> MarkSet:
    """The portion's marks, with what it leaves unsaid taken from its container.

    `sanitisation` and `fallback` say something of one portion alone and are not inherited.
    """
    said_code = portion.handling_code != ""
    return replace(
        portion,
        classification=portion.classification or container.classification,
        markings=portion.markings | container.markings,
        handling_code=portion.handling_code or container.handling_code,
        handling_conditions=portion.handling_conditions if said_code else container.handling_conditions,
        europol_handling=portion.europol_handling or container.europol_handling,
        tlp=portion.tlp or container.tlp,
        compartments=portion.compartments or container.compartments,
        releasable_to=container.releasable_to if portion.releasable_to is None else portion.releasable_to,
        reach=portion.reach or container.reach,
    )


def looser_than(container: MarkSet, portion: MarkSet) -> tuple[str, ...]:
    """Fields of Marks in which a portion (after `inherit`) is looser than its container; empty when it is not."""
    found: list[str] = []
    if CLASSIFICATIONS.index(portion.classification) < CLASSIFICATIONS.index(container.classification):
        found.append("classification")
    if container.handling_code == "C" and portion.handling_code != "C":
        found.append("handling_code")
    elif not container.handling_conditions <= portion.handling_conditions:
        found.append("handling_conditions")
    if not container.europol_handling <= portion.europol_handling:
        found.append("europol_handling")
    if TLP_ORDER.index(portion.tlp) < TLP_ORDER.index(container.tlp):
        found.append("tlp")
    if not container.compartments <= portion.compartments:
        found.append("compartments")
    if container.releasable_to is not None and not (portion.releasable_to or frozenset()) <= container.releasable_to:
        found.append("releasable_to")
    if REACH_ORDER.index(portion.reach) < REACH_ORDER.index(container.reach):
        found.append("reach")
    return tuple(found)


def points(marks: MarkSet) -> bool:
    """Whether the originator lets others be told that it holds something."""
    return "POINTER" in (marks.fallback, marks.reach)


def listens(marks: MarkSet) -> bool:
    """Whether the originator wants to be told who looked, and the others nothing."""
    return "SILENT" in (marks.fallback, marks.reach)


def adds_nothing(container: MarkSet, portion: MarkSet) -> bool:
    """Whether a portion (after `inherit`) asks for nothing that its container does not ask for already."""
    if portion.fallback not in ("", container.fallback):
        return False
    if portion.sanitisation == "SOURCE_PROTECTED" != container.sanitisation:
        return False
    return replace(portion, fallback=container.fallback, sanitisation=container.sanitisation) == container
