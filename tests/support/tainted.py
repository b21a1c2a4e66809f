"""Reports of which every field is a canary, under every mark there is, and who may see which of them.

What a caller may see is worked out here from the grant and the options of the descriptors alone: it shares no code with
the release stage, and never asks what an answer says of itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD, Grant
from broker.domain.marks import MarkSet, inherit
from broker.handle.report.rules import BROKER_SET
from broker.handle.report.translate import mark_set
from certs.network import PARTIES
from entente.access.v1 import access_pb2
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from tests.support.canary import fill, plain

MARKER = "c0de5a"
# A canary that is a compartment: the directory gives it to some agencies.
COMPARTMENT = f"q{MARKER}0a1b2c3d4"
# Stands for a recipient that nobody is; each report and portion names another in its place.
STRANGER = "stranger.example/nobody"

_CLASS, _COARSER = access_pb2.field_class, access_pb2.generalisation
_DECIMAL = re.compile(r"[0-9]+[.][0-9]{8}")
_OPAQUE = ("google.protobuf.Timestamp", "google.protobuf.FieldMask")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A schema path that is decided by itself. `chain` are the fields on the way to it, itself last."""

    path: str
    field_class: str
    chain: tuple[FieldDescriptor, ...]

    @property
    def descriptor(self) -> FieldDescriptor:
        return self.chain[-1]


def _option(one: FieldDescriptor, extension: Any, enum: Any, prefix: str) -> str:
    return str(enum.Name(one.GetOptions().Extensions[extension])).removeprefix(prefix)


def is_whole(one: FieldDescriptor) -> bool:
    """Whether the field is released or withheld as one: a scalar or a value."""
    held = one.message_type
    return held is None or held.full_name in _OPAQUE or bool(held.GetOptions().Extensions[access_pb2.value])


def is_portion(one: FieldDescriptor) -> bool:
    held = one.message_type
    return held is not None and bool(held.GetOptions().Extensions[access_pb2.portion])


@cache
def leaves(message: Descriptor, *, within: str = "") -> tuple[Leaf, ...]:
    """The schema paths of a message, those of the portions in it too, in the order of the schema."""
    return tuple(_leaves(message, within, ()))


def _leaves(message: Descriptor, prefix: str, chain: tuple[FieldDescriptor, ...]) -> Iterator[Leaf]:
    for one in message.fields:
        if is_whole(one):
            name = _option(one, _CLASS, access_pb2.FieldClass, "FIELD_CLASS_")
            yield Leaf(prefix + one.name, name, (*chain, one))
        else:
            assert one.message_type is not None
            yield from _leaves(one.message_type, f"{prefix}{one.name}.", (*chain, one))


SCHEMA = {leaf.path: leaf for leaf in leaves(report_pb2.Report.DESCRIPTOR)}
# The frame of an answer holds nothing that anyone reported.
CLASSED = {path: leaf for path, leaf in SCHEMA.items() if leaf.field_class != "ENVELOPE"}
PORTIONS = tuple(one.name for one in report_pb2.Report.DESCRIPTOR.fields if is_portion(one))


def coarser(one: FieldDescriptor) -> str:
    """What is left of a field that is granted in part: FULL (coarse already), PART or WITHHELD."""
    held = one.message_type
    if held is not None:
        return PART if any(coarser(inner) != WITHHELD for inner in held.fields) else WITHHELD
    form = _option(one, _COARSER, access_pb2.Generalisation, "GENERALISATION_")
    return {"UNSPECIFIED": WITHHELD, "KEEP": FULL}.get(form, PART)


def level(leaf: Leaf, levels: Mapping[str, str]) -> str:
    """How a path is released where classes are released like this."""
    if leaf.field_class == "ENVELOPE":
        return FULL
    granted = levels.get(leaf.field_class, WITHHELD)
    if granted == PSEUDONYM and not leaf.descriptor.GetOptions().Extensions[access_pb2.pseudonym]:
        return WITHHELD
    return coarser(leaf.descriptor) if granted == PART else granted


@dataclass(frozen=True, slots=True)
class Canary:
    """One value in one place of one report: the portion's field and number, or ("", 0)."""

    number: int
    path: str
    place: tuple[str, int]
    forms: tuple[str | bytes, ...]


