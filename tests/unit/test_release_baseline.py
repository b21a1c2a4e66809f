"""A change of the real schema that changes who sees what fails the build: every field, every option, every method.

Each mutant is the real wire with one thing changed, in a pool of its own. What buf does not see is seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor

from broker.release import baseline
from broker.release.baseline import COMMAND, Sections, differences, snapshot
from broker.release.classes import wire_files
from entente.access.v1 import access_pb2

Files = list[descriptor_pb2.FileDescriptorProto]
Field = descriptor_pb2.FieldDescriptorProto
REAL: Sections = snapshot(wire_files())
CLASSES = [value.number for value in access_pb2.FieldClass.DESCRIPTOR.values]
PERMISSIONS = [value.number for value in access_pb2.Permission.DESCRIPTOR.values]


def protos() -> Files:
    """The real wire and all that it needs, each file after what it imports."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        if file.name not in found:
            found[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)

    for file in wire_files():
        add(file)
    return list(found.values())


def mutant(change: Callable[[Files], None]) -> Sections:
    """What the wire says of itself after a change."""
    files = protos()
    change(files)
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return snapshot([pool.FindFileByName(file.name) for file in wire_files()])


def messages(files: Files) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    """(full name, message) of everything of ours."""
    waiting = [(f"{file.package}.{one.name}", one) for file in files for one in file.message_type]
    for name, one in waiting:
        waiting += [(f"{name}.{inner.name}", inner) for inner in one.nested_type]
        if name.startswith("entente."):
            yield name, one


def fields(files: Files) -> Iterator[tuple[str, Field]]:
    return ((f"{name}.{field.name}", field) for name, one in messages(files) for field in one.field)


def named(files: Files, wanted: str) -> Field:
    return next(field for name, field in fields(files) if name == wanted)


def reported(changed: Sections) -> set[str]:
    """The names on which a line speaks; with them stands what to do."""
    lines = differences(REAL, changed)
    assert not lines or lines.pop() == f"to record what is meant: {COMMAND}"
    return {line.partition(": ")[0] for line in lines}


def test_the_wire_as_it_is_has_no_differences() -> None:
    assert mutant(lambda files: None) == REAL
    assert differences(REAL, REAL) == []


@pytest.mark.parametrize("number", CLASSES, ids=access_pb2.FieldClass.Name)
def test_every_field_moved_to_a_class_is_reported(number: access_pb2.FieldClass.ValueType) -> None:
    """All fields at once, then each for itself: its own line and no other."""

    def move(files: Files) -> None:
        for _, field in fields(files):
            field.options.Extensions[access_pb2.field_class] = number

    moved = mutant(move)
    name = access_pb2.FieldClass.Name(number).removeprefix("FIELD_CLASS_")
    # A field of a value message takes its holder's class, and has none that could be moved.
    due = {field for field, said in REAL["fields"].items() if said.split()[0] not in (name, "-")}
    assert reported(moved) == due
    assert len(due) > 100
    for field in due:
        alone = {**REAL, "fields": {**REAL["fields"], field: moved["fields"][field]}}
        line, _ = differences(REAL, alone)
        assert line.startswith(f"{field}: was {REAL['fields'][field]}, is {name} ")
        assert line.endswith("this changes who sees it; undo it or have it reviewed")


def _form(files: Files, form: int) -> None:
    for _, field in fields(files):
        field.options.Extensions[access_pb2.generalisation] = form  # type: ignore[assignment]


@pytest.mark.parametrize("form", access_pb2.Generalisation.values())
def test_every_other_coarser_form_is_reported(form: int) -> None:
    name = "-" if form == 0 else access_pb2.Generalisation.Name(form).removeprefix("GENERALISATION_")  # type: ignore[arg-type]
    due = {field for field, said in REAL["fields"].items() if said.split()[1] != name}
    assert reported(mutant(lambda files: _form(files, form))) == due


