"""Search: a condition holds only on what the caller may see in full, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker.store.store import Store
from entente.common.v1 import entity_pb2, marks_pb2, record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import a_caller, grant_all, grant_rows
from tests.support.reports import NORTH, SOUTH, Desk, line, marks, open_store, person, report


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture(autouse=True, params=[0, 4_000], ids=["led by the index", "listed"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which rows are read must find the same."""
    monkeypatch.setattr("broker.store.counts.FEW", request.param)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


NAME = report_service_pb2.ENTITY_KIND_NAME
PHONE = report_service_pb2.ENTITY_KIND_PHONE
PLATE = report_service_pb2.ENTITY_KIND_PLATE
ACCOUNT = report_service_pb2.ENTITY_KIND_ACCOUNT


def entity(kind: int, value: str) -> report_service_pb2.EntityQuery:
    return report_service_pb2.EntityQuery(kind=kind, value=value)  # type: ignore[arg-type]


def entities() -> list[entity_pb2.Entity]:
    return [
        person("p", "Zoë O'Neill", "The Lime"),
        entity_pb2.Entity(key="o", organisation=entity_pb2.Organisation(name="Fig & Sons", aliases=["FS"])),
        entity_pb2.Entity(key="v", vehicle=entity_pb2.Vehicle(plate="ab12 cde")),
        entity_pb2.Entity(key="t", phone=entity_pb2.Phone(number="+44 (0)7700 900123")),
        entity_pb2.Entity(key="a", account=entity_pb2.Account(identifier="GB82 WEST 1234")),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "field_class"),
    [
        (NAME, "zoe o neill", "IDENTITY"),
        (NAME, "ZOË ONEILL", "IDENTITY"),
        (NAME, "the-lime", "IDENTITY"),
        (NAME, "fig sons", "IDENTITY"),
        (NAME, "fs", "IDENTITY"),
        (PLATE, "AB12CDE", "OBJECT"),
        (PHONE, "0044 7700 900-123", "CONTACT"),
        (ACCOUNT, "gb82west1234", "FINANCIAL"),
    ],
)
async def test_entities_are_found_by_normal_form_where_their_class_is_released(
    desk: Desk, kind: int, value: str, field_class: str
) -> None:
    made = await desk.submit(report(entities=entities()))
    assert desk.search(entity=entity(kind, value)) == [made.record_id]
    for grant in (
        grant_all(desk.store, without=[field_class]),
        grant_all(desk.store, part=[field_class]),
        grant_rows(desk.store, []),
    ):
        assert desk.search(grant, entity=entity(kind, value)) == []
    assert desk.search(entity=entity(kind, value + "0")) == []


async def test_a_value_of_one_kind_is_not_found_as_another(desk: Desk) -> None:
    await desk.submit(report(entities=entities()))
    assert desk.search(entity=entity(PLATE, "fs")) == []
    assert desk.search(entity=entity(ACCOUNT, "+44 7700 900123")) == []


async def test_a_class_is_tested_on_the_portion_and_on_its_container(desk: Desk) -> None:
    """The same name in an open and in a secret portion, and in a secret record's portion."""
    secret = marks("SECRET")
    open_one = await desk.submit(report("1", entities=[person("a", "Lime")]))
    mixed = await desk.submit(report("2", entities=[person("a", "Lime", marks=secret), person("b", "Fig")]))
    closed = await desk.submit(
        report("3", header=record_pb2.RecordHeader(marks=secret), entities=[person("a", "Lime")])
    )
    numbers = {one.classification: n for n, one in desk.store.mark_sets(0)}
    lime = entity(NAME, "lime")
    everything = grant_all(desk.store)
    assert desk.search(everything, entity=lime) == [closed.record_id, mixed.record_id, open_one.record_id]
    low = grant_rows(desk.store, [numbers["OFFICIAL"]])
    assert desk.search(low, entity=lime) == [open_one.record_id]
    assert desk.search(low, entity=entity(NAME, "fig")) == [mixed.record_id]
    # The rows are visible, but the class is released on the one mark set alone.
    for level, found in (("OFFICIAL", [open_one.record_id]), ("SECRET", [closed.record_id])):
        only = grant_all(desk.store, only={"IDENTITY": [numbers[level]]})
        assert desk.search(only, entity=lime) == found


async def test_all_words_must_be_in_what_the_caller_sees(desk: Desk) -> None:
    made = await desk.submit(
        report("Vans, at night", tear_line="near the quay", lines=[line("1", "The BLUE van"), line("2", "two crates")])
    )
    assert desk.search(text="blue VAN!") == [made.record_id]
    assert desk.search(text="quay crates vans") == [made.record_id]
    assert desk.search(text="blue boat") == []
    assert desk.search(text="blu") == []
    for field_class, hidden, shown in (
        ("SUMMARY", "night", "quay"),
        ("TEAR_LINE", "quay", "night"),
        ("INFORMATION", "blue", "night"),
    ):
        grant = grant_all(desk.store, without=[field_class])
        assert desk.search(grant, text=shown) == [made.record_id]
        assert desk.search(grant, text=hidden) == []
        assert desk.search(grant, text=f"{hidden} {shown}") == []