@dataclass
class Tainted:
    """One version of a report as it was sent, under which marks, and where it went."""

    name: str
    report: report_pb2.Report
    originator: str
    record_id: str = ""
    etag: str = ""
    version: int = 1
    # The marks of its latest version, where they are tighter than its own.
    bound_by: marks_pb2.Marks | None = None
    retracted: bool = False
    # An earlier version of a report that was retracted: its originator's alone.
    past_of_retracted: bool = False
    # Nothing of it is told again by a later version, and nothing of it was told by an earlier one.
    alone: bool = True
    canaries: list[Canary] = field(default_factory=list)
    _by_place: dict[tuple[str, int], list[Canary]] = field(default_factory=dict)

    @property
    def container(self) -> MarkSet:
        return mark_set(self.bound_by or self.report.header.marks, self.originator)

    def marks(self, place: tuple[str, int]) -> MarkSet:
        """The mark set of the record or of a portion, with what it inherits."""
        name, index = place
        if not name:
            return self.container
        return inherit(self.container, mark_set(getattr(self.report, name)[index].marks, self.originator))

    def places(self) -> Iterator[tuple[str, int]]:
        """The record itself, then its portions."""
        yield "", 0
        for name in PORTIONS:
            for index in range(len(getattr(self.report, name))):
                yield name, index

    @property
    def by_place(self) -> Mapping[tuple[str, int], Sequence[Canary]]:
        """The canaries of the record itself and of each portion."""
        if not self._by_place:
            for canary in self.canaries:
                self._by_place.setdefault(canary.place, []).append(canary)
        return self._by_place

    def message(self, place: tuple[str, int]) -> Message:
        name, index = place
        found: Message = getattr(self.report, name)[index] if name else self.report
        return found


@dataclass(frozen=True)
class Sight:
    """What one grant shows of reports, by the numbers that the store gave their mark sets."""

    agency: str
    grant: Grant | None
    numbers: Mapping[MarkSet, int]

    def levels(self, one: Tainted, place: tuple[str, int]) -> Mapping[str, str] | None:
        """How each class is released there; None where nothing is."""
        if self.grant is None or (one.past_of_retracted and self.agency != one.originator):
            return None
        container, portion = self.numbers[one.container], self.numbers[one.marks(place)]
        if not (self.grant.rows >> container & 1 and self.grant.rows >> portion & 1):
            return None
        if place[0] == "links":
            link = one.report.links[place[1]]
            keys = [entity.key for entity in one.report.entities]
            for end in (link.from_key, link.to_key):
                if self.levels(one, ("entities", keys.index(end))) is None:
                    return None
        return dict(self.grant.view(portion, container).levels)

    def points_at(self, one: Tainted) -> bool:
        """Whether it may be known that the originator holds it, though not what it says."""
        if self.grant is None or one.retracted:
            return False
        return bool((self.grant.pointers & ~self.grant.rows) >> self.numbers[one.container] & 1)

    def shown(self, one: Tainted) -> set[int]:
        """The numbers of the canaries that may be read."""
        found: set[int] = set()
        for place in one.places():
            levels = self.levels(one, place)
            if levels is not None:
                found |= {c.number for c in one.by_place.get(place, ()) if self._released(c.path, levels)}
        if self.points_at(one):
            found |= {c.number for c in one.canaries if c.path == "header.record_id"}
        return found

    @staticmethod
    def _released(path: str, levels: Mapping[str, str]) -> bool:
        """Keys are nobody's: the broker replaces them."""
        leaf = CLASSED.get(path)
        return leaf is not None and level(leaf, levels) == FULL


def templates() -> dict[str, marks_pb2.Marks]:
    """Marks by name: each value of each field of Marks alone, on what is otherwise open; and what only joined tells."""
    everybody = [party.agency for party in PARTIES] + [STRANGER]
    found: dict[str, marks_pb2.Marks] = {}
    for one in marks_pb2.Marks.DESCRIPTOR.fields:
        for value in one.enum_type.values[1:] if one.enum_type is not None else ():
            found[value.name] = _marks(one, value.number)
    found["COMPARTMENT"] = _marks()
    found["COMPARTMENT"].compartments.append(COMPARTMENT)
    found["NOBODY"] = _marks()
    found["NOBODY"].releasable_to.SetInParent()
    for name in ("TLP_RED", "EUROPOL_HANDLING_H2", "CLASSIFICATION_OFFICIAL"):
        found[f"{name}_NAMED"] = marks_pb2.Marks()
        found[f"{name}_NAMED"].CopyFrom(found[name])
        found[f"{name}_NAMED"].releasable_to.agencies.extend(everybody)
    found["POINTER_PROTECTED"] = marks_pb2.Marks()
    found["POINTER_PROTECTED"].CopyFrom(found["SANITISATION_SOURCE_PROTECTED"])
    found["POINTER_PROTECTED"].fallback = marks_pb2.FALLBACK_POINTER
    return found


