"""Field by field: what the originator wrote, and what each party was handed of it.

MUST: a cell says `withheld` only where the broker's answer listed the field as withheld, and bears the rule that the
answer named; of a portion that was not handed over at all nothing is known, not even a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.message import Message

from entente.common.v1 import exchange_pb2, marks_pb2, record_pb2
from entente.report.v1 import report_pb2
from entente_sdk.cli.values import enum_name, is_value, shown, words
from entente_sdk.demo.checks import expect

# Keys are the broker's own random ones, and these of the header tell whose and when, not what.
_LEFT_OUT = frozenset({"key", "from_key", "to_key"})
_HEADER_SHOWN = frozenset({"marks", "external_references", "derived_from"})

Kind = Literal["value", "generalised", "withheld", "hidden", "refused"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that holds something. `path` is the schema's; `label` bears the portion's number; `key` is its key."""

    path: str
    key: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What one party has of one field. `rule` and `reason` (in words) where it was withheld or made coarser."""

    kind: Kind
    text: str = ""
    rule: str = ""
    reason: str = ""


HIDDEN = Cell("hidden")
REFUSED = Cell("refused")


class View:
    """One party's answer about one record, asked field by field."""

    def __init__(self, disclosed: report_pb2.DisclosedReport | None, *, refused: bool = False) -> None:
        self._refused = refused
        self._disclosed = disclosed
        report = disclosed.report if disclosed is not None else report_pb2.Report()
        self._leaves = {(leaf.path, leaf.key): leaf for leaf in leaves(report)}
        self._keys = {item.key for items in (report.lines, report.entities, report.links) for item in items} | {""}

    def cell(self, leaf: Leaf) -> Cell:
        """Raises DemoError for a field that is neither there nor said to be withheld."""
        if self._refused:
            return REFUSED
        if self._disclosed is None or leaf.key not in self._keys:
            return HIDDEN
        disclosure = self._disclosed.disclosure
        own = self._leaves.get((leaf.path, leaf.key))
        if own is not None:
            for coarse in disclosure.generalised:
                if coarse.path == leaf.path and _applies(coarse, leaf):
                    return Cell("generalised", own.text, coarse.rule)
            return Cell("value", own.text)
        for gone in disclosure.withheld:
            if gone.path == leaf.path and _applies(gone, leaf):
                reason = words(exchange_pb2.WithheldReason.DESCRIPTOR, gone.reason)
                return Cell("withheld", "", gone.rule, reason)
        expect(False, f"{leaf.label} is either handed over or listed as withheld")
        return HIDDEN


def _short(field: Any, value: Any) -> str:
    """As the command line shows it, or shorter where a table's cell has little room."""
    if field.message_type is marks_pb2.Marks.DESCRIPTOR:
        return marks_text(value)
    if field.message_type is record_pb2.DerivedFrom.DESCRIPTOR:
        return ", ".join(f"{one.record_id[:8]}..., version {one.version}" for one in value)
    if field.message_type is record_pb2.ExternalReference.DESCRIPTOR:
        return ", ".join(f"{one.source} {one.reference}" for one in value)
    return shown(field, value)


def marks_text(marks: marks_pb2.Marks) -> str:
    """Marks as they are stamped on paper: `SECRET C:A1 OP-LANTERN`."""
    found = []
    if marks.HasField("classification"):
        found.append(enum_name(marks_pb2.Classification.DESCRIPTOR, marks.classification).replace("_", " "))
    if marks.HasField("handling_code"):
        conditions = [enum_name(marks_pb2.HandlingCondition.DESCRIPTOR, one) for one in marks.handling_conditions]
        code = enum_name(marks_pb2.HandlingCode.DESCRIPTOR, marks.handling_code)
        found.append(code + (f":{','.join(conditions)}" if conditions else ""))
    if marks.HasField("tlp"):
        found.append(f"TLP:{enum_name(marks_pb2.Tlp.DESCRIPTOR, marks.tlp)}")
    found += [name.upper() for name in marks.compartments]
    if marks.HasField("releasable_to"):
        found.append(f"for {', '.join(marks.releasable_to.agencies)}")
    if marks.HasField("sanitisation"):
        found.append(words(marks_pb2.Sanitisation.DESCRIPTOR, marks.sanitisation))
    return " ".join(found)


def _applies(one: exchange_pb2.WithheldField | exchange_pb2.GeneralisedField, leaf: Leaf) -> bool:
    return not one.portions or leaf.key in one.portions


def leaves(report: report_pb2.Report) -> list[Leaf]:
    """Every field of a report that holds something, in the schema's order."""
    return list(_walk(report, "", "", ""))


def _walk(message: Message, path: str, label: str, key: str) -> Iterator[Leaf]:
    present: Any = message.ListFields()
    for field, value in present:
        if field.name in _LEFT_OUT or (path == "header." and field.name not in _HEADER_SHOWN):
            continue
        if field.message_type is None or is_value(field.message_type):
            yield Leaf(path + field.name, key, label + field.name, _short(field, value))
        elif field.is_repeated:
            for number, item in enumerate(value, 1):
                yield from _walk(item, f"{path}{field.name}.", f"{label}{field.name}[{number}].", item.key or key)
        else:
            yield from _walk(value, f"{path}{field.name}.", f"{label}{field.name}.", key)
