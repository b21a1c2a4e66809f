"""One value as a person reads it: enum names without their prefix, dates as far as they are known, grades in short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from entente.access.v1 import access_pb2
from entente.common.v1 import amount_pb2, date_pb2, grading_pb2
from entente_sdk.reports import enum_prefix

_ASSESSMENTS = "?ABCDE"


def is_value(kind: Descriptor) -> bool:
    """A message that is one value (marked so in the protos), or a timestamp."""
    return kind.GetOptions().Extensions[access_pb2.value] or kind is Timestamp.DESCRIPTOR


def enum_name(enum: EnumDescriptor, number: int) -> str:
    """`SECRET` of CLASSIFICATION_SECRET; the number of a value that this SDK does not know."""
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(enum_prefix(enum)) if value is not None else str(number)


def words(enum: EnumDescriptor, number: int) -> str:
    """`originator only` of WITHHELD_REASON_ORIGINATOR_ONLY."""
    return enum_name(enum, number).lower().replace("_", " ")


def form_text(form: int) -> str:
    """How a value was made coarser, in a few words. Of a value with several parts, those that are coarse are kept."""
    if form == access_pb2.GENERALISATION_KEEP:
        return "coarse parts only"
    return words(access_pb2.Generalisation.DESCRIPTOR, form)


def shown(field: FieldDescriptor, value: Any) -> str:
    """A field's value, singular or repeated, not yet escaped."""
    if field.is_repeated:
        return ", ".join(_one(field, item) for item in value)
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    if isinstance(value, Message):
        return value_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.hex() if isinstance(value, bytes) else str(value)


def value_text(value: Message) -> str:
    """A value message in one line."""
    known = _FORMS.get(value.DESCRIPTOR.full_name)
    if known is not None:
        return known(value)
    return "; ".join(f"{field.name} {shown(field, item)}" for field, item in value.ListFields()) or "(empty)"


def _timestamp(value: Any) -> str:
    return f"{value.ToDatetime():%Y-%m-%d %H:%M:%S}Z"


def _date(value: date_pb2.PartialDate) -> str:
    parts = [f"{value.year:04d}"]
    parts += [f"{value.month:02d}"] if value.HasField("month") else []
    parts += [f"{value.day:02d}"] if value.HasField("day") else []
    return "-".join(parts)


def _range(value: date_pb2.DateRange) -> str:
    start = _date(value.start) if value.HasField("start") else "..."
    end = _date(value.end) if value.HasField("end") else "..."
    return start if start == end else f"{start} to {end}"


def _amount(value: amount_pb2.Amount) -> str:
    return f"{value.currency} {value.value}".strip()


def _grading(value: grading_pb2.Grading) -> str:
    if value.HasField("europol"):
        europol = value.europol
        source = enum_name(grading_pb2.EuropolSource.DESCRIPTOR, europol.source)
        return f"Europol {source}{enum_name(grading_pb2.EuropolInformation.DESCRIPTOR, europol.information)}"
    national = value.grading_3x5x2
    letter = _ASSESSMENTS[national.assessment] if national.assessment < len(_ASSESSMENTS) else "?"
    return f"3x5x2 {int(national.source)}{letter}"


_FORMS: dict[str, Callable[[Any], str]] = {
    "google.protobuf.Timestamp": _timestamp,
    "entente.common.v1.PartialDate": _date,
    "entente.common.v1.DateRange": _range,
    "entente.common.v1.Grading": _grading,
    "entente.common.v1.Amount": _amount,
}
