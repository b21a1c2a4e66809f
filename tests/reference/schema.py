"""What the protos say of each field: its class, its coarser form, whether a pseudonym can stand for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from entente.access.v1 import access_pb2
from entente.report.v1 import report_pb2
from tests.reference.decision import COARSER, FULL, PSEUDONYM, WITHHELD

_OPAQUE = ("google.protobuf.Timestamp", "google.protobuf.FieldMask")


@dataclass(frozen=True)
class Field:
    """A field that is released or withheld as one. `portion`: the list of portions that it lies in, or none."""

    path: str
    portion: str
    field_class: str
    descriptor: FieldDescriptor

    def becomes(self, how: str) -> str:
        """What becomes of it where its class is released so: FULL, COARSER, PSEUDONYM or WITHHELD."""
        if self.field_class == "ENVELOPE":
            return FULL
        if how == COARSER:
            return coarser(self.descriptor)
        if how == PSEUDONYM:
            return PSEUDONYM if _option(self.descriptor, "pseudonym") else WITHHELD
        return how


def _option(one: FieldDescriptor, name: str) -> int:
    extension: Any = getattr(access_pb2, name)
    return int(one.GetOptions().Extensions[extension])


def coarser(one: FieldDescriptor) -> str:
    """A field that keeps its value is coarse already; a value keeps the coarse ones of its parts."""
    if one.message_type is not None:
        parts = [coarser(inner) for inner in one.message_type.fields]
        return COARSER if any(part != WITHHELD for part in parts) else WITHHELD
    form = access_pb2.Generalisation.Name(_option(one, "generalisation")).removeprefix("GENERALISATION_")  # type: ignore[arg-type]
    return {"UNSPECIFIED": WITHHELD, "KEEP": FULL}.get(form, COARSER)


def _whole(one: FieldDescriptor) -> bool:
    held = one.message_type
    return held is None or held.full_name in _OPAQUE or bool(held.GetOptions().Extensions[access_pb2.value])


def _walk(message: Descriptor, prefix: str, portion: str) -> Iterator[Field]:
    for one in message.fields:
        path = prefix + one.name
        if _whole(one):
            name = access_pb2.FieldClass.Name(_option(one, "field_class")).removeprefix("FIELD_CLASS_")  # type: ignore[arg-type]
            yield Field(path, portion, name, one)
        else:
            assert one.message_type is not None
            inside = bool(one.message_type.GetOptions().Extensions[access_pb2.portion])
            yield from _walk(one.message_type, f"{path}.", one.name if inside else portion)


@cache
def fields() -> tuple[Field, ...]:
    """Every schema path of a report."""
    return tuple(_walk(report_pb2.Report.DESCRIPTOR, "", ""))
