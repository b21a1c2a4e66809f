"""The shapes that release works on, found in the descriptors: records, their portions, and an answer's item slot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from broker.release.classes import (
    MESSAGE,
    RECORD_HEADER,
    FieldRule,
    field_rules,
    is_portion,
    portion_fields,
)
from broker.release.errors import SchemaError

DISCLOSURE = "entente.common.v1.Disclosure"
POINTER = "entente.common.v1.Pointer"
ENTITY = "entente.common.v1.Entity"
LINK = "entente.common.v1.Link"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A schema path of a record that is released or withheld by itself: a scalar or a value.

    `portion` is the index of the portion field that it lies in, or -1 for the record's own.
    """

    path: str
    rule: FieldRule
    portion: int


@dataclass(frozen=True, slots=True)
class RecordType:
    """A record: a portion with a header, which holds the other portions.

    `leaves` are all its schema paths; `links` the index of the portion field with links between entities, `entities`
    that with the entities, -1 where there is none.
    """

    message: Descriptor
    make: type[Message]
    portions: tuple[FieldRule, ...]
    leaves: tuple[Leaf, ...]
    entities: int
    links: int

    @property
    def named_classes(self) -> frozenset[str]:
        """The classes of which some field can be released as a pseudonym."""
        return frozenset(leaf.rule.field_class for leaf in self.leaves if leaf.rule.pseudonym)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an answer's items go, and the tags (field number and wire type) that the bytes need.

    `wrapper` is the message around each disclosed record, or None; `outer_tag` is then its tag in the response and
    `inner_tag` the disclosed record's tag in it; otherwise `outer_tag` alone is used.
    """

    record: RecordType
    field: str
    repeated: bool
    wrapper: type[Message] | None
    wrapped_field: str
    outer_tag: bytes
    inner_tag: bytes
    record_tag: bytes
    pointer_tag: bytes
    disclosure_tag: bytes


@cache
def record_type(message: Descriptor) -> RecordType:
    """The record of this type. Raises SchemaError when it has no header, so that it could not be cited."""
    header = message.fields_by_name.get("header")
    held = header.message_type if header is not None else None
    if held is None or held.full_name != RECORD_HEADER or not is_portion(message):
        raise SchemaError(f"{message.full_name} is no record: it needs the portion option and `{RECORD_HEADER} header`")
    portions = portion_fields(message)
    kinds = [rule.message_type.full_name for rule in portions]
    leaves = [*_leaves(message, "", -1)]
    for index, rule in enumerate(portions):
        leaves += _leaves(rule.message_type, f"{rule.name}.", index)
    return RecordType(
        message=message,
        make=GetMessageClass(message),
        portions=portions,
        leaves=tuple(leaves),
        entities=kinds.index(ENTITY) if ENTITY in kinds else -1,
        links=kinds.index(LINK) if LINK in kinds else -1,
    )


def _leaves(message: Descriptor, prefix: str, portion: int) -> Iterator[Leaf]:
    apart = {rule.name for rule in portion_fields(message)}
    for rule in field_rules(message):
        if rule.kind == MESSAGE:
            yield from _leaves(rule.message_type, f"{prefix}{rule.name}.", portion)
        elif rule.name not in apart:
            yield Leaf(prefix + rule.name, rule, portion)


@cache
def item_slot(response: Descriptor) -> Slot | None:
    """The one place for items in a response: a field of disclosed records, directly or one message deeper.

    None when it has none. Raises SchemaError when it has more than one.
    """
    found = list(_slots(response))
    if len(found) > 1:
        raise SchemaError(f"{response.full_name} has more than one field for items: {[slot.field for slot in found]}")
    return found[0] if found else None


def _slots(response: Descriptor) -> Iterator[Slot]:
    for field in response.fields:
        held = field.message_type
        if held is None:
            continue
        if _is_disclosed(held):
            yield _slot(held, field, None)
        for inner in held.fields:
            if inner.message_type is not None and _is_disclosed(inner.message_type):
                yield _slot(inner.message_type, field, inner)


def _is_disclosed(message: Descriptor) -> bool:
    field = message.fields_by_name.get("disclosure")
    return field is not None and field.message_type is not None and field.message_type.full_name == DISCLOSURE


def _slot(disclosed: Descriptor, outer: FieldDescriptor, inner: FieldDescriptor | None) -> Slot:
    records = [f for f in disclosed.fields if f.message_type is not None and is_portion(f.message_type)]
    pointers = [f for f in disclosed.fields if f.message_type is not None and f.message_type.full_name == POINTER]
    if len(records) != 1 or len(pointers) != 1 or (inner is not None and inner.is_repeated):
        raise SchemaError(f"{disclosed.full_name} needs exactly one record and one {POINTER}")
    held = records[0].message_type
    wrapper = outer.message_type
    assert held is not None
    assert wrapper is not None
    return Slot(
        record=record_type(held),
        field=outer.name,
        repeated=outer.is_repeated,
        wrapper=None if inner is None else GetMessageClass(wrapper),
        wrapped_field="" if inner is None else inner.name,
        outer_tag=tag(outer.number),
        inner_tag=b"" if inner is None else tag(inner.number),
        record_tag=tag(records[0].number),
        pointer_tag=tag(pointers[0].number),
        disclosure_tag=tag(disclosed.fields_by_name["disclosure"].number),
    )


def tag(number: int) -> bytes:
    """The wire's tag of a length-delimited field."""
    return varint(number << 3 | 2)


def varint(value: int) -> bytes:
    """Base-128, least significant group first (protobuf encoding)."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def framed(body: bytes) -> bytes:
    """Length and body, as they follow a tag."""
    return varint(len(body)) + body