@pytest.mark.parametrize("kind", access_pb2.PseudonymKind.values())
def test_every_other_pseudonym_is_reported(kind: int) -> None:
    def give(files: Files) -> None:
        for _, field in fields(files):
            field.options.Extensions[access_pb2.pseudonym] = kind  # type: ignore[assignment]

    name = access_pb2.PseudonymKind.Name(kind).removeprefix("PSEUDONYM_KIND_")  # type: ignore[arg-type]
    said = "" if kind == 0 else f"pseudonym {name}"
    due = {field for field, was in REAL["fields"].items() if was.partition(" pseudonym ")[2] != name or kind == 0}
    due -= {field for field, was in REAL["fields"].items() if not said and " pseudonym " not in was}
    assert reported(mutant(give)) == due


def test_a_renamed_field_is_gone_and_new() -> None:
    def rename(files: Files) -> None:
        named(files, "entente.common.v1.Person.name").name = "called"

    lines = differences(REAL, mutant(rename))
    assert "entente.common.v1.Person.name: was IDENTITY INITIALS pseudonym NAME and is gone" in lines
    assert "entente.common.v1.Person.called: new (IDENTITY INITIALS pseudonym NAME); record it" in lines


def test_every_field_that_is_taken_away_is_reported() -> None:
    def strip(files: Files) -> None:
        for name, one in messages(files):
            if name in REAL["messages"]:
                del one.field[:], one.oneof_decl[:]

    gone = reported(mutant(strip))
    assert gone >= REAL["fields"].keys()


@pytest.mark.parametrize("option", [access_pb2.value, access_pb2.portion], ids=["value", "portion"])
def test_every_message_that_loses_or_gains_an_option_is_reported(option: object) -> None:
    def flip(files: Files) -> None:
        for _, one in messages(files):
            held = one.options.Extensions
            held[option] = not held[option]  # type: ignore[index]

    changed = mutant(flip)
    kept = {name for name, kind in REAL["messages"].items() if changed["messages"].get(name) == kind}
    # What is a value stays one whatever else it is said to be.
    assert {REAL["messages"][name] for name in kept} <= ({"value"} if option is access_pb2.portion else set())
    assert reported(changed) >= REAL["messages"].keys() - kept


@pytest.mark.parametrize("number", PERMISSIONS, ids=access_pb2.Permission.Name)
def test_every_method_with_another_permission_is_reported(number: access_pb2.Permission.ValueType) -> None:
    def give(files: Files) -> None:
        for file in files:
            for service in file.service:
                for method in service.method:
                    method.options.Extensions[access_pb2.method].permission = number

    name = access_pb2.Permission.Name(number)
    due = {method for method, said in REAL["methods"].items() if said.split()[0] != name}
    assert reported(mutant(give)) == due


@pytest.mark.parametrize("option", ["entry_type", "justification_exempt", "write"])
def test_every_other_rule_of_a_method_is_reported(option: str) -> None:
    def change(files: Files) -> None:
        for file in files:
            for service in file.service:
                for method in service.method:
                    rule = method.options.Extensions[access_pb2.method]
                    was = getattr(rule, option)
                    setattr(rule, option, not was if isinstance(was, bool) else was % 7 + 1)

    assert reported(mutant(change)) == REAL["methods"].keys()


def test_a_field_moved_into_another_message_is_reported() -> None:
    def move(files: Files) -> None:
        held = dict(messages(files))
        person, vehicle = held["entente.common.v1.Person"], held["entente.common.v1.Vehicle"]
        taken = next(field for field in person.field if field.name == "nationalities")
        vehicle.field.add().CopyFrom(taken)
        vehicle.field[-1].number = 99
        person.field.remove(taken)

    assert reported(mutant(move)) == {
        "entente.common.v1.Person.nationalities",
        "entente.common.v1.Vehicle.nationalities",
    }


def test_each_section_is_compared() -> None:
    assert set(REAL) == set(baseline.SECTIONS)
