"""The schema's audit finds what must not be built, and the baseline whatever changed."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, struct_pb2
from google.protobuf.descriptor import FileDescriptor

from broker.release import baseline, classes
from broker.release.classes import field_rules, main, wire_files
from broker.release.errors import SchemaError
from broker.release.records import item_slot, record_type
from broker.release.schema import audit_schema
from entente.access.v1 import access_pb2
from entente.common.v1 import entity_pb2
from entente.report.v1 import report_pb2, report_service_pb2

ROOT = Path(__file__).resolve().parents[2]
HEADER, ENVELOPE, SUMMARY = (
    access_pb2.FIELD_CLASS_HEADER,
    access_pb2.FIELD_CLASS_ENVELOPE,
    access_pb2.FIELD_CLASS_SUMMARY,
)
_numbers = count()


def new_package() -> str:
    """Descriptors stay in their pool for good, so each schema has a package of its own."""
    return f"entente_test.schema{next(_numbers)}"


Proto = descriptor_pb2.DescriptorProto
Field = descriptor_pb2.FieldDescriptorProto


def field(name: str, number: int, field_class: int = HEADER, **more: object) -> Field:
    """A field with explicit presence and a class, unless `more` says otherwise."""
    given = {"type": Field.TYPE_STRING, "label": Field.LABEL_OPTIONAL, **more}
    made = Field(name=name, number=number, **given)  # type: ignore[arg-type]
    if field_class:
        made.options.Extensions[access_pb2.field_class] = field_class  # type: ignore[assignment]
    return made


def message(name: str, *fields: Field) -> Proto:
    return Proto(name=name, field=fields)


def build(
    *messages: Proto,
    package: str = "",
    optional: bool = True,
    service: descriptor_pb2.ServiceDescriptorProto | None = None,
) -> FileDescriptor:
    """A file of these messages; `optional` gives each plain scalar explicit presence."""
    package = package or new_package()
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.extend(
        [
            "entente/common/v1/exchange.proto",
            "entente/common/v1/record.proto",
            any_pb2.DESCRIPTOR.name,
            struct_pb2.DESCRIPTOR.name,
        ]
    )
    for made in messages:
        if optional:
            for one in made.field:
                if one.label == Field.LABEL_OPTIONAL and not one.HasField("oneof_index") and not one.type_name:
                    one.proto3_optional = True
                    made.oneof_decl.add(name=f"_{one.name}")
                    one.oneof_index = len(made.oneof_decl) - 1
        file.message_type.append(made)
    if service is not None:
        file.service.append(service)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def held(name: str, number: int, type_name: str, field_class: int = HEADER, **more: object) -> Field:
    return field(name, number, field_class, type=Field.TYPE_MESSAGE, type_name=type_name, **more)


def found(*messages: Proto, **more: object) -> str:
    return "\n".join(audit_schema([build(*messages, **more)]))  # type: ignore[arg-type]


def test_our_wire_is_sound() -> None:
    assert audit_schema(wire_files()) == []


def test_the_committed_baseline_is_the_present_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--baseline", str(ROOT / "proto/classes.json")]) == 0
    assert capsys.readouterr().err == ""


def test_a_sound_message_has_no_findings() -> None:
    assert found(message("Sound", field("name", 1))) == ""


def test_a_field_without_a_class_is_found() -> None:
    assert "Bad.name: no field_class" in found(message("Bad", field("name", 1, 0)))


def test_a_class_in_a_value_message_is_found() -> None:
    made = message("Bad", field("name", 1))
    made.options.Extensions[access_pb2.value] = True
    assert "Bad.name: a field of a value message takes its holder's class" in found(made)


def test_members_of_a_oneof_with_different_classes_are_found() -> None:
    made = message("Bad", field("a", 1, HEADER, oneof_index=0), field("b", 2, SUMMARY, oneof_index=0))
    made.oneof_decl.add(name="choice")
    assert "Bad.choice: the members of a oneof share a class" in found(made)


@pytest.mark.parametrize("name", ["Any", "Struct", "Value"])
def test_types_that_cannot_be_classed_are_found(name: str) -> None:
    assert f"Bad.x: google.protobuf.{name} cannot be classed" in found(
        message("Bad", held("x", 1, f".google.protobuf.{name}"))
    )


def test_a_map_is_found() -> None:
    made = message("Bad")
    entry = made.nested_type.add(name="XEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), start=1):
        entry.field.add(name=name, number=number, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    package = new_package()
    made.field.append(held("x", 1, f".{package}.Bad.XEntry", label=Field.LABEL_REPEATED))
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3", message_type=[made]
    )
    file.dependency.append("entente/access/v1/access.proto")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    assert "Bad.x: a map is not allowed" in "\n".join(
        audit_schema([descriptor_pool.Default().FindFileByName(file.name)])
    )


def test_a_scalar_without_presence_is_found() -> None:
    assert "Bad.name: mark it `optional`" in found(message("Bad", field("name", 1)), optional=False)


def test_a_form_that_does_not_fit_is_found() -> None:
    one = field("name", 1)
    one.options.Extensions[access_pb2.generalisation] = access_pb2.GENERALISATION_GRID
    assert "Bad.name: GRID does not fit" in found(message("Bad", one))


def pseudonym(made: Field, kind: int = access_pb2.PSEUDONYM_KIND_NAME) -> Field:
    made.options.Extensions[access_pb2.pseudonym] = kind  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    "made",
    [
        pseudonym(field("name", 1, type=Field.TYPE_INT32)),
        pseudonym(field("name", 1, type=Field.TYPE_BYTES)),
        pseudonym(field("name", 1, ENVELOPE)),
        pseudonym(held("name", 1, ".entente.common.v1.PartialDate")),
    ],
    ids=["number", "bytes", "frame", "message"],
)
def test_a_pseudonym_where_none_can_stand_is_found(made: Field) -> None:
    assert "Bad.name: only a text with a class of its own can be released as a pseudonym" in found(message("Bad", made))


def test_a_pseudonym_in_a_value_is_found() -> None:
    made = message("Bad", pseudonym(field("name", 1, 0)))
    made.options.Extensions[access_pb2.value] = True
    assert "Bad.name: only a text with a class of its own" in found(made)


def test_a_kind_of_pseudonym_in_two_classes_is_found() -> None:
    """Else the pseudonym would join what policy grants apart: an officer with a suspect of that name."""
    lines = found(message("Bad", pseudonym(field("a", 1, HEADER)), pseudonym(field("b", 2, SUMMARY))))
    assert "Bad.b: pseudonyms of kind NAME are of class HEADER" in lines
    assert found(message("Good", pseudonym(field("a", 1)), pseudonym(field("b", 2)))) == ""


def found_of_service(answer: Proto) -> str:
    """Findings for a service whose one method, without a rule, returns this answer."""
    package = new_package()
    service = descriptor_pb2.ServiceDescriptorProto(name="TestService")
    service.method.add(name="Ask", input_type=f".{package}.AskRequest", output_type=f".{package}.{answer.name}")
    return found(message("AskRequest"), answer, package=package, service=service)


def test_a_method_without_a_rule_is_found() -> None:
    receipt = held("receipt", 15, ".entente.common.v1.Receipt", ENVELOPE)
    lines = found_of_service(message("AskResponse", receipt))
    assert "TestService.Ask: no rule" in lines
    assert "AskResponse" not in lines


def test_a_response_without_a_receipt_is_found() -> None:
    lines = found_of_service(message("AskResponse"))
    assert "AskResponse: it must hold" in lines


def test_a_response_field_after_the_receipt_is_found() -> None:
    receipt = held("receipt", 15, ".entente.common.v1.Receipt", ENVELOPE)
    answer = message("AskResponse", receipt, field("late", 16))
    assert "AskResponse.late: the receipt is last" in found_of_service(answer)


def test_requests_need_no_classes_but_records_in_them_do() -> None:
    package = new_package()
    record = message("Record", field("key", 1), field("name", 2, 0))
    record.options.Extensions[access_pb2.portion] = True
    request = message("PutRequest", field("why", 1, 0), held("record", 2, f".{package}.Record", 0))
    lines = found(request, record, package=package)
    assert "PutRequest" not in lines
    assert "Record.name: no field_class" in lines


def test_a_field_without_a_class_has_the_class_that_nobody_is_granted() -> None:
    made = build(message("Bad", field("name", 1, 0)))
    (rule,) = field_rules(made.message_types_by_name["Bad"])
    assert rule.field_class == "UNSPECIFIED"


def test_a_record_needs_a_header() -> None:
    with pytest.raises(SchemaError):
        record_type(entity_pb2.Entity.DESCRIPTOR)


def test_items_have_one_place_found_from_descriptors() -> None:
    slot = item_slot(report_service_pb2.SubscribeReportsResponse.DESCRIPTOR)
    assert slot is not None
    assert (slot.field, slot.wrapped_field, slot.repeated) == ("changes", "report", True)
    assert slot.record is record_type(report_pb2.Report.DESCRIPTOR)
    assert item_slot(report_service_pb2.SubmitReportResponse.DESCRIPTOR) is None


@pytest.mark.parametrize(
    ("section", "name", "was", "told"),
    [
        ("fields", "entente.common.v1.Person.name", "SOURCE -", "was SOURCE -, is IDENTITY INITIALS pseudonym NAME"),
        ("fields", "entente.common.v1.Person.shoe_size", "BIOGRAPHIC -", "and is gone"),
        ("fields", "entente.common.v1.Person.name", None, "new (IDENTITY INITIALS pseudonym NAME)"),
        ("messages", "entente.common.v1.Marks", "plain", "was plain, is value"),
        ("methods", "entente.report.v1.ReportService.GetReport", "PERMISSION_SELF", "changes who sees it"),
    ],
)
def test_a_change_against_the_baseline_fails_until_it_is_written(
    section: str, name: str, was: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "classes.json"
    held_then = json.loads((ROOT / "proto/classes.json").read_text(encoding="utf-8"))
    if was is None:
        del held_then[section][name]
    else:
        held_then[section][name] = was
    path.write_text(json.dumps(held_then), encoding="utf-8")
    assert main(["--baseline", str(path)]) == 1
    lines = capsys.readouterr().err
    assert f"{name}: " in lines
    assert told in lines
    assert baseline.COMMAND in lines
    assert main(["--baseline", str(path), "--write"]) == 0
    assert main(["--baseline", str(path)]) == 0


def test_an_unsound_schema_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = build(message("Bad", field("name", 1, 0)))
    monkeypatch.setattr(classes, "wire_files", lambda: (*wire_files(), bad))
    path = tmp_path / "classes.json"
    assert main(["--baseline", str(path), "--write"]) == 1
    assert not path.exists()
