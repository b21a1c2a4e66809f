"""Disclosures: complete, disjoint, true of what left, and the same whatever the record holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.answer import Answer
from broker.domain.exchange import DisclosureGroup
from broker.domain.grant import FULL, PART
from broker.release.errors import ReleaseError
from broker.release.projector import Released, Releaser
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.canary import fill, set_paths
from tests.support.released import CLASSES, EVERYTHING, REPORT, Levels, grant, item, without

SEARCH = report_service_pb2.SearchReportsResponse
PATHS = {leaf.path for leaf in REPORT.leaves}
levels = st.dictionaries(st.sampled_from(CLASSES), st.sampled_from([FULL, PART, ""]))


def release(*marks: Levels | None, items: int = 1, portions: tuple[int, ...] = ()) -> Released:
    stored = tuple(item(report(seed), *portions) for seed in range(items))
    return Releaser().release(Answer(items=stored), SEARCH, grant(*marks))


def report(seed: int = 0) -> report_pb2.Report:
    """Two lines, two entities, one link, every field set."""
    made = report_pb2.Report.FromString(fill(report_pb2.Report, seed).message.SerializeToString())
    del made.entities[2:]
    del made.links[1:]
    return made


def disclosure(released: Released) -> exchange_pb2.Disclosure:
    return SEARCH.FromString(released.response).reports[0].disclosure


def sets(group: DisclosureGroup) -> tuple[set[str], set[str], set[str]]:
    return (
        set(group.released),
        {one.path for one in group.withheld if not one.portions},
        {one.path for one in group.transformed if not one.portions},
    )


def test_the_schema_paths_are_those_of_a_full_record() -> None:
    found = set_paths(fill(report_pb2.Report).message) | set_paths(fill(report_pb2.Report, variant=1).message)
    leaves = {path for path in found if path in PATHS}
    assert leaves == PATHS


@given(levels)
def test_released_withheld_and_generalised_are_the_whole_schema(held: Levels) -> None:
    (group,) = release(held).groups
    released, withheld, transformed = sets(group)
    assert released | withheld | transformed == PATHS
    assert len(released) + len(withheld) + len(transformed) == len(PATHS)
    assert len(group.released) + len(group.withheld) + len(group.transformed) == len(PATHS)


@given(levels)
def test_the_ledger_says_what_the_wire_says(held: Levels) -> None:
    out = release(held)
    (group,) = out.groups
    told = disclosure(out)
    assert [(one.path, one.rule) for one in told.withheld] == [(one.path, one.rule) for one in group.withheld]
    assert [one.path for one in told.generalised] == [one.path for one in group.transformed]
    assert exchange_pb2.DisclosureLevel.Name(told.level) == f"DISCLOSURE_LEVEL_{group.level.upper()}"
    present = set_paths(SEARCH.FromString(out.response).reports[0].report)
    assert not present & {one.path for one in group.withheld}


@given(levels)
def test_the_level_is_full_only_when_nothing_was_left_out(held: Levels) -> None:
    told = disclosure(release(held))
    assert (told.level == exchange_pb2.DISCLOSURE_LEVEL_FULL) == (not told.withheld and not told.generalised)


@given(levels)
def test_a_disclosure_follows_from_the_decision_not_from_presence(held: Levels) -> None:
    empty = report_pb2.Report()
    empty.header.record_id = "0" * 32
    out = Releaser().release(Answer(items=(item(empty),)), SEARCH, grant(held))
    assert disclosure(out) == disclosure(release(held))


@given(levels, levels, st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_each_portions_paths_are_told_exactly_once(general: Levels, own: Levels, marks: list[int]) -> None:
    out = release(general, own, None, portions=tuple(marks))
    answer = SEARCH.FromString(out.response).reports[0]
    told = answer.disclosure
    wide = {one.path: "withheld" for one in told.withheld if not one.portions}
    wide |= {one.path: "generalised" for one in told.generalised if not one.portions}
    narrow: dict[tuple[str, str], str] = {}
    for how, entries in (("withheld", told.withheld), ("generalised", told.generalised)):
        for one in entries:
            for key in one.portions:
                assert (one.path, key) not in narrow
                narrow[one.path, key] = how
    for field in REPORT.portions:
        for portion in getattr(answer.report, field.name):
            for path in {f"{field.name}.{inner}" for inner in set_paths(portion)} & PATHS:
                assert narrow.get((path, portion.key), wide.get(path)) in (None, "generalised")
    shown = {portion.key for field in REPORT.portions for portion in getattr(answer.report, field.name)}
    assert {key for _, key in narrow} <= shown


def test_a_reason_is_read_from_the_grant() -> None:
    told = disclosure(release(without("PROVENANCE")))
    (one,) = told.withheld
    assert (one.path, one.rule) == ("lines.provenance.text", "test.rule.provenance.0.any")
    assert one.reason == exchange_pb2.WITHHELD_REASON_ROLE


def test_what_is_withheld_for_want_of_the_full_grant_says_so() -> None:
    told = disclosure(release(without("IDENTITY", PART)))
    assert {one.rule for one in told.withheld} == {"test.rule.identity.0.full"}
    assert {one.path: one.generalisation for one in told.generalised} == {
        "entities.person.name": access_pb2.GENERALISATION_INITIALS,
        "entities.organisation.name": access_pb2.GENERALISATION_INITIALS,
        "entities.organisation.registration": access_pb2.GENERALISATION_TAIL,
    }


def test_a_class_unknown_to_policy_is_withheld_and_told() -> None:
    held = grant(EVERYTHING)
    classes = {name: granted for name, granted in held.classes.items() if name != "SOURCE"}
    partial = replace(held, classes=classes, lineage=object())
    out = Releaser().release(Answer(items=(item(report()),)), SEARCH, partial)
    assert {one.path for one in disclosure(out).withheld} == {
        "lines.provenance.source_reference",
        "lines.provenance.technique",
    }


def test_a_reason_that_the_wire_does_not_know_is_a_defect() -> None:
    for reason in ("WHIM", "UNSPECIFIED"):
        with pytest.raises(ReleaseError):
            Releaser().release(Answer(items=(item(report()),)), SEARCH, grant(without("SOURCE"), reason=reason))


def test_records_disclosed_alike_are_one_group() -> None:
    out = release(without("SOURCE"), items=5)
    (group,) = out.groups
    assert [record for record, _ in group.records] == [report(seed).header.record_id for seed in range(5)]


def test_records_disclosed_otherwise_are_apart() -> None:
    stored = (item(report(0)), item(report(1), mark_set=1), item(report(2)))
    out = Releaser().release(Answer(items=stored), SEARCH, grant(without("SOURCE"), without("LINK")))
    assert [len(group.records) for group in out.groups] == [2, 1]
    assert len({group.plan for group in out.groups}) == 2


def test_records_with_alike_deviations_are_one_group_with_all_keys() -> None:
    stored = tuple(item(report(seed), 1, 0, 0, 0, 0) for seed in range(3))
    out = Releaser().release(Answer(items=stored), SEARCH, grant(EVERYTHING, without("INFORMATION")))
    (group,) = out.groups
    (one,) = group.withheld
    assert one.portions == tuple(report(seed).lines[0].key for seed in range(3))
    assert group.level == "redacted"


def test_the_plans_name_is_the_same_everywhere() -> None:
    first, second = release(without("SOURCE")), release(without("SOURCE"))
    assert first.groups[0].plan == second.groups[0].plan
    assert first.groups[0].plan != release(without("LINK")).groups[0].plan


def test_a_grant_that_is_looser_on_a_portion_is_a_defect() -> None:
    held = grant(without("SOURCE"), EVERYTHING)
    held.view(1, 0)
    held._views[1, 0] = held.view(1, 1)
    with pytest.raises(ReleaseError):
        Releaser().release(Answer(items=(item(report(), 1, 0, 0, 0, 0),)), SEARCH, held)


def test_a_hundred_mixed_records_fit_in_a_leaf() -> None:
    """65,535 bytes hold the groups of a page of 100 with deviating lines (a commitment is 64 digits, of a key 22)."""
    stored = tuple(item(report(seed), 1, 0, 0, 0, 0, mark_set=0) for seed in range(100))
    out = Releaser().release(Answer(items=stored), SEARCH, grant(without("SOURCE"), without("INFORMATION")))
    size = 0
    for group in out.groups:
        size += 70 * len(group.records) + sum(len(path) + 3 for path in group.released)
        size += sum(len(w.path + w.field_class + w.rule + w.reason) + 16 + 25 * len(w.portions) for w in group.withheld)
        size += sum(len(one.path + one.transform) + 10 + 25 * len(one.portions) for one in group.transformed)
    assert size < 60_000
