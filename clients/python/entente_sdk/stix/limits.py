"""What a report can hold, read from the protos' own rules: there is no second list.

A test submits what lies at the limits to a real broker; protovalidate there has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from entente.common.v1 import entity_pb2
from entente.report.v1 import report_pb2

# The broker reads at most 1 MiB for a request; the rest is for justification, key and mask.
MAX_REPORT_BYTES = (1 << 20) - (16 << 10)


@cache
def _rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def max_length(kind: type[Message], name: str) -> int:
    """Characters that a string field may hold."""
    return int(_rules(kind.DESCRIPTOR.fields_by_name[name]).string.max_len)


INFORMATION = max_length(report_pb2.ReportLine, "information")
PROVENANCE = max_length(report_pb2.Provenance, "text")
LINK_DESCRIPTION = max_length(entity_pb2.Link, "description")


def breaches(message: Message, path: str = "") -> Iterator[str]:
    """Each field of a message that is too long, too short or too many, in words."""
    for field, value in message.ListFields():
        here = f"{path}{field.name}"
        rules = _rules(field)
        if not field.is_repeated:
            yield from _one(field, value, here, rules.string)
            continue
        if rules.repeated.HasField("max_items") and len(value) > rules.repeated.max_items:
            yield f"{here} would have {len(value)} items; at most {rules.repeated.max_items} fit"
        for number, item in enumerate(value):
            yield from _one(field, item, f"{here}[{number}]", rules.repeated.items.string)


def _one(field: FieldDescriptor, value: Any, here: str, rules: validate_pb2.StringRules) -> Iterator[str]:
    if isinstance(value, Message):
        yield from breaches(value, f"{here}.")
    elif isinstance(value, str):
        if rules.HasField("max_len") and len(value) > rules.max_len:
            yield f"{here} has {len(value)} characters; at most {rules.max_len} fit"
        if rules.HasField("min_len") and len(value) < rules.min_len:
            yield f"{here} is empty"
