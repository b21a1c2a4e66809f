"""What a simulation is made of: the change, the decisions on record, the present records; and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.domain.directory import AgencyFacts, Agreement
from broker.domain.marks import MarkSet

# How something is released, from nothing to all of it.
NONE, SILENT, POINTER, PSEUDONYM, COARSER, FULL = FORMS = ("NONE", "SILENT", "POINTER", "PSEUDONYM", "COARSER", "FULL")


class CandidateError(ValueError):
    """The proposed policies cannot be simulated; the message says why."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A change: other policies (a bundle's archive), an agreement that begins, or one (its id) that ends."""

    archive: bytes = b""
    agreement: Agreement | None = None
    withdrawn: str = ""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """Equal decisions on record: the method, whether policy allowed the call, its canonical input, how many there are.

    `bundle`: the revision that decided. `policy_input` is empty where the entry cannot be opened any more.
    """

    method: str
    bundle: str
    allowed: bool
    policy_input: bytes
    count: int


@dataclass(frozen=True, slots=True)
class RecordKind:
    """Present records with the same marks throughout: the record's mark set, its portions', how many, some ids."""

    mark_set: int
    portions: tuple[int, ...]
    count: int
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a simulation looks at, copied for it: nothing in here changes any more.

    `agencies`: the facts of every agency of the directory. `mark_sets`: those that the records have, ascending.
    `shortened`: there is more than is looked at.
    """

    recorded: tuple[RecordedDecision, ...]
    kinds: tuple[RecordKind, ...]
    mark_sets: tuple[tuple[int, MarkSet], ...]
    agencies: Mapping[str, AgencyFacts]
    shortened: bool = False


@dataclass(frozen=True, slots=True)
class Shift:
    """Readers of an agency for a purpose would get a class (empty: the records at all) in another form than now."""

    agency: str
    purpose: str
    field_class: str
    now: str
    then: str
    records: int
    record_ids: tuple[str, ...]
    roles: tuple[str, ...]
    supposed: bool


@dataclass(frozen=True, slots=True)
class CallShift:
    """Calls on record that would be answered otherwise. `rule`: that would refuse them, or refuses them now."""

    method: str
    agency: str
    purpose: str
    roles: tuple[str, ...]
    allowed_then: bool
    rule: str
    calls: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a change would do. `not_reproduced` decisions are answered otherwise now than is on record: it must be 0."""

    present: str
    candidate: str
    exchanges: int
    replayed: int
    not_reproduced: int
    not_compared: int
    supposed: int
    records: int
    shortened: bool
    shifts: tuple[Shift, ...]
    calls: tuple[CallShift, ...]