def _marks(one: FieldDescriptor | None = None, value: int = 0) -> marks_pb2.Marks:
    """OFFICIAL and P, but for one field."""
    made = marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_OFFICIAL, handling_code=marks_pb2.HANDLING_CODE_P)
    if one is not None and one.is_repeated:
        getattr(made, one.name).append(value)
    elif one is not None:
        setattr(made, one.name, value)
    if made.handling_conditions:
        made.handling_code = marks_pb2.HANDLING_CODE_C
    elif made.handling_code == marks_pb2.HANDLING_CODE_C:
        made.handling_conditions.append(marks_pb2.HANDLING_CONDITION_S2)
    return made


def filled(seed: int, marks: marks_pb2.Marks) -> report_pb2.Report:
    """A report with a canary in every field that a submitter may set, as one that inherits these marks throughout."""
    report = fill(report_pb2.Report, seed, variant=seed, marker=MARKER).message
    assert isinstance(report, report_pb2.Report)
    for name in BROKER_SET:
        report.header.ClearField(name)  # type: ignore[arg-type]
    report.header.marks.CopyFrom(_own(marks, seed))
    for name in PORTIONS:
        for portion in getattr(report, name):
            portion.ClearField("marks")
    return report


def _own(marks: marks_pb2.Marks, seed: int) -> marks_pb2.Marks:
    """These marks, with a canary for the stranger among the recipients."""
    own = marks_pb2.Marks()
    own.CopyFrom(marks)
    if STRANGER in own.releasable_to.agencies:
        own.releasable_to.agencies.remove(STRANGER)
        token = f"{random.Random(f'stranger {seed}').getrandbits(96):024x}"
        own.releasable_to.agencies.append(f"{MARKER}{token[:8]}.example/{token[8:]}")
    return own


def mosaic(seed: int, classification: marks_pb2.Classification.ValueType) -> report_pb2.Report:
    """A report, open but for its level; for each template a line, an entity, a link so marked, and a link to that."""
    report = filled(seed, _marks())
    report.header.marks.tlp = marks_pb2.TLP_CLEAR
    report.header.marks.classification = classification
    first, second = report.entities[0].key, report.entities[1].key
    for number, marks in enumerate(templates().values(), 1):
        other = filled(seed + number, marks)
        for place, (name, portion) in enumerate(
            (
                ("lines", other.lines[number % len(other.lines)]),
                ("entities", other.entities[number % len(other.entities)]),
                ("links", other.links[0]),
            )
        ):
            portion.marks.CopyFrom(_own(marks, 10_000 * seed + 10 * number + place))
            portion.marks.classification = max(portion.marks.classification, classification)
            getattr(report, name).append(portion)
        report.links[-1].from_key, report.links[-1].to_key = first, second
        beside = report.links.add()
        beside.CopyFrom(other.links[1])
        beside.from_key, beside.to_key = second, report.entities[-1].key
    return report


def canaries(one: Tainted, first: int) -> list[Canary]:
    """The canaries of a report, numbered from `first`. Keys are among them, though the broker replaces them.

    The id and the etag that the broker gave it are unmistakable too.
    """
    ends = {f"links.{end}" for end in ("from_key", "to_key")}
    found: list[Canary] = []
    for place in one.places():
        for path, value in _values(one.message(place), f"{place[0]}." if place[0] else "", bool(place[0])):
            forms = tuple(form for form in plain(value) if len(form) >= 8) if _is_canary(value) else ()
            if forms and path not in ends:
                found.append(Canary(first + len(found), path, place, forms))
    for name in ("record_id", "etag"):
        found.append(Canary(first + len(found), f"header.{name}", ("", 0), (getattr(one, name),)))
    return found


def _is_canary(value: object) -> bool:
    """A value that is in one place alone; the compartment is in many."""
    if isinstance(value, str):
        return (MARKER in value and value != COMPARTMENT) or _DECIMAL.fullmatch(value) is not None
    return isinstance(value, float) or (isinstance(value, int) and value > 2**48)


def _values(message: Message, prefix: str, inside: bool) -> Iterator[tuple[str, object]]:
    """(schema path, value) of every scalar; of a value message under the path of the value. Portions apart."""
    for one, held in message.ListFields():
        path = prefix + one.name
        if is_portion(one) and not inside:
            continue
        for item in held if one.is_repeated else [held]:
            if one.message_type is None:
                yield path, item
            elif is_whole(one):
                yield from ((path, scalar) for _, scalar in _values(item, "", True))
            else:
                yield from _values(item, f"{path}.", inside)


def set_leaves(message: Message, prefix: str = "") -> set[str]:
    """The schema paths that are set, portions' aside."""
    found: set[str] = set()
    for one, held in message.ListFields():
        if is_portion(one):
            continue
        if is_whole(one):
            found.add(prefix + one.name)
        else:
            found |= set_leaves(held, f"{prefix}{one.name}.")
    return found


def at(message: Message, path: str) -> Any:
    """The value at a schema path within one record or portion."""
    for name in path.split("."):
        message = getattr(message, name)
    return message
