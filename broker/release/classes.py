"""Field classes, read from the descriptors: the one list of what the wire holds and who may be granted it.

Guarantees: every answer here is read from the options of `entente.access.v1`; nothing is written down twice.

MUSTs:
1. A field without a class has the class `UNSPECIFIED`, which no view ever grants.
2. A value message (a date, a grade) is released or withheld by the class of the field that holds it.

As a program it checks the schema and compares it with the committed baseline:
`python -m broker.release.classes --baseline proto/classes.json [--write]`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from entente.access.v1 import access_pb2

ENVELOPE = "ENVELOPE"
UNCLASSED = "UNSPECIFIED"
NO_COARSER_FORM = "UNSPECIFIED"
KEEP = "KEEP"
RECORD_HEADER = "entente.common.v1.RecordHeader"
RECEIPT = "entente.common.v1.Receipt"
WELL_KNOWN_VALUES = frozenset(("google.protobuf.Timestamp", "google.protobuf.FieldMask"))

SCALAR, ENUM, VALUE, PORTION, MESSAGE = "scalar", "enum", "value", "portion", "message"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a field says about itself.

    `kind` is one of SCALAR, ENUM, VALUE, PORTION, MESSAGE; `oneof` names the oneof that it is a member of, or is empty
    (the one that the compiler makes for `optional` does not count). `pseudonym` is the kind of value that a pseudonym
    may stand for, or empty.
    """

    descriptor: FieldDescriptor
    name: str
    field_class: str
    generalisation: str
    pseudonym: str
    kind: str
    repeated: bool
    oneof: str

    @property
    def message_type(self) -> Descriptor:
        """The type of a field that holds a message."""
        found = self.descriptor.message_type
        if found is None:
            raise TypeError(f"{self.descriptor.full_name} holds no message")
        return found


def is_value(message: Descriptor) -> bool:
    """Whether it is released or withheld whole."""
    return message.full_name in WELL_KNOWN_VALUES or bool(message.GetOptions().Extensions[access_pb2.value])


def is_portion(message: Descriptor) -> bool:
    """Whether it carries marks of its own and is decided apart from its container."""
    return bool(message.GetOptions().Extensions[access_pb2.portion])


@cache
def field_rules(message: Descriptor) -> tuple[FieldRule, ...]:
    """The rules of a message's fields, in the order of the schema."""
    return tuple(_rule(field) for field in message.fields)


def _rule(field: FieldDescriptor) -> FieldRule:
    options = field.GetOptions().Extensions
    return FieldRule(
        descriptor=field,
        name=field.name,
        field_class=_short(access_pb2.FieldClass, options[access_pb2.field_class], "FIELD_CLASS_"),
        generalisation=_short(access_pb2.Generalisation, options[access_pb2.generalisation], "GENERALISATION_"),
        pseudonym=_pseudonym(options[access_pb2.pseudonym]),
        kind=_kind(field),
        repeated=field.is_repeated,
        oneof=_oneof(field),
    )


def _short(enum: type[access_pb2.FieldClass] | type[access_pb2.Generalisation], number: int, prefix: str) -> str:
    known = enum.DESCRIPTOR.values_by_number.get(number)
    return UNCLASSED if known is None else known.name.removeprefix(prefix)


def _pseudonym(number: int) -> str:
    known = access_pb2.PseudonymKind.DESCRIPTOR.values_by_number.get(number)
    return "" if known is None or number == 0 else known.name.removeprefix("PSEUDONYM_KIND_")


def _kind(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is None:
        return SCALAR if field.enum_type is None else ENUM
    if is_value(message):
        return VALUE
    return PORTION if is_portion(message) else MESSAGE


def _oneof(field: FieldDescriptor) -> str:
    oneof = field.containing_oneof
    if oneof is None or (oneof.name == f"_{field.name}" and len(oneof.fields) == 1):
        return ""
    return oneof.name


def portion_fields(record: Descriptor) -> tuple[FieldRule, ...]:
    """The fields of a record that hold its portions, in the order in which their mark sets are given."""
    return tuple(rule for rule in field_rules(record) if rule.kind == PORTION)


@cache
def classes_within(message: Descriptor) -> frozenset[str]:
    """Every class that a field of this message, or of a message inside it, has. ENVELOPE is not among them."""
    found: set[str] = set()
    for rule in field_rules(message):
        found.add(rule.field_class)
        if rule.kind in (MESSAGE, PORTION):
            found |= classes_within(rule.message_type)
    return frozenset(found - {ENVELOPE})


def wire_files() -> tuple[FileDescriptor, ...]:
    """Every file of our own wire, by name; the generated stubs are the list."""
    package = importlib.import_module("entente")
    names = [found.name for found in pkgutil.walk_packages(package.__path__, "entente.")]
    modules = [importlib.import_module(name) for name in sorted(names) if name.endswith("_pb2")]
    return tuple(module.DESCRIPTOR for module in modules)


def messages_of(file: FileDescriptor) -> Iterator[Descriptor]:
    """Its messages, nested ones too."""
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop(0)
        yield message
        waiting.extend(message.nested_types)


def main(arguments: list[str] | None = None) -> int:
    """Check the schema and its baseline; 0 when both hold, 1 with one line for each that does not."""
    from broker.release import baseline, schema  # they read this module, which is also the program

    parser = argparse.ArgumentParser(prog="python -m broker.release.classes", description=main.__doc__)
    parser.add_argument("--baseline", type=Path, required=True, help="the committed classes, proto/classes.json")
    parser.add_argument("--write", action="store_true", help="make the present schema the baseline")
    chosen = parser.parse_args(arguments)
    files = wire_files()
    problems = schema.audit_schema(files)
    if not problems and chosen.write:
        baseline.write(chosen.baseline, baseline.snapshot(files))
    elif not problems:
        problems = baseline.differences(baseline.read(chosen.baseline), baseline.snapshot(files))
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
