"""Plans: what is built afresh from allowed fields, and what must not survive."""

from __future__ import annotations

import pytest

from broker.domain.answer import Answer
from broker.domain.grant import FULL, PART, View
from broker.release import plans
from broker.release.classes import ENVELOPE, field_rules
from broker.release.plans import Plans
from broker.release.projector import Releaser
from broker.release.records import Leaf
from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import entity_pb2, marks_pb2, record_pb2
from entente.directory.v1 import directory_service_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill, leaks, set_paths, under, with_unknown_fields
from tests.support.released import CLASSES, EVERYTHING, REPORT, Levels, grant, item, only, without

MARKER = b"UNKNOWN-FIELD-MARKER"
CLASSED = [leaf for leaf in REPORT.leaves if leaf.rule.field_class != ENVELOPE]
ids = [leaf.path for leaf in CLASSED]


def released(
    levels: Levels, *, seed: int = 1, variant: int = 0, payload: bytes | None = None
) -> tuple[bytes, report_pb2.Report]:
    filled = fill(report_pb2.Report, seed, variant=variant)
    answer = Answer(items=(item(filled.message, payload=payload),))
    response = Releaser().release(answer, report_service_pb2.GetReportResponse, grant(levels)).response
    return response, report_service_pb2.GetReportResponse.FromString(response).report.report


def canaries(leaf: Leaf) -> dict[str, tuple[str | bytes, ...]]:
    return dict(under(leaf.path, fill(report_pb2.Report, 1).canaries))


@pytest.mark.parametrize("leaf", CLASSED, ids=ids)
def test_field_is_withheld_when_its_class_is(leaf: Leaf) -> None:
    response, report = released(without(leaf.rule.field_class))
    assert not leaks(response, canaries(leaf))
    assert leaf.path not in set_paths(report)


@pytest.mark.parametrize("leaf", CLASSED, ids=ids)
def test_field_is_released_when_its_class_is_full(leaf: Leaf) -> None:
    response, report = released(only(leaf.rule.field_class))
    assert leaks(response, canaries(leaf)) == set(canaries(leaf))
    assert leaf.path in set_paths(report)


