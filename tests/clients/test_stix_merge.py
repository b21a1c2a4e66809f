"""What is done about a report that the broker holds already: newest wins, item by item, and people's work stays."""

from __future__ import annotations

from typing import Any

import pytest

from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2, grading_pb2, marks_pb2, record_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix.mapping import MappedReport, Sharing, map_bundle
from entente_sdk.stix.merge import SPARE, held_modified, merged
from entente_sdk.stix.objects import ObjectError
from entente_sdk.stix.plan import Held, decide, held_from
from entente_sdk.stix.rows import Outcome
from tests.support.stix_bundles import SECOND, THIRD, bundle, group, joined, thing

RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"


def mapped(*objects: Any, sharing: Sharing | None = None) -> MappedReport:
    """The first report of a bundle."""
    return map_bundle(bundle(*objects), sharing or Sharing()).reports[0]


def stored(report: report_pb2.Report) -> report_pb2.Report:
    """As the broker gives it back: with random keys, and a head of its own."""
    copy = report_pb2.Report()
    copy.CopyFrom(report)
    renamed = {entity.key: f"{number:08x}" for number, entity in enumerate(copy.entities, 1)}
    for number, line in enumerate(copy.lines):
        line.key = f"{number:08x}"
    for entity in copy.entities:
        entity.key = renamed[entity.key]
    for number, link in enumerate(copy.links):
        link.key, link.from_key, link.to_key = f"{number:08x}", renamed[link.from_key], renamed[link.to_key]
    copy.header.record_id, copy.header.etag = "0" * 32, "e1"
    return copy


def held(report: report_pb2.Report) -> Held:
    return Held("0" * 32, "e1", stored(report))


A, B, TOOL = group("a", description="first"), group("b"), thing("tool", "t")
SMALL = (A, B, TOOL, joined(A, "uses", TOOL), joined(A, "related-to", B))


def test_what_is_not_held_is_submitted_and_what_is_the_same_is_left_alone() -> None:
    one = mapped(*SMALL)
    assert decide(one, None).submit == one.report
    plan = decide(one, held(one.report))
    assert (plan.outcome, plan.paths, plan.amend) == (Outcome.UNCHANGED, (), None)


def test_merging_twice_changes_nothing() -> None:
    newer = mapped(group("a", SECOND, description="second", aliases=["z"]), *SMALL[1:])
    once = merged(stored(mapped(*SMALL).report), newer)
    assert merged(once, newer) == once


def test_a_newer_object_amends_only_what_differs_and_keeps_keys() -> None:
    before = stored(mapped(*SMALL).report)
    plan = decide(mapped(group("a", SECOND, description="second"), *SMALL[1:]), Held("0" * 32, "e1", before))
    assert plan.outcome is Outcome.AMENDED
    assert plan.paths == ("lines", "entities", "header.external_references")
    assert plan.amend is not None
    assert [line.key for line in plan.amend.lines] == [line.key for line in before.lines]
    assert plan.amend.lines[0].information == "second"
    assert not plan.amend.header.HasField("record_id")
    assert not plan.amend.HasField("title")


def test_an_older_object_is_skipped_and_said_to_be_older() -> None:
    newest = mapped(group("a", THIRD, description="third"), *SMALL[1:])
    plan = decide(mapped(*SMALL), held(newest.report))
    assert plan.outcome is Outcome.OLDER
    assert THIRD in plan.detail


def test_an_older_object_still_brings_relationships_that_are_not_held() -> None:
    newest = mapped(group("a", THIRD, description="third"))
    after = merged(stored(newest.report), mapped(*SMALL))
    assert [line.information for line in after.lines] == ["third", "a uses the tool t.", "a is related to b."]
    assert held_modified(after, A["id"]) == THIRD
    (link,) = after.links
    assert {link.from_key, link.to_key} == {entity.key for entity in after.entities}


def test_the_order_of_two_domains_does_not_matter() -> None:
    one, other = (A, B, joined(A, "related-to", B)), (A, TOOL, joined(A, "uses", TOOL))
    first = merged(stored(mapped(*one).report), mapped(*other))
    second = merged(stored(mapped(*other).report), mapped(*one))
    assert {line.information for line in first.lines} == {line.information for line in second.lines}
    assert decide(mapped(*one), Held("0" * 32, "e", first)).outcome is Outcome.UNCHANGED
    assert decide(mapped(*other), Held("0" * 32, "e", first)).outcome is Outcome.UNCHANGED


