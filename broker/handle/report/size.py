"""How large an item's answer may get, told by what its caller may see of it.

Guarantees: where a page or a batch is cut never depends on what is hidden: an item weighs what is released of it, at
most, and a fixed allowance for its disclosure. A coarser form or a pseudonym weighs the same whatever it stands for.
Where everything fits by its stored size, nothing is weighed: so a weight must never exceed what the same fields take in
store (times `GROWTH`, where something is released in another form), or the cut would tell that more was stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from broker.domain.answer import StoredItem
from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD, Grant
from broker.handle.report.access import ENVELOPE, coarser_form, field_class, has_pseudonym, is_frame, is_portion
from broker.handle.report.translate import portions
from entente.common.v1 import entity_pb2
from entente.report.v1 import report_pb2

# Paths, rules and reasons of what was withheld: it follows from schema and policy, not from the record.
DISCLOSURE_BYTES = 3_072
# Of a pseudonym or a coarser form in text, the longest; and how many times what it stands for: an empty text, at worst.
FORM_BYTES = 28
GROWTH = 15
KEEP = "KEEP"
_WIDE = {FieldDescriptor.TYPE_DOUBLE: 8, FieldDescriptor.TYPE_FLOAT: 4}


def fitting(items: Sequence[StoredItem], grant: Grant, most_bytes: int) -> int:
    """How many of the first items fit, at least one."""
    growth = GROWTH if any(one.part or one.pseudonym for one in grant.classes.values()) else 1
    if sum(len(item.payload) * growth + DISCLOSURE_BYTES for item in items) <= most_bytes:
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
        else:
            level = FULL if field_class(field) == ENVELOPE else levels.get(field_class(field), WITHHELD)
            total += sum(_at(field, one, level) for one in (value if field.is_repeated else (value,)))
    return total


def _at(field: FieldDescriptor, value: Any, level: str) -> int:
    if level == FULL:
        return _bytes(field, value)
    if level == PART:
        return _coarse(field, value)
    return _framed(field.number, FORM_BYTES) if level == PSEUDONYM and has_pseudonym(field) else 0


def _coarse(field: FieldDescriptor, value: Any) -> int:
    if isinstance(value, Message):
        inner = sum(_coarse(one, held) for one, held in value.ListFields())
        return _framed(field.number, inner) if inner else 0
    form = coarser_form(field)
    if not form:
        return 0
    return _bytes(field, value) if form == KEEP or not isinstance(value, str) else _framed(field.number, FORM_BYTES)


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