@pytest.mark.parametrize("leaf", CLASSED, ids=ids)
def test_a_build_that_leaks_the_field_is_caught(leaf: Leaf, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = plans.treatment

    def leaky(rule: object, levels: Levels) -> str:
        return FULL if rule is leaf.rule else honest(rule, levels)  # type: ignore[arg-type]

    monkeypatch.setattr(plans, "treatment", leaky)
    response, report = released(without(leaf.rule.field_class))
    assert leaks(response, canaries(leaf)) == set(canaries(leaf))
    assert leaf.path in set_paths(report)


@pytest.mark.parametrize("leaf", CLASSED, ids=ids)
def test_field_granted_in_part_is_coarser_or_absent(leaf: Leaf) -> None:
    response, report = released(without(leaf.rule.field_class, PART))
    kept = {path for path in canaries(leaf) if _kept(leaf, path)}
    assert leaks(response, canaries(leaf)) == kept
    assert (leaf.path in set_paths(report)) == (plans.treatment(leaf.rule, {leaf.rule.field_class: PART}) != "")


def _kept(leaf: Leaf, path: str) -> bool:
    return path == leaf.path and leaf.rule.generalisation == "KEEP"


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_but_the_granted_class_is_released(name: str) -> None:
    _, report = released(only(name))
    leaf_paths = {leaf.path: leaf.rule.field_class for leaf in REPORT.leaves}
    found = {leaf_paths[path] for path in set_paths(report) if path in leaf_paths}
    assert found <= {ENVELOPE, name}


def test_everything_is_released_unchanged_when_everything_is_granted() -> None:
    for variant in range(2):
        filled = fill(report_pb2.Report, 1, variant=variant).message
        assert released(EVERYTHING, variant=variant)[1] == filled


def test_unknown_fields_do_not_survive_at_any_depth() -> None:
    for variant in range(2):
        filled = fill(report_pb2.Report, 1, variant=variant).message
        payload = with_unknown_fields(filled, MARKER)
        # Every message in the payload carries one; parsing and serialising keeps them all.
        assert report_pb2.Report.FromString(payload).SerializeToString().count(MARKER) == payload.count(MARKER) > 40
        for levels in (EVERYTHING, dict.fromkeys(CLASSES, PART)):
            assert MARKER not in released(levels, variant=variant, payload=payload)[0]


def test_unknown_enum_numbers_do_not_survive() -> None:
    report = report_pb2.Report()
    report.header.record_id = "0" * 32
    report.header.state = 77  # type: ignore[assignment]
    report.header.marks.tlp = 78  # type: ignore[assignment]
    report.header.marks.markings.extend([79, marks_pb2.MARKING_OFFICIAL_SENSITIVE])  # type: ignore[list-item]
    _, found = _release(report)
    assert not found.header.HasField("state")
    assert not found.header.marks.HasField("tlp")
    assert list(found.header.marks.markings) == [marks_pb2.MARKING_OFFICIAL_SENSITIVE]


def _release(report: report_pb2.Report, levels: Levels = EVERYTHING) -> tuple[bytes, report_pb2.Report]:
    response = Releaser().release(Answer(items=(item(report),)), report_service_pb2.GetReportResponse, grant(levels))
    return response.response, report_service_pb2.GetReportResponse.FromString(response.response).report.report


def test_presence_of_a_frame_tells_nothing_of_what_was_withheld_in_it() -> None:
    bare, framed = report_pb2.Report(), report_pb2.Report()
    for report in (bare, framed):
        report.header.record_id = "0" * 32
        report.lines.add(key="k")
    framed.author.name = "Ana Lime"
    framed.lines[0].provenance.technique = "a technique"
    framed.entities.add(key="p").person.birth_date.month = 5
    bare.entities.add(key="p").person.SetInParent()
    levels = {**EVERYTHING, "OFFICER": PART, "SOURCE": "", "BIOGRAPHIC": PART}
    assert _release(bare, levels)[0] == _release(framed, levels)[0]


def test_the_kind_of_an_entity_is_released_though_nothing_in_it_is() -> None:
    _, found = released({})
    assert [entity.WhichOneof("kind") for entity in found.entities] == [
        member.name for member in entity_pb2.Entity.DESCRIPTOR.oneofs_by_name["kind"].fields
    ]


def test_present_and_empty_recipients_stay_present() -> None:
    report = report_pb2.Report()
    report.header.record_id = "0" * 32
    report.header.marks.releasable_to.SetInParent()
    assert _release(report)[1].header.marks.HasField("releasable_to")


def test_absent_and_zero_stay_apart() -> None:
    report = report_pb2.Report(title="")
    report.header.record_id = "0" * 32
    report.entities.add(key="l").location.latitude = 0.0
    found = _release(report)[1]
    assert found.HasField("title")
    assert not found.HasField("tear_line")
    assert found.entities[0].location.HasField("latitude")
    assert not found.entities[0].location.HasField("longitude")


def test_a_class_that_the_view_does_not_name_is_withheld() -> None:
    plan = Plans().plan(entity_pb2.Person.DESCRIPTOR, View(()))
    assert plan.empty


def test_no_view_releases_a_field_without_a_class() -> None:
    unclassed = next(rule for rule in field_rules(record_pb2.ExternalReference.DESCRIPTOR))
    assert plans.treatment(unclassed, {"UNSPECIFIED": FULL}) == ""


def test_plans_are_shared_by_views_that_differ_elsewhere() -> None:
    made = Plans()
    first = made.plan(entity_pb2.Phone.DESCRIPTOR, grant(without("SOURCE")).view(0, 0))
    assert made.plan(entity_pb2.Phone.DESCRIPTOR, grant(without("PLACE")).view(0, 0)) is first
    assert made.plan(entity_pb2.Phone.DESCRIPTOR, grant(without("CONTACT")).view(0, 0)).number != first.number


def test_unmarked_answers_need_their_class_granted() -> None:
    response = directory_service_pb2.GetAgencyResponse
    filled = fill(response, 3)
    answer = Answer(envelope=filled.message.SerializeToString())
    granted = Releaser().release(answer, response, grant(answer_classes=("DIRECTORY",))).response
    refused = Releaser().release(answer, response, grant()).response
    inside = under("agency", filled.canaries)
    assert leaks(granted, inside) == set(inside)
    assert refused == b""


def test_elements_of_which_nothing_is_released_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    response = directory_service_pb2.WhoAmIResponse
    source = response()
    source.capabilities.add(method="hidden")
    source.capabilities.add(method="hidden", rule="shown")
    withheld = {"method"}
    monkeypatch.setattr(plans, "treatment", lambda rule, levels: "" if rule.name in withheld else FULL)
    out = Releaser().release(Answer(envelope=source.SerializeToString()), response, grant()).response
    assert [one.rule for one in response.FromString(out).capabilities] == ["shown"]


def test_withheld_audit_entries_are_not_even_counted() -> None:
    response = audit_service_pb2.SearchAuditEntriesResponse
    filled = fill(response, 3)
    released_bytes = Releaser().release(Answer(envelope=filled.message.SerializeToString()), response, grant()).response
    assert not response.FromString(released_bytes).entries
    assert response.FromString(released_bytes).next_page_token == filled.message.next_page_token


def test_an_envelope_brings_no_receipt_and_no_unknown_fields() -> None:
    response = audit_service_pb2.SearchAuditEntriesResponse
    filled = fill(response, 3).message
    answer = Answer(envelope=with_unknown_fields(filled, MARKER))
    out = Releaser().release(answer, response, grant(answer_classes=("AUDIT",))).response
    assert MARKER not in out
    filled.ClearField("receipt")
    assert response.FromString(out) == filled
