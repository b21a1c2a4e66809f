"""How large an item's answer may get, told by what its caller may see of it.

Guarantees: where a page or a batch is cut never depends on what is hidden: an item weighs what is released of it, at
most, and a fixed allowance for its disclosure. Where everything fits by its stored size, nothing is weighed: so a
weight must never exceed what the same fields take in store, or the cut would tell that more was stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from broker.domain.answer import StoredItem
from broker.domain.grant import WITHHELD, Grant
from broker.handle.report.access import ENVELOPE, field_class, is_frame, is_portion
from broker.handle.report.translate import portions
from entente.common.v1 import entity_pb2
from entente.report.v1 import report_pb2

# Paths, rules and reasons of what was withheld: it follows from schema and policy, not from the record.
DISCLOSURE_BYTES = 3_072
_WIDE = {FieldDescriptor.TYPE_DOUBLE: 8, FieldDescriptor.TYPE_FLOAT: 4}


def fitting(items: Sequence[StoredItem], grant: Grant, most_bytes: int) -> int:
    """How many of the first items fit, at least one."""
    if sum(len(item.payload) + DISCLOSURE_BYTES for item in items) <= most_bytes:
        return len(items)
    left = most_bytes
    for count, item in enumerate(items):
        left -= visible_bytes(item, grant) + DISCLOSURE_BYTES
        if left < 0:
            return max(count, 1)
    return len(items)


def visible_bytes(item: StoredItem, grant: Grant) -> int:
    """At most so many bytes of the item are released."""
    if item.as_pointer:
        return 0
    report = report_pb2.Report.FromString(item.payload)
    total = _released(report, dict(grant.view(item.mark_set, item.mark_set).levels))
    shown: set[str] = set()
    for (_, _, portion), marks in zip(portions(report), item.portion_mark_sets, strict=True):
        if not grant.sees(marks, item.mark_set):
            continue
        if isinstance(portion, entity_pb2.Entity):
            shown.add(portion.key)
        elif isinstance(portion, entity_pb2.Link) and not {portion.from_key, portion.to_key} <= shown:
            continue
        total += _framed(1, _released(portion, dict(grant.view(marks, item.mark_set).levels)))
    return total


def _released(message: Message, levels: Mapping[str, str]) -> int:
    total = 0
    for field, value in message.ListFields():
        if is_frame(field):
            if field.message_type is not None and not is_portion(field.message_type):
                total += _framed(field.number, _released(value, levels))
        elif field_class(field) == ENVELOPE or levels.get(field_class(field), WITHHELD) != WITHHELD:
            total += sum(_bytes(field, one) for one in value) if field.is_repeated else _bytes(field, value)
    return total


def _bytes(field: FieldDescriptor, value: Any) -> int:
    if isinstance(value, Message):
        return _framed(field.number, value.ByteSize())
    if isinstance(value, str):
        return _framed(field.number, len(value.encode()))
    # Of numbers in a list each takes its own bytes alone, at least one.
    return 1 if field.is_repeated else 1 + (field.number > 15) + _WIDE.get(field.type, 1)


def _framed(number: int, size: int) -> int:
    """Tag, length and content."""
    return 1 + (number > 15) + (1 if size < 128 else 2 if size < 16_384 else 3) + size
