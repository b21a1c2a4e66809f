"""The catalogue and the bundle: read from descriptors and files, complete or refused at the start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from broker.decide.bundle import TEST_ONLY, PolicyBundle, policy_folder
from broker.decide.cache import BoundedCache
from broker.decide.catalogue import Catalogue
from broker.decide.embedded import EmbeddedEngine
from broker.decide.vocabulary import DECIDED_CLASSES, FIELD_CLASSES
from broker.domain.errors import UnavailableError
from entente.access.v1 import access_pb2
from entente.report.v1 import report_service_pb2
from tests.support.questions import BUNDLE, CATALOGUE, GET_REPORT


def test_rules_follow_from_the_descriptors() -> None:
    rule = CATALOGUE.find(GET_REPORT)
    assert rule is not None
    assert (rule.permission, rule.entry_type, rule.write, rule.marked) == ("REPORT_READ", "DISCLOSURE", False, True)
    assert rule.request_type is report_service_pb2.GetReportRequest
    retract = CATALOGUE.find("/entente.report.v1.ReportService/RetractReport")
    assert retract is not None
    assert (retract.write, retract.marked) == (True, True)
    subscribe = CATALOGUE.find("/entente.report.v1.ReportService/SubscribeReports")
    assert subscribe is not None
    assert (subscribe.client_streaming, subscribe.server_streaming) == (True, True)
    exempt = {rule.path.rpartition("/")[2] for rule in CATALOGUE if rule.justification_exempt}
    assert exempt == {"WhoAmI", "GetCheckpoint", "GetInclusionProof"}
    assert not any(rule.marked for rule in CATALOGUE if "ReportService" not in rule.path)
    assert CATALOGUE.find("/entente.report.v1.ReportService/Nothing") is None
    assert len(CATALOGUE.field_classes) == len(access_pb2.FieldClass.keys()) - 1


@pytest.mark.parametrize("option", ["none", "half", "unexplained"])
def test_a_method_without_a_whole_rule_does_not_start(option: str) -> None:
    file = descriptor_pb2.FileDescriptorProto(name=f"bad_{option}.proto", package=f"bad.{option}", syntax="proto3")
    file.dependency.append("entente/access/v1/access.proto")
    file.message_type.add(name="Nothing")
    method = file.service.add(name="BadService").method.add(
        name="Do", input_type=f".bad.{option}.Nothing", output_type=f".bad.{option}.Nothing"
    )
    if option != "none":
        rule = method.options.Extensions[access_pb2.method]
        rule.permission = access_pb2.PERMISSION_SELF
        if option == "unexplained":
            rule.entry_type = access_pb2.ENTRY_TYPE_ADMIN
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    with pytest.raises(ValueError, match=r"/bad.*BadService/Do"):
        Catalogue.from_descriptors([pool.FindServiceByName(f"bad.{option}.BadService")])


def test_classes_are_those_of_the_proto() -> None:
    assert set(FIELD_CLASSES) - set(DECIDED_CLASSES) == {"ENVELOPE", "DIRECTORY", "AUDIT"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(policy_folder(), tmp_path / "policies")


def test_the_revision_covers_what_engines_evaluate_and_nothing_else(folder: Path) -> None:
    assert PolicyBundle.load(folder).revision == BUNDLE.revision
    (folder / "decision.rego").write_text("package other\n")
    (folder / "more_test.rego").write_text("package other\n")
    assert PolicyBundle.load(folder).revision == BUNDLE.revision
    (folder / "grant.rego").write_text((folder / "grant.rego").read_text() + "\n")
    changed = PolicyBundle.load(folder).revision
    assert changed != BUNDLE.revision
    roles = json.loads((folder / "data" / "roles.json").read_text())
    roles["auditor"]["permissions"].append("REPORT_READ")
    (folder / "data" / "roles.json").write_text(json.dumps(roles))
    assert PolicyBundle.load(folder).revision not in (changed, BUNDLE.revision)


def test_a_bundle_is_written_without_its_tests(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {".manifest", "policy", *(name for name, _ in BUNDLE.modules)}
    assert not written & set(TEST_ONLY)
    assert json.loads((tmp_path / ".manifest").read_text())["revision"] == BUNDLE.revision


def test_a_rule_without_a_reason_or_a_text_is_refused(folder: Path) -> None:
    rules = json.loads((folder / "data" / "rules.json").read_text())
    rules["clearance"]["reason"] = "BECAUSE"
    (folder / "data" / "rules.json").write_text(json.dumps(rules))
    with pytest.raises(ValueError, match="rule clearance"):
        PolicyBundle.load(folder)
    with pytest.raises(ValueError, match="no policies"):
        PolicyBundle.load(folder / "data")


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("grant.rego", '"pointers": portions.pointers,', ""),
        ("grant.rego", '"rows": portions.rows', '"rows": portions.rowz'),
        ("classes.rego", '"EVENT": whole', '"EVENTS": whole'),
        ("portions.rego", '"AMBER_STRICT"', '"AMBER_STRIKT"'),
        ("portions.rego", 'trees.within("clearance"', 'trees.within("klearance"'),
        ("portions.rego", "rows := trees.all_of(array.concat(house,", "rows := trees.all_of(array.concat([],"),
        ("method.rego", "default method_allowed := false", "default method_allowed := true"),
        ("method.rego", '"rule": method_rule', '"rules": method_rule'),
        ("method.rego", "package entente", "package entent"),
        ("caller.rego", "package entente.caller", "package entente.caller\n\nimport"),
    ],
)
async def test_a_broken_policy_does_not_start(folder: Path, file: str, before: str, after: str) -> None:
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))
    with pytest.raises((UnavailableError, ValueError)):
        await EmbeddedEngine(PolicyBundle.load(folder)).start()


def test_a_cache_is_bounded_in_entries_and_bytes() -> None:
    cache: BoundedCache[str] = BoundedCache(max_entries=3, max_bytes=100, weigh=len)
    for key in "abcd":
        cache.put(key, "x")
    assert (cache.get("a"), cache.get("b"), len(cache)) == (None, "x", 3)
    cache.put("e", "y" * 99)
    assert (cache.get("b"), cache.get("e"), cache.bytes) == ("x", "y" * 99, 100)
    cache.put("huge", "z" * 101)
    assert (len(cache), cache.bytes, cache.get("huge")) == (0, 0, None)
