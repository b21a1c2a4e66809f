"""What one reader got of one report, held against the reference: each field of each portion, shown or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from entente.report.v1 import report_pb2
from tests.proof.town import Kept
from tests.reference import decision, schema
from tests.reference.decision import COARSER, FULL, PSEUDONYM, WITHHELD
from tests.reference.facts import Reader
from tests.support.tainted import PORTIONS

HIDDEN = "hidden"
# What the broker writes over, so that the value that was sent says nothing: its own fields, and keys.
REWRITTEN = frozenset(
    f"header.{name}"
    for name in (
        *("record_id", "home_broker", "originator", "version", "etag", "exchange_id"),
        *("create_time", "update_time", "state"),
    )
)
REKEYED = {"links.from_key", "links.to_key", *(f"{name}.key" for name in PORTIONS)}

Place = tuple[str, int]


@dataclass
class Tally:
    """How many (reader, record, field) were compared, by what becomes of them, and what was found to differ."""

    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def triples(self) -> int:
        return sum(self.counts.values())

    def add(self, how: str, many: int = 1) -> None:
        self.counts[how] = self.counts.get(how, 0) + many


def sight(reader: Reader, kept: Kept) -> str:
    """What the reader may see of a record at all: FULL (something of it), "pointer" or HIDDEN."""
    if not decision.may_call(reader, "REPORT_READ"):
        return HIDDEN
    if decision.sees(reader, kept.container):
        return FULL
    return "pointer" if decision.pointed_at(reader, kept.container) else HIDDEN


def shown(reader: Reader, kept: Kept, place: Place) -> bool:
    """Whether a portion is released; a link is only where both of its ends are."""
    if not decision.visible(reader, kept.marks(place), kept.container):
        return False
    if place[0] != "links":
        return True
    link = kept.report.links[place[1]]
    at = {entity.key: index for index, entity in enumerate(kept.report.entities)}
    return all(shown(reader, kept, ("entities", at[end])) for end in (link.from_key, link.to_key))


def judge(tally: Tally, reader: Reader, kept: Kept, got: report_pb2.DisclosedReport | None) -> None:
    """Compare an answer with what the reference says, field by field."""
    due = sight(reader, kept)
    came = HIDDEN if got is None else "pointer" if got.HasField("pointer") else FULL
    if due != came:
        tally.faults.append(f"{kept.record_id}: {came}, and is {due} ({reader}, {kept.container})")
        return
    if got is None or due != FULL:
        tally.add(due, sum(1 for place in kept.places() for _ in _fields(place)))
        if got is not None:
            named = {one.name for one, _ in got.pointer.ListFields()} - {"record_id", "originator", "tlp", "contact"}
            tally.faults += [f"{kept.record_id}: its pointer holds {name}" for name in named]
        return
    came_there = dict(_came(tally, reader, kept, got))
    for place in kept.places():
        if place in came_there:
            _judge_portion(tally, reader, kept, place, came_there[place], got)
        else:
            tally.add(HIDDEN, sum(1 for _ in _fields(place)))


def _came(tally: Tally, reader: Reader, kept: Kept, got: report_pb2.DisclosedReport) -> Iterator[tuple[Place, Message]]:
    yield ("", 0), got.report
    for name in PORTIONS:
        due = [place for place in kept.portions if place[0] == name and shown(reader, kept, place)]
        came = getattr(got.report, name)
        if len(due) != len(came):
            tally.faults.append(f"{kept.record_id}: {len(came)} {name} came, and {len(due)} are due ({reader})")
        else:
            yield from zip(due, came, strict=True)


def _judge_portion(
    tally: Tally, reader: Reader, kept: Kept, place: Place, came: Message, got: report_pb2.DisclosedReport
) -> None:
    sent, said = kept.message(place), _said(got, getattr(came, "key", ""))
    forms = {name: decision.form(reader, kept.marks(place), kept.container, name) for name in _CLASSES}
    rules = {name: _rules(reader, kept, place, name) for name in _CLASSES}
    for one in _fields(place):
        how = one.becomes(forms.get(one.field_class, WITHHELD))
        tally.add(how)
        told, by = said.get(one.path, (FULL, ""))
        where = f"{kept.record_id} {place} {one.path} ({reader}, {kept.marks(place)})"
        if told != how:
            tally.faults.append(f"{where}: disclosed as {told}, and is {how}")
        elif how != FULL and rules[one.field_class] and by not in rules[one.field_class]:
            tally.faults.append(f"{where}: {how} by {by}, and is by {sorted(rules[one.field_class])}")
        path = one.path.removeprefix(f"{place[0]}.") if place[0] else one.path
        tally.faults += [
            f"{where}: {fault}" for fault in _value_faults(one.path, how, _at(sent, path), _at(came, path))
        ]


def _rules(reader: Reader, kept: Kept, place: Place, name: str) -> frozenset[str]:
    """The rules that may be named: the portion's, or the record's, which speaks for all portions that end alike. None
    to compare where a coarser form and a pseudonym exclude one another, which is nobody's refusal."""
    own = decision.rule(reader, kept.marks(place), kept.container, name)
    return frozenset({own, decision.rule(reader, kept.container, kept.container, name)} - {""} if own else ())


def _value_faults(path: str, how: str, sent: Any, came: Any) -> Iterator[str]:
    had, has = sent is not None or path in REWRITTEN, came is not None
    if has != (had and how != WITHHELD):
        yield f"{'came' if has else 'did not come'}, and is {how}"
    elif has and path not in REWRITTEN | REKEYED and (came == sent) != (how == FULL):
        yield f"came {'as it was sent' if came == sent else 'changed'}, and is {how}"


def _said(got: report_pb2.DisclosedReport, key: str) -> dict[str, tuple[str, str]]:
    """What the disclosure says of each path, and by which rule: in general, and then of this portion."""
    found: dict[str, tuple[str, str]] = {}
    for ours in (False, True):
        for one in got.disclosure.withheld:
            if (key in one.portions) if ours else not one.portions:
                found[one.path] = WITHHELD, one.rule
        for other in got.disclosure.generalised:
            if (key in other.portions) if ours else not other.portions:
                how = PSEUDONYM if other.generalisation == _PSEUDONYM else COARSER
                found[other.path] = how, other.rule
    return found


_PSEUDONYM = schema.access_pb2.GENERALISATION_PSEUDONYM
_CLASSES = frozenset(one.field_class for one in schema.fields()) - {"ENVELOPE"}
_BY_PORTION = {name: tuple(one for one in schema.fields() if one.portion == name) for name in ("", *PORTIONS)}


def _fields(place: Place) -> tuple[schema.Field, ...]:
    return _BY_PORTION[place[0]]


def _at(message: Any, path: str) -> Any:
    """The value at a path, or None where it is not set."""
    *way, last = path.split(".")
    for name in way:
        if not message.HasField(name):
            return None
        message = getattr(message, name)
    held = getattr(message, last)
    if message.DESCRIPTOR.fields_by_name[last].is_repeated:
        return list(held) or None
    return held if message.HasField(last) else None
