"""What the wire must look like for release by field to hold. Each finding names the place and what to do.

MUSTs of the schema (architecture, rules 5, 6 and 9):
1. Every field that can be released has a class; only the fields of value messages have none.
2. The members of a oneof share a class: which member is set tells as much as its value.
3. No `Any`, `Struct`, map, group or extension on the wire; every scalar says whether it is present.
4. Every response ends with `receipt` as field 15, and no other field of it is numbered above 14.
5. Portions lie directly in their record, repeated and keyed; a message inside one is a frame (ENVELOPE) or a value.
6. Every method has a rule.
7. A pseudonym stands in a text of its own with a class: never in a value message. A kind of value is of one class, so
   that no pseudonym joins what two classes hold.

Requests and the error package are never released, so their fields need no class; records inside requests do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

from broker.release import transforms
from broker.release.classes import (
    ENVELOPE,
    MESSAGE,
    NO_COARSER_FORM,
    PORTION,
    RECEIPT,
    UNCLASSED,
    VALUE,
    WELL_KNOWN_VALUES,
    FieldRule,
    field_rules,
    is_portion,
    is_value,
    messages_of,
)
from entente.access.v1 import access_pb2

RECEIPT_NUMBER = 15
_NEVER_RELEASED = ("entente.access.", "entente.error.")


def audit_schema(files: Iterable[FileDescriptor]) -> list[str]:
    """Everything in these files that breaks a MUST, one line each; empty when the schema is sound."""
    files = tuple(files)
    messages = [message for file in files for message in messages_of(file)]
    released = released_messages(files)
    found = [line for message in messages for line in _on_the_wire(message)]
    for message in messages:
        if message.full_name in released:
            found += _classed(message)
    found += _one_class_a_kind(message for message in messages if message.full_name in released)
    for method in methods_of(files):
        found += _method(method)
    return list(dict.fromkeys(found))


def methods_of(files: Iterable[FileDescriptor]) -> Iterator[MethodDescriptor]:
    """Every method of every service."""
    for file in files:
        for service in file.services_by_name.values():
            yield from service.methods


def released_messages(files: Iterable[FileDescriptor]) -> frozenset[str]:
    """Full names of the messages whose fields can be released: all but those that only requests reach."""
    files = tuple(files)
    messages = [m for file in files for m in messages_of(file) if not m.full_name.startswith(_NEVER_RELEASED)]
    outputs = [method.output_type for method in methods_of(files)]
    answers = _reach(outputs + [message for message in messages if is_portion(message)])
    asked = _reach(message for message in messages if message.name.endswith("Request"))
    return frozenset(m.full_name for m in messages if m.full_name in answers or m.full_name not in asked)


def _reach(roots: Iterable[Descriptor]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found:
            found.add(message.full_name)
            waiting.extend(field.message_type for field in message.fields if field.message_type is not None)
    return found


def _on_the_wire(message: Descriptor) -> Iterator[str]:
    if message.is_extendable:
        yield f"{message.full_name}: extensions are not allowed on the wire; declare the fields"
    for field in message.fields:
        held = field.message_type
        if held is not None and held.GetOptions().map_entry:
            yield f"{field.full_name}: a map is not allowed on the wire; use a repeated message"
        elif held is not None and held.file.package == "google.protobuf" and held.full_name not in WELL_KNOWN_VALUES:
            yield f"{field.full_name}: {held.full_name} cannot be classed; declare a message of its own"
        elif field.type == FieldDescriptor.TYPE_GROUP:
            yield f"{field.full_name}: a group is not allowed on the wire; use a message"
        elif not field.is_repeated and not field.has_presence:
            yield f"{field.full_name}: mark it `optional`, so that absent and zero differ"


def _classed(message: Descriptor) -> Iterator[str]:
    for rule in field_rules(message):
        yield from _value_field(rule) if is_value(message) else _field(message, rule)
        yield from _generalised(rule)
        yield from _named(message, rule)
    for oneof in message.oneofs:
        if len({rule.field_class for rule in field_rules(message) if rule.oneof == oneof.name}) > 1:
            yield f"{oneof.full_name}: the members of a oneof share a class; give them one"


def _value_field(rule: FieldRule) -> Iterator[str]:
    name = rule.descriptor.full_name
    if rule.field_class != UNCLASSED:
        yield f"{name}: a field of a value message takes its holder's class; remove its own"
    if rule.kind in (MESSAGE, PORTION):
        yield f"{name}: a value holds only scalars and values; mark {rule.message_type.full_name} as a value"


def _field(message: Descriptor, rule: FieldRule) -> Iterator[str]:
    name = rule.descriptor.full_name
    if rule.field_class == UNCLASSED:
        yield f"{name}: no field_class; without one it is withheld from everyone"
    if rule.kind == PORTION and is_portion(message):
        if not rule.repeated or any(inner.kind == PORTION for inner in field_rules(rule.message_type)):
            yield f"{name}: portions lie directly in their record, in repeated fields"
        if "key" not in rule.message_type.fields_by_name:
            yield f"{name}: a portion needs a `key`, by which a disclosure names it"
    if rule.kind in (MESSAGE, PORTION) and rule.field_class != ENVELOPE and is_portion(message):
        yield f"{name}: a message inside a portion is an ENVELOPE whose fields have classes, or a value"


def _generalised(rule: FieldRule) -> Iterator[str]:
    if rule.generalisation == NO_COARSER_FORM:
        return
    if rule.kind in (VALUE, MESSAGE, PORTION):
        yield f"{rule.descriptor.full_name}: a message's coarser form is that of its own fields; move the option there"
    elif not transforms.fits(rule.generalisation, rule.descriptor):
        yield f"{rule.descriptor.full_name}: {rule.generalisation} does not fit the type of the field"


def _named(message: Descriptor, rule: FieldRule) -> Iterator[str]:
    if rule.pseudonym and (
        is_value(message) or rule.field_class == ENVELOPE or not transforms.nameable(rule.descriptor)
    ):
        yield f"{rule.descriptor.full_name}: only a text with a class of its own can be released as a pseudonym"


def _one_class_a_kind(messages: Iterable[Descriptor]) -> Iterator[str]:
    classes: dict[str, FieldRule] = {}
    for rule in (rule for message in messages for rule in field_rules(message) if rule.pseudonym):
        first = classes.setdefault(rule.pseudonym, rule)
        if first.field_class != rule.field_class:
            yield (
                f"{rule.descriptor.full_name}: pseudonyms of kind {rule.pseudonym} are of class {first.field_class} "
                f"in {first.descriptor.full_name}; give this field a kind of its own"
            )


def _method(method: MethodDescriptor) -> Iterator[str]:
    options = method.GetOptions().Extensions[access_pb2.method]
    if not (options.permission and options.entry_type):
        yield f"{method.full_name}: no rule with permission and entry_type; without one it is refused"
    response = method.output_type
    receipt = response.fields_by_name.get("receipt")
    held = receipt.message_type if receipt is not None else None
    if receipt is None or held is None or receipt.number != RECEIPT_NUMBER or held.full_name != RECEIPT:
        yield f"{response.full_name}: it must hold `optional {RECEIPT} receipt = {RECEIPT_NUMBER}`"
    for field in response.fields:
        if field.number >= RECEIPT_NUMBER and field is not receipt:
            yield f"{field.full_name}: the receipt is last; number every other field {RECEIPT_NUMBER - 1} or less"
