"""Hostile text: strings that break parsers, and every place of a message that takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from tests.support.shared import shared_data

# Beyond the public list: NUL, line separators, a byte-order mark, a bidirectional override, combining marks, the last
# code point, text that looks like ours.
OWN = (
    "\x00",
    "a\x00b",
    "\u2028\u2029\x85",
    "\ufeffbom",
    "\u202egnp.exe",
    "e\u0301\u0301\u0301",
    "\U0010ffff",
    '{"phase":"release","outcome":"allowed"}',
    "withheld",
    " leading and trailing ",
    "line\r\nSet-Cookie: x=y",
    "=cmd|' /C calc'!A0",
)


def hostile_strings() -> list[str]:
    """The Big List of Naughty Strings, and our own; each once."""
    public = json.loads((shared_data("naughty-strings") / "blns.json").read_text(encoding="utf-8"))
    return list(dict.fromkeys([*public, *OWN]))


@dataclass(frozen=True, slots=True)
class Place:
    """A string field by its schema path, and how long a string it takes."""

    path: str
    field: FieldDescriptor
    longest: int
    shortest: int

    def takes(self, text: str) -> bool:
        """Lengths are in code points, as the protos count."""
        return self.shortest <= len(text) <= self.longest


def rules_of(field: FieldDescriptor) -> Any:
    """The string rules of a field, or of its items."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return rules.repeated.items.string if field.is_repeated else rules.string


def places(message: Descriptor, skip: frozenset[str], prefix: str = "") -> Iterator[Place]:
    """Every string field that takes free text, at any depth. A pattern or a format makes it no free text."""
    for field in message.fields:
        path = f"{prefix}{field.name}"
        if path in skip:
            continue
        if field.message_type is not None and not field.message_type.file.package.startswith("google"):
            yield from places(field.message_type, skip, f"{path}.")
        elif field.type == FieldDescriptor.TYPE_STRING:
            rules = rules_of(field)
            if not rules.pattern and not rules.WhichOneof("well_known"):
                yield Place(path, field, rules.max_len or 10_000, rules.min_len)


def put(message: Message, path: str, text: str) -> None:
    """Set the string at a path, in each of the messages that are there; of lists, appended."""
    head, _, rest = path.partition(".")
    field = message.DESCRIPTOR.fields_by_name[head]
    value = getattr(message, head)
    if rest:
        if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1 and not message.HasField(head):
            return
        for child in value if field.is_repeated else (value,):
            put(child, rest, text)
    elif field.is_repeated:
        value.append(text)
    else:
        setattr(message, head, text)


def texts(message: Message, path: str) -> list[str]:
    """The strings at a path, absent ones left out."""
    head, _, rest = path.partition(".")
    field = message.DESCRIPTOR.fields_by_name[head]
    if not field.is_repeated and not message.HasField(head):
        return []
    value = getattr(message, head)
    if rest:
        return [text for child in (value if field.is_repeated else (value,)) for text in texts(child, rest)]
    return list(value) if field.is_repeated else [value]
