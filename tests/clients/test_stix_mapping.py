"""The mapping of bundles to reports, on the real ones and on made ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from entente.common.v1 import entity_pb2, grading_pb2, marks_pb2
from entente_sdk.cli import application
from entente_sdk.stix.bundle import Bundle, read_bundle
from entente_sdk.stix.limits import INFORMATION, PROVENANCE, breaches
from entente_sdk.stix.lines import split
from entente_sdk.stix.mapping import Mapping, Sharing, map_bundle
from entente_sdk.stix.rows import Outcome, Row
from tests.support.shared import shared_data
from tests.support.stix_bundles import bundle, collection, group, joined, stix_id, thing

ENTERPRISE = "enterprise-groups.stix20.json"
BUNDLES = (ENTERPRISE, "ics-attack-17.1.json", "ics-attack-latest.json")
RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
AMBER_STRICT = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"


def real(name: str) -> Bundle:
    return read_bundle(shared_data("attack-groups") / name)


@pytest.fixture(scope="module")
def enterprise() -> Mapping:
    return map_bundle(real(ENTERPRISE), Sharing())


def only(mapping: Mapping) -> Any:
    (mapped,) = mapping.reports
    return mapped.report


def failed(mapping: Mapping) -> list[Row]:
    return [row for row in mapping.rows if row.outcome is Outcome.FAILED]


def test_every_group_and_campaign_becomes_a_report(enterprise: Mapping) -> None:
    kinds = Counter((one.type, bool(one.retraction_reason)) for one in enterprise.reports)
    assert kinds == {("intrusion-set", False): 181, ("intrusion-set", True): 6, ("campaign", False): 52}
    assert not failed(enterprise)
    assert sum("deprecated" in one.report.themes for one in enterprise.reports) == 9


def test_every_name_and_alias_is_carried(enterprise: Mapping) -> None:
    names = 0
    for one in enterprise.reports:
        if one.type != "intrusion-set":
            continue
        own = next(entity.organisation for entity in one.report.entities if entity.organisation.name == one.name)
        given = enterprise.bundle.objects[one.stix_id].texts("aliases")
        assert {own.name, *own.aliases} == {one.name, *given}
        names += len(set(given))
    assert names == 589


def test_every_attribution_and_succession_becomes_a_link(enterprise: Mapping) -> None:
    links = Counter(link.type for one in enterprise.reports for link in one.report.links)
    assert links == {entity_pb2.LINK_TYPE_ATTRIBUTED_TO: 25, entity_pb2.LINK_TYPE_REPLACED_BY: 6}
    outcomes = Counter(row.outcome for row in enterprise.rows if row.type == "relationship")
    assert outcomes == {Outcome.LINE: 1253, Outcome.LINK: 31, Outcome.NOT_MAPPED: 2}
    successor = next(one for one in enterprise.reports if one.name == "OilRig").report
    old = next(entity for entity in successor.entities if entity.organisation.name == "APT34")
    (link,) = successor.links
    assert link.from_key == old.key


@pytest.mark.parametrize("name", BUNDLES)
def test_every_object_has_exactly_one_row_and_every_report_fits(name: str) -> None:
    mapping = map_bundle(real(name), Sharing())
    rows = Counter(row.stix_id for row in mapping.preview() if "--" in row.stix_id)
    assert set(rows) == set(mapping.bundle.objects)
    assert set(rows.values()) == {1}
    assert all(row.detail for row in mapping.rows if row.outcome is Outcome.NOT_MAPPED)
    for one in mapping.reports:
        assert not list(breaches(one.report))


def test_the_same_bundle_gives_the_same_reports() -> None:
    first, second = (map_bundle(real("ics-attack-17.1.json"), Sharing()) for _ in range(2))
    assert first.reports == second.reports
    assert first.rows == second.rows


def test_no_better_grade_is_invented_and_every_source_is_named(enterprise: Mapping) -> None:
    for one in enterprise.reports:
        for line in one.report.lines:
            for grading in (line.grading, line.provenance.grading):
                assert grading.grading_3x5x2.source == grading_pb2.SOURCE_EVALUATION_UNTESTED
                assert grading.grading_3x5x2.assessment == grading_pb2.ASSESSMENT_NOT_KNOWN
            assert line.provenance.text.startswith("STIX ")


def test_the_licence_and_the_citations_are_carried(enterprise: Mapping) -> None:
    for one in enterprise.reports:
        assert any("Copyright 2015-2025, The MITRE Corporation" in line.information for line in one.report.lines)
    report = next(one for one in enterprise.reports if one.name == "APT17").report
    assert "FireEye Labs/FireEye Threat Intelligence. (2015, May 14)" in report.lines[0].provenance.text
    assert "The MITRE Corporation (identity--c78cb6e5" in report.lines[0].provenance.text
    licensed = map_bundle(bundle(group("a")), Sharing(licence="The whole licence."))
    assert "The whole licence." in [line.information for line in only(licensed).lines]


def test_campaigns_carry_their_period(enterprise: Mapping) -> None:
    campaign = next(one for one in enterprise.reports if one.name == "Operation Dream Job").report
    period = campaign.entities[0].event.period
    assert (period.start.year, period.start.month, period.end.year) == (2019, 9, 2020)
    assert campaign.period == period


def test_a_long_description_is_split_and_never_cut() -> None:
    text = "word " * 14_000 + "x" * 40_000
    references = [{"source_name": f"s{n}", "description": "d" * 3000} for n in range(12)]
    report = only(map_bundle(bundle(group("a", description=text, external_references=references)), Sharing()))
    said = [line.information for line in report.lines]
    assert "".join(part for part in said if part != "Further sources of the line above.") == text
    assert all(len(line.information) <= INFORMATION for line in report.lines)
    assert all(len(line.provenance.text) <= PROVENANCE for line in report.lines)
    assert sum(line.provenance.text.count("d" * 3000) for line in report.lines) == 12
    assert f"part 1 of {len(said)}" in report.lines[0].provenance.text


def test_split_pieces_join_to_the_text() -> None:
    for text in ("", "abc", "a b\nc d e f", "nospacesatall" * 9, "\n\n\n    \n" * 5):
        pieces = list(split(text, 7))
        assert "".join(pieces) == text
        assert all(0 < len(piece) <= 7 for piece in pieces)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (group("n" * 257), "257 characters"),
        (group("a", aliases=["n" * 257]), "257 characters"),
        (group("a", aliases=[f"n{n}" for n in range(129)]), "129 items"),
        (group("a", description="d" * 32_000 * 40), "bytes"),
        (group("  "), "name is missing"),
        ({**group("a"), "name": 5}, "name is missing"),
        (group("a", aliases="b"), "aliases is not a list"),
        (group("a", description=["b"]), "description is not a string"),
        (group("a", external_references=[{"source_name": 1}]), "is not a string"),
        (group("a", modified="yesterday"), "modified is not a STIX timestamp"),
        (group("a", modified="2024-13-01T00:00:00Z"), "modified is not a time"),
        (group("a", first_seen="2024"), "first_seen is not a STIX timestamp"),
        (group("a", revoked="yes"), "revoked is neither"),
        (group("a", object_marking_refs=[stix_id("marking-definition", "x")]), "is not in the bundle"),
    ],
)
def test_what_cannot_fit_is_a_failed_row(made: dict[str, Any], words: str) -> None:
    mapping = map_bundle(bundle(made, group("sound")), Sharing())
    assert [one.name for one in mapping.reports] == ["sound"]
    (row,) = failed(mapping)
    assert words in row.detail


def test_hostile_strings_are_kept_exactly() -> None:
    for text in ("\x00", "\x1b[31m", "‮drowssap", "=cmd|' /C calc'!A0", "'; DROP TABLE report;--", "\U0001f575\ufe0f"):
        report = only(map_bundle(bundle(group(text, description=text, aliases=[text, "b" + text])), Sharing()))
        assert report.title == report.entities[0].organisation.name == text
        assert report.lines[0].information.startswith(text)


def test_a_stricter_label_in_the_bundle_holds() -> None:
    report = only(map_bundle(bundle(group("a", object_marking_refs=[RED])), Sharing()))
    assert report.header.marks.tlp == marks_pb2.TLP_RED
    lenient = only(map_bundle(bundle(group("a")), Sharing(tlp=marks_pb2.TLP_AMBER)))
    assert lenient.header.marks.tlp == marks_pb2.TLP_AMBER
    granular = group("a", granular_markings=[{"marking_ref": AMBER_STRICT, "selectors": ["description"]}])
    assert only(map_bundle(bundle(granular), Sharing())).header.marks.tlp == marks_pb2.TLP_AMBER_STRICT


def test_what_a_restricted_object_brings_into_another_report_is_restricted_too() -> None:
    a, b, tool = (
        group("a"),
        group("b", object_marking_refs=[RED]),
        thing("tool", "t", object_marking_refs=[AMBER_STRICT]),
    )
    c = group("c")
    relations = (joined(a, "related-to", b), joined(a, "uses", tool), joined(a, "related-to", c))
    mapping = map_bundle(bundle(a, b, tool, c, *relations), Sharing())
    report = next(one for one in mapping.reports if one.name == "a").report
    labels = {line.information.split(".")[0]: line.marks.tlp for line in report.lines}
    assert labels["a is related to b"] == marks_pb2.TLP_RED
    assert labels["a uses the tool t"] == marks_pb2.TLP_AMBER_STRICT
    assert labels["a is related to c"] == marks_pb2.TLP_UNSPECIFIED
    assert {one.organisation.name: one.marks.tlp for one in report.entities} == {"a": 0, "b": marks_pb2.TLP_RED, "c": 0}
    assert [link.marks.tlp for link in report.links] == [marks_pb2.TLP_RED, marks_pb2.TLP_UNSPECIFIED]


def test_a_marking_that_is_not_understood_keeps_its_object_out() -> None:
    marking = {**thing("marking-definition", "odd"), "definition_type": "secrecy", "definition": {"secrecy": "much"}}
    a, b = group("a", object_marking_refs=[marking["id"]]), group("b")
    mapping = map_bundle(bundle(marking, a, b, joined(b, "related-to", a)), Sharing())
    assert [one.name for one in mapping.reports] == ["b"]
    assert {row.type for row in failed(mapping)} == {"intrusion-set", "relationship"}


def test_a_withdrawn_relationship_says_so_and_links_nothing() -> None:
    a, b = group("a"), group("b")
    mapping = map_bundle(bundle(a, b, joined(a, "related-to", b, revoked=True)), Sharing())
    report = mapping.reports[0].report
    assert not report.links
    assert report.lines[1].information.startswith("No longer asserted")


def test_a_relationship_without_its_ends_is_not_mapped() -> None:
    a, b = group("a"), group("b")
    mapping = map_bundle(bundle(a, joined(a, "related-to", b), collection()), Sharing())
    (row,) = [row for row in mapping.rows if row.type == "relationship"]
    assert row.outcome is Outcome.NOT_MAPPED
    assert "is not in the bundle" in row.detail


def test_a_dry_run_needs_neither_broker_nor_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTENTE_CONFIG", str(tmp_path / "absent.toml"))
    listed = tmp_path / "rows.csv"
    path = shared_data("attack-groups") / "ics-attack-17.1.json"
    result = CliRunner().invoke(application(), ["import", "stix", str(path), "--dry-run", "--report", str(listed)])
    assert result.exit_code == 0, result.output
    assert "Nothing was written" in result.output
    assert "Lazarus Group" in result.output
    assert len(listed.read_text().splitlines()) == 1 + 1651 + 8