def test_what_people_added_stays() -> None:
    before = stored(mapped(*SMALL).report)
    before.lines.add(key="abcdef01", information="Seen by an officer.")
    before.entities.add(key="abcdef02").person.name = "Ana Lime"
    before.themes.append("fraud")
    before.header.external_references.add(source="case-system", reference="42")
    before.internal_notes = "ours"
    after = merged(before, mapped(group("a", SECOND, description="second"), *SMALL[1:]))
    assert "Seen by an officer." in [line.information for line in after.lines]
    assert "Ana Lime" in [entity.person.name for entity in after.entities]
    assert "fraud" in after.themes
    assert "42" in [one.reference for one in after.header.external_references]
    assert after.internal_notes == "ours"


def test_of_the_same_version_what_people_made_of_it_stays() -> None:
    before = stored(mapped(*SMALL).report)
    line = before.lines[0]
    line.grading.grading_3x5x2.assessment = grading_pb2.ASSESSMENT_CORROBORATED
    line.information = "first, as we know it"
    line.marks.classification = marks_pb2.CLASSIFICATION_SECRET
    line.provenance.source_reference = "S-17"
    before.entities[0].marks.classification = marks_pb2.CLASSIFICATION_SECRET
    assert decide(mapped(*SMALL), Held("0" * 32, "e", before)).outcome is Outcome.UNCHANGED
    after = merged(before, mapped(group("a", SECOND, description="x" * 40_000), *SMALL[1:]))
    assert after.lines[0].grading.grading_3x5x2.assessment == grading_pb2.ASSESSMENT_NOT_KNOWN
    assert after.lines[0].provenance.source_reference == "S-17"
    for portion in (*after.lines[:2], after.entities[0]):
        assert portion.marks.classification == marks_pb2.CLASSIFICATION_SECRET


def test_a_label_that_the_bundle_tightens_reaches_what_is_held() -> None:
    before = stored(mapped(*SMALL).report)
    after = merged(before, mapped(A, {**B, "object_marking_refs": [RED]}, *SMALL[2:]))
    assert [line.marks.tlp for line in after.lines] == [0, 0, marks_pb2.TLP_RED]
    assert [entity.marks.tlp for entity in after.entities] == [0, marks_pb2.TLP_RED]
    assert [link.marks.tlp for link in after.links] == [marks_pb2.TLP_RED]


def test_a_description_that_shrinks_empties_the_lines_that_it_no_longer_needs() -> None:
    long = mapped(group("a", description="x" * 40_000))
    short = mapped(group("a", SECOND, description="short"))
    after = merged(stored(long.report), short)
    assert [line.information for line in after.lines] == ["short", SPARE]
    assert decide(short, Held("0" * 32, "e", after)).outcome is Outcome.UNCHANGED
    again = merged(after, mapped(group("a", THIRD, description="y" * 40_000)))
    assert "".join(line.information for line in again.lines) == "y" * 40_000


def test_a_relationship_that_was_withdrawn_loses_its_link() -> None:
    after = merged(stored(mapped(*SMALL).report), mapped(A, B, TOOL, joined(A, "related-to", B, SECOND, revoked=True)))
    assert not after.links
    assert any(line.information.startswith("No longer asserted") for line in after.lines)
    assert merged(after, mapped(*SMALL)) == after


def test_another_object_renamed_changes_its_name_and_a_new_version_alone_does_not() -> None:
    before = stored(mapped(*SMALL).report)
    same = mapped(A, {**B, "modified": SECOND}, TOOL, *SMALL[3:])
    assert decide(same, Held("0" * 32, "e", before)).outcome is Outcome.UNCHANGED
    renamed = merged(before, mapped(A, {**B, "modified": SECOND, "name": "bee"}, TOOL, *SMALL[3:]))
    assert [entity.organisation.name for entity in renamed.entities] == ["a", "bee"]