async def test_a_hidden_line_is_not_found_by_its_words(desk: Desk) -> None:
    made = await desk.submit(report("x", lines=[line("1", "open words"), line("2", "hush", marks=marks("SECRET"))]))
    numbers = {one.classification: n for n, one in desk.store.mark_sets(0)}
    low = grant_rows(desk.store, [numbers["OFFICIAL"]])
    assert desk.search(low, text="open") == [made.record_id]
    assert desk.search(low, text="hush") == []
    assert desk.search(low, text="open hush") == []


async def test_conditions_join(desk: Desk) -> None:
    one = await desk.submit(report("van", operation="Op LIME", entities=[person("a", "Ana")]))
    two = await desk.submit(report("van", entities=[person("a", "Ana")]))
    assert desk.search(text="van", entity=entity(NAME, "ana")) == [two.record_id, one.record_id]
    assert desk.search(text="van", entity=entity(NAME, "ana"), operation="op lime") == [one.record_id]
    assert desk.search(operation="oplime", originator=NORTH) == [one.record_id]
    assert desk.search(operation="oplime", originator=SOUTH) == []
    assert desk.search(grant_all(desk.store, without=["OPERATION"]), operation="oplime") == []


async def test_originator_and_time_need_the_head_released(store: Store) -> None:
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    mine = await north.submit(report())
    theirs = await south.submit(report())
    assert north.search(originator=SOUTH) == [theirs.record_id]
    assert north.search(originator="nobody") == []
    when = mine.update_time
    assert north.search(updated_after=when, originator=NORTH) == [mine.record_id]
    assert north.search(updated_before=when, originator=NORTH) == []
    later = Timestamp(seconds=when.seconds, nanos=when.nanos + 1)
    assert north.search(updated_before=later, originator=NORTH) == [mine.record_id]
    assert north.search(updated_after=later, originator=NORTH) == []
    headless = grant_all(store, without=["HEADER"])
    for conditions in ({"originator": SOUTH}, {"updated_before": later}, {"updated_after": Timestamp()}):
        assert north.search(headless, **conditions) == []
    assert len(north.search(headless)) == 2


@pytest.mark.parametrize("seconds", [-(2**63), 2**63 - 1, -62135596800, 253402300799])
async def test_times_beyond_the_calendar_do_no_harm(desk: Desk, seconds: int) -> None:
    made = await desk.submit(report())
    when = Timestamp(seconds=seconds)
    expected = [made.record_id]
    assert desk.search(updated_after=when) == (expected if seconds < 0 else [])
    assert desk.search(updated_before=when) == (expected if seconds > 0 else [])


async def test_an_external_reference_finds_ones_own_agencys_record_alone(store: Store) -> None:
    reference = record_pb2.ExternalReference(source="stix", reference="x--1")
    head = record_pb2.RecordHeader(marks=marks(), external_references=[reference])
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    made = await north.submit(report(header=head))
    assert north.search(external_reference=reference) == [made.record_id]
    assert south.search(external_reference=reference) == []
    assert north.search(grant_all(store, without=["REFERENCE"]), external_reference=reference) == []
    gone = await north.retract(made.record_id, made.etag)
    assert north.search(external_reference=reference) == []
    assert north.search(external_reference=reference, include_retracted=True) == [gone.record_id]


async def test_only_the_latest_version_is_found(desk: Desk) -> None:
    made = await desk.submit(report("first words", entities=[person("a", "Ana")]))
    key = desk.read(made.record_id).entities[0].key
    await desk.amend(made.record_id, made.etag, ["title", "entities"], report("second", entities=[person(key, "Bo")]))
    assert desk.search(text="first") == []
    assert desk.search(entity=entity(NAME, "ana")) == []
    assert desk.search(text="second", entity=entity(NAME, "bo")) == [made.record_id]


@pytest.mark.parametrize("conditions", [{"text": "?!"}, {"entity": entity(PHONE, "none")}, {"operation": "\u0301"}])
async def test_a_condition_without_a_normal_form_matches_nothing(desk: Desk, conditions: dict) -> None:
    await desk.submit(report("?!", operation="\u0301", entities=entities()))
    assert desk.search(**conditions) == []


async def test_many_words_are_no_trouble(desk: Desk) -> None:
    words = " ".join(f"w{n}" for n in range(60))
    made = await desk.submit(report("x", lines=[line("1", words)]))
    assert desk.search(text=words) == [made.record_id]
    assert desk.search(text=words + " w99") == []


async def test_nobody_else_is_a_recipient_of_an_empty_list(desk: Desk) -> None:
    marked = marks()
    marked.releasable_to.SetInParent()
    made = await desk.submit(report(header=record_pb2.RecordHeader(marks=marked)))
    (item,) = desk.get(made.record_id).items
    assert dict(desk.store.mark_sets(0))[item.mark_set].releasable_to == frozenset()
    assert report_pb2.Report.FromString(item.payload).header.marks.HasField("releasable_to")
    assert marks_pb2.Marks() != marked
