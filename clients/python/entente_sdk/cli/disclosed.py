"""A report as this caller may see it, row by row: what was withheld stands in its place, with rule and reason.

MUST: a withheld field is never shown as empty, and never left out, whether or not a portion that could hold it is
there; a generalised value says that it is one, and a pseudonym how far it reaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from entente_sdk.cli.values import form_text, is_value, shown, words


@dataclass(frozen=True, slots=True)
class Row:
    """A field: `kind` is `value`, `generalised` or `withheld`. Texts are not yet escaped."""

    field: str
    text: str
    kind: str = "value"


def rows(disclosed: report_pb2.DisclosedReport) -> list[Row]:
    """Every field that is there, and every field that was withheld, in the schema's order."""
    if disclosed.HasField("pointer"):
        return _pointer(disclosed.pointer)
    walk = _Walk(disclosed.disclosure)
    walk.message(disclosed.report, "", "", "")
    walk.leftovers("")
    return walk.rows


def withheld_text(withheld: exchange_pb2.WithheldField) -> str:
    """`withheld (rule, reason)`."""
    reason = words(exchange_pb2.WithheldReason.DESCRIPTOR, withheld.reason)
    return f"withheld ({withheld.rule or 'no rule named'}, {reason})"


def field_text(disclosed: report_pb2.DisclosedReport, name: str) -> str:
    """One field of the report's first level in a few words, for a list: its value, or that it was withheld."""
    if disclosed.HasField("pointer"):
        return f"pointer: ask {disclosed.pointer.originator}"
    for withheld in disclosed.disclosure.withheld:
        if withheld.path == name:
            return withheld_text(withheld)
    return str(getattr(disclosed.report, name))


def level(disclosed: report_pb2.DisclosedReport) -> str:
    """How much was disclosed, and how many fields were withheld."""
    text = words(exchange_pb2.DisclosureLevel.DESCRIPTOR, disclosed.disclosure.level)
    count = len(disclosed.disclosure.withheld)
    return f"{text}, {count} withheld" if count else text


def _pointer(pointer: exchange_pb2.Pointer) -> list[Row]:
    found = [Row(field.name, shown(field, value)) for field, value in pointer.ListFields()]
    return [Row("pointer", "the originator holds something and chose to say so: ask them", "withheld"), *found]


class _Walk:
    def __init__(self, disclosure: exchange_pb2.Disclosure) -> None:
        self.rows: list[Row] = []
        self._withheld = list(disclosure.withheld)
        self._generalised = list(disclosure.generalised)
        self._placed: set[int] = set()

    def message(self, message: Message, path: str, label: str, key: str) -> None:
        """Rows of a message at a schema path; `key` is the portion's that it lies in."""
        fields: list[FieldDescriptor] = list(message.DESCRIPTOR.fields)  # type: ignore[arg-type]
        for field in fields:
            self._field(message, field, path + field.name, label + field.name, key)

    def leftovers(self, below: str) -> None:
        """What was withheld below a path and has not found its place: no portion that could hold it is there."""
        for at, one in enumerate(self._withheld):
            if at not in self._placed and one.path.startswith(below):
                self._placed.add(at)
                keys = f" [{', '.join(one.portions)}]" if one.portions else ""
                self.rows.append(Row(one.path + keys, withheld_text(one), "withheld"))

    def _field(self, message: Message, field: FieldDescriptor, path: str, label: str, key: str) -> None:
        value: Any = getattr(message, field.name)
        present = bool(value) if field.is_repeated else message.HasField(field.name)
        for one in self._applying(path, key):
            self.rows.append(Row(label, withheld_text(one), "withheld"))
        if field.message_type is None or is_value(field.message_type):
            # A portion's key is in every label below it.
            if present and not (key and field.name == "key"):
                self.rows.append(self._value(field, value, path, label, key))
        elif present and field.is_repeated:
            for number, item in enumerate(value):
                own = getattr(item, "key", "")
                self.message(item, f"{path}.", f"{label}[{own or number}].", own or key)
            # For example of a kind of entity that is not among the items.
            self.leftovers(f"{path}.")
        elif present:
            self.message(value, f"{path}.", f"{label}.", key)
        elif field.containing_oneof is None or len(field.containing_oneof.fields) == 1:
            self._absent(f"{path}.", f"{label}.", key)

    def _absent(self, path: str, label: str, key: str) -> None:
        """A message that is not there: what of it was withheld all the same."""
        for at, one in enumerate(self._withheld):
            if one.path.startswith(path) and _applies(one.portions, key):
                self._placed.add(at)
                self.rows.append(Row(label + one.path.removeprefix(path), withheld_text(one), "withheld"))

    def _value(self, field: FieldDescriptor, value: Any, path: str, label: str, key: str) -> Row:
        text = shown(field, value)
        for one in self._generalised:
            if one.path == path and _applies(one.portions, key):
                told = f"{_form(one.generalisation)}; {one.rule or 'no rule named'}"
                return Row(label, f"{text}  ({told})", "generalised")
        return Row(label, text)

    def _applying(self, path: str, key: str) -> Iterator[exchange_pb2.WithheldField]:
        for at, one in enumerate(self._withheld):
            if one.path == path and _applies(one.portions, key):
                self._placed.add(at)
                yield one


def _form(generalisation: access_pb2.Generalisation.ValueType) -> str:
    if generalisation == access_pb2.GENERALISATION_PSEUDONYM:
        return "pseudonym, the same for you throughout this case"
    return f"generalised: {form_text(generalisation)}"


def _applies(portions: Any, key: str) -> bool:
    return not portions or key in portions