def test_a_revoked_object_is_retracted_naming_its_successor() -> None:
    gone = group("a", SECOND, revoked=True)
    one = mapped(gone, B, joined(gone, "revoked-by", B, SECOND))
    plan = decide(one, held(mapped(*SMALL).report))
    assert plan.outcome is Outcome.RETRACTED
    assert "replaced by b (" in plan.retract
    assert plan.submit is None
    fresh = decide(one, None)
    assert fresh.submit is not None
    assert fresh.retract == plan.retract
    retracted = Held("0" * 32, "e", report_pb2.Report(), retracted=True)
    assert decide(one, retracted).outcome is Outcome.UNCHANGED
    assert decide(mapped(*SMALL), retracted).outcome is Outcome.HELD_RETRACTED


def test_an_older_revocation_does_not_retract_what_is_newer() -> None:
    newest = mapped(group("a", THIRD))
    assert decide(mapped(group("a", SECOND, revoked=True)), held(newest.report)).outcome is Outcome.OLDER


def test_marks_are_tightened_and_never_loosened() -> None:
    before = held(mapped(*SMALL).report)
    tighter = decide(mapped(group("a", SECOND, object_marking_refs=[RED]), *SMALL[1:]), before)
    assert "header.marks" in tighter.paths
    assert tighter.amend is not None
    assert tighter.amend.header.marks.tlp == marks_pb2.TLP_RED
    assert tighter.amend.header.marks.handling_code == marks_pb2.HANDLING_CODE_P
    strict = held(mapped(*SMALL, sharing=Sharing(tlp=marks_pb2.TLP_AMBER)).report)
    assert decide(mapped(*SMALL), strict).outcome is Outcome.UNCHANGED


@pytest.mark.parametrize("tlp", [marks_pb2.TLP_AMBER, marks_pb2.TLP_RED])
def test_a_portions_label_is_dropped_where_the_record_is_as_strict(tlp: marks_pb2.Tlp.ValueType) -> None:
    b = group("b", object_marking_refs=[RED])
    objects = (A, b, joined(A, "related-to", b))
    strict = stored(mapped(*objects, sharing=Sharing(tlp=tlp)).report)
    plan = decide(mapped(*objects), Held("0" * 32, "e", strict))
    assert plan.outcome is Outcome.UNCHANGED


def test_a_record_that_is_tightened_takes_its_portions_along() -> None:
    amber = group("b", object_marking_refs=["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"])
    before = stored(mapped(A, amber, joined(A, "related-to", amber)).report)
    assert before.lines[1].marks.tlp == marks_pb2.TLP_AMBER
    red = {**A, "object_marking_refs": [RED]}
    after = merged(before, mapped(red, amber, joined(A, "related-to", amber)))
    assert after.header.marks.tlp == marks_pb2.TLP_RED
    assert not any(portion.HasField("marks") for portion in (*after.lines, *after.entities, *after.links))


def test_what_cannot_be_read_back_is_not_written_over() -> None:
    disclosed = report_pb2.DisclosedReport(report=stored(mapped(*SMALL).report))
    disclosed.disclosure.withheld.add(
        path="lines.provenance.source_reference", field_class=access_pb2.FIELD_CLASS_SOURCE
    )
    assert decide(mapped(*SMALL), held_from(disclosed)).outcome is Outcome.UNCHANGED
    disclosed.disclosure.withheld.append(
        exchange_pb2.WithheldField(path="lines.information", field_class=access_pb2.FIELD_CLASS_INFORMATION)
    )
    with pytest.raises(ObjectError, match=r"lines\.information"):
        decide(mapped(*SMALL), held_from(disclosed))


def test_a_retracted_report_is_known_by_its_head() -> None:
    disclosed = report_pb2.DisclosedReport()
    disclosed.report.header.state = record_pb2.RECORD_STATE_RETRACTED
    assert held_from(disclosed).retracted


def test_what_no_longer_fits_with_what_is_held_is_said() -> None:
    before = stored(mapped(*SMALL).report)
    for number in range(198):
        before.lines.add(key=f"f{number:07x}", information="by hand")
    tools = [thing("tool", f"t{number}") for number in range(3)]
    more = mapped(A, *tools, *(joined(A, "uses", tool) for tool in tools))
    with pytest.raises(ObjectError, match="at most 200 fit"):
        decide(more, Held("0" * 32, "e", before))
