"""How large an item's answer may get, told by what its caller may see of it.

Guarantees: where a page or a batch is cut never depends on what is hidden: an item weighs what is released of it, at
most, and a fixed allowance for its disclosure. Where everything fits by its stored size, nothing is weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from broker.domain.answer import StoredItem
from broker.domain.grant import WITHHELD, Grant
from broker.handle.report.access import ENVELOPE, field_class, is_frame, is_portion
from broker.handle.report.translate import portions
from entente.report.v1 import report_pb2

# Paths, rules and reasons of what was withheld: it follows from schema and policy, not from the record.
DISCLOSURE_BYTES = 3_072
# A field's tag and length.
_FRAME_BYTES = 6


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
    for (_, _, portion), marks in zip(portions(report), item.portion_mark_sets, strict=True):
        if grant.sees(marks, item.mark_set):
            total += _FRAME_BYTES + _released(portion, dict(grant.view(marks, item.mark_set).levels))
    return total


def _released(message: Message, levels: Mapping[str, str]) -> int:
    total = 0
    for field, value in message.ListFields():
        if is_frame(field):
            if field.message_type is not None and not is_portion(field.message_type):
                total += _FRAME_BYTES + _released(value, levels)
        elif field_class(field) == ENVELOPE or levels.get(field_class(field), WITHHELD) != WITHHELD:
            total += sum(map(_bytes, value)) if field.is_repeated else _bytes(value)
    return total


def _bytes(value: object) -> int:
    if isinstance(value, Message):
        return _FRAME_BYTES + value.ByteSize()
    return _FRAME_BYTES + (len(value.encode()) if isinstance(value, str) else 10)
