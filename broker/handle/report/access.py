"""What the descriptors say of fields, as far as writing needs it: classes, and which messages have marks of their own.

There is no second list: every answer is read from the options of `entente.access.v1`.
"""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from entente.access.v1 import access_pb2

ENVELOPE = "ENVELOPE"
_WELL_KNOWN_VALUES = frozenset(("google.protobuf.Timestamp", "google.protobuf.FieldMask"))


@cache
def field_class(field: FieldDescriptor) -> str:
    """The field's class, without prefix; UNSPECIFIED, which nobody is granted, where it has none."""
    number = field.GetOptions().Extensions[access_pb2.field_class]
    return access_pb2.FieldClass.Name(number).removeprefix("FIELD_CLASS_")


@cache
def coarser_form(field: FieldDescriptor) -> str:
    """How the field is released when its class is granted in part, without prefix; empty where it is withheld then."""
    number = field.GetOptions().Extensions[access_pb2.generalisation]
    return access_pb2.Generalisation.Name(number).removeprefix("GENERALISATION_") if number else ""


@cache
def has_pseudonym(field: FieldDescriptor) -> bool:
    """Whether the field is released when its class is granted as a pseudonym."""
    return bool(field.GetOptions().Extensions[access_pb2.pseudonym])


@cache
def is_portion(message: Descriptor) -> bool:
    """Whether its release is decided apart from its container's."""
    return bool(message.GetOptions().Extensions[access_pb2.portion])


@cache
def is_frame(field: FieldDescriptor) -> bool:
    """Whether the field only holds together fields with classes of their own."""
    held = field.message_type
    if held is None or held.full_name in _WELL_KNOWN_VALUES:
        return False
    return not held.GetOptions().Extensions[access_pb2.value]


@cache
def classes_of(field: FieldDescriptor) -> frozenset[str]:
    """Every class that a field holds: its own, or those of the fields within it, portions aside. Without ENVELOPE."""
    if not is_frame(field):
        return frozenset({field_class(field)}) - {ENVELOPE}
    held = field.message_type
    assert held is not None
    if is_portion(held):
        return frozenset()
    return classes_within(held)


@cache
def classes_within(message: Descriptor) -> frozenset[str]:
    """Every class of a message's fields, those of portions within it aside. Without ENVELOPE."""
    return frozenset().union(*(classes_of(field) for field in message.fields))
