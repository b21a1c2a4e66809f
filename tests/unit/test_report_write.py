"""Submit and retract: what is taken in, what is refused, what is left."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from broker.domain.errors import (
    AlreadyExistsError,
    BrokerError,
    ConflictError,
    DecisionError,
    HiddenError,
    PreconditionError,
    RequestError,
)
from broker.domain.grant import StaleGrantError
from broker.store.store import Store
from entente.common.v1 import marks_pb2, record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import a_caller, grant_all, grant_rows
from tests.support.reports import NORTH, SOUTH, Desk, line, link, marks, open_store, person, report


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def fields(refusal: BrokerError) -> set[str]:
    return {path for path, _ in refusal.fields}


async def test_submitted_report_comes_back_with_the_brokers_head(desk: Desk) -> None:
    made = await desk.submit(report("Vans at night", tear_line="vans"))
    (item,) = desk.get(made.record_id).items
    held = report_pb2.Report.FromString(item.payload)
    assert (held.title, held.tear_line) == ("Vans at night", "vans")
    header = held.header
    assert (header.record_id, header.version, header.etag) == (made.record_id, 1, made.etag)
    assert (header.originator, header.home_broker) == (NORTH, "broker.example")
    assert header.state == record_pb2.RECORD_STATE_ACTIVE
    assert header.update_time == made.update_time
    assert len(header.exchange_id) == 32


async def test_the_write_names_its_exchange_for_recovery(desk: Desk) -> None:
    request = report_service_pb2.SubmitReportRequest(idempotency_key=str(uuid.uuid4()), report=report())
    call = desk.call(request)
    assert not desk.store.exchange_done(call.exchange.exchange_id)
    await desk.handlers.submit_report(call)
    assert desk.store.exchange_done(call.exchange.exchange_id)


@pytest.mark.parametrize(
    "head",
    [
        {"record_id": "0" * 32},
        {"home_broker": "x"},
        {"originator": SOUTH},
        {"version": 3},
        {"etag": "x"},
        {"exchange_id": "x"},
        {"state": record_pb2.RECORD_STATE_ACTIVE},
        {"retraction_reason": "x"},
    ],
    ids=lambda head: next(iter(head)),
)
async def test_fields_that_the_broker_sets_must_be_absent(desk: Desk, head: dict) -> None:
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(header=record_pb2.RecordHeader(marks=marks(), **head)))
    assert refusal.value.reason == "REQUEST_INVALID"
    assert fields(refusal.value) == {f"report.header.{next(iter(head))}"}
    assert desk.store.newest_change() == 0


async def test_unknown_fields_are_refused_at_any_depth(desk: Desk) -> None:
    sent = report(lines=[line("l1", "x")])
    # Field 99 of the provenance, length-delimited.
    sent.lines[0].provenance.MergeFromString(b"\x9a\x06\x03abc")
    with pytest.raises(RequestError) as refusal:
        await desk.submit(sent)
    assert refusal.value.reason == "FIELD_UNKNOWN"
    assert fields(refusal.value) == {"report.lines.provenance"}


async def test_a_record_needs_classification_and_handling_code(desk: Desk) -> None:
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(header=record_pb2.RecordHeader(marks=marks_pb2.Marks(tlp=marks_pb2.TLP_RED))))
    assert fields(refusal.value) == {"report.header.marks.classification", "report.header.marks.handling_code"}


async def test_keys_are_replaced_and_links_follow(desk: Desk) -> None:
    sent = report(
        lines=[line("1", "x")],
        entities=[person("a", "Ana"), person("b", "Bo")],
        links=[link("l", "b", "a"), link("m", "a", "a")],
    )
    held = desk.read((await desk.submit(sent)).record_id)
    keys = {entity.person.name: entity.key for entity in held.entities}
    assert [(one.from_key, one.to_key) for one in held.links] == [(keys["Bo"], keys["Ana"]), (keys["Ana"], keys["Ana"])]
    every = [one.key for field in (held.lines, held.entities, held.links) for one in field]
    assert len(set(every)) == 5
    assert all(len(key) == 8 and int(key, 16) >= 0 for key in every)
    assert sent.entities[0].key == "a"


async def test_a_key_given_twice_and_a_link_without_an_end_are_refused(desk: Desk) -> None:
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(entities=[person("a", "Ana"), person("a", "Bo")]))
    assert fields(refusal.value) == {"report.entities[1].key"}
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(entities=[person("a", "Ana")], links=[link("l", "a", "z")]))
    assert fields(refusal.value) == {"report.links[0].to_key"}


async def test_portions_inherit_and_get_mark_sets_of_their_own(desk: Desk) -> None:
    secret = marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_SECRET)
    lines = [line("1", "x"), line("2", "y", marks=secret)]
    made = await desk.submit(report(lines=lines, entities=[person("a", "Ana")]))
    (item,) = desk.get(made.record_id).items
    assert item.portion_mark_sets[0] == item.portion_mark_sets[2] == item.mark_set
    strict = dict(desk.store.mark_sets(0))[item.portion_mark_sets[1]]
    assert (strict.classification, strict.handling_code) == ("SECRET", "P")


async def test_a_portion_looser_than_its_record_is_refused_by_name(desk: Desk) -> None:
    loose = marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_OFFICIAL, tlp=marks_pb2.TLP_GREEN)
    head = record_pb2.RecordHeader(marks=marks("SECRET", tlp=marks_pb2.TLP_RED))
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(header=head, entities=[person("a", "Ana"), person("b", "Bo", marks=loose)]))
    assert refusal.value.reason == "MARKS_TOO_LOOSE"
    assert fields(refusal.value) == {"report.entities[1].marks.classification", "report.entities[1].marks.tlp"}
    assert desk.store.newest_change() == 0
    assert desk.store.mark_sets(0) == []


async def test_nobody_writes_above_their_clearance_or_outside_their_compartments(store: Store) -> None:
    desk = Desk(store, a_caller(clearance="OFFICIAL"))
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(lines=[line("1", "x", marks=marks("SECRET"))]))
    assert fields(refusal.value) == {"report.lines[0].marks.classification"}
    head = record_pb2.RecordHeader(marks=marks(compartments=["op-lime", "op-foreign"]))
    with pytest.raises(RequestError) as refusal:
        await desk.submit(report(header=head))
    assert fields(refusal.value) == {"report.header.marks.compartments"}
    await desk.submit(report(header=record_pb2.RecordHeader(marks=marks(compartments=["op-lime"]))))
    with pytest.raises(RequestError):
        await Desk(store, a_caller(clearance="no such level")).submit(report())


async def test_a_stale_grant_writes_nothing(desk: Desk) -> None:
    old = grant_all(desk.store)
    await desk.submit(report())
    with pytest.raises(StaleGrantError):
        await desk.submit(report("other"), grant=old)
    assert desk.store.newest_change() == 1


# External references


def referring(reference: str, **head: object) -> report_pb2.Report:
    references = [record_pb2.ExternalReference(source="stix", reference=reference)]
    return report(header=record_pb2.RecordHeader(marks=marks(**head), external_references=references))


async def test_an_external_reference_is_unique_per_originator(store: Store) -> None:
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    first = await north.submit(referring("r1"))
    with pytest.raises(AlreadyExistsError) as refusal:
        await north.submit(referring("r1"))
    assert refusal.value.reason == "EXTERNAL_REFERENCE_EXISTS"
    assert first.record_id in str(refusal.value.fields)
    await south.submit(referring("r1"))
    await north.submit(referring("r2"))


async def test_the_holder_of_a_reference_is_named_only_to_those_who_see_it(desk: Desk) -> None:
    first = await desk.submit(referring("r1", compartments=["op-lime"]))
    blind = grant_rows(desk.store, [])
    with pytest.raises(AlreadyExistsError) as refusal:
        await desk.submit(referring("r1"), grant=blind)
    assert first.record_id not in str(refusal.value.fields) + refusal.value.message + refusal.value.detail


async def test_a_reference_given_twice_in_one_request_is_refused(desk: Desk) -> None:
    sent = referring("r1")
    sent.header.external_references.append(sent.header.external_references[0])
    with pytest.raises(RequestError) as refusal:
        await desk.submit(sent)
    assert fields(refusal.value) == {"report.header.external_references[1]"}


# Idempotency


async def test_the_same_key_and_body_give_the_same_answer_once_written(desk: Desk) -> None:
    request = report_service_pb2.SubmitReportRequest(idempotency_key=str(uuid.uuid4()), report=report())
    first = await desk.handlers.submit_report(desk.call(request))
    again = await desk.handlers.submit_report(desk.call(request))
    assert again == first
    assert desk.store.newest_change() == 1


async def test_the_same_key_with_another_body_is_refused(desk: Desk) -> None:
    key = str(uuid.uuid4())
    await desk.submit(report("one"), key=key)
    with pytest.raises(ConflictError) as refusal:
        await desk.submit(report("two"), key=key)
    assert refusal.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_is_private_to_agency_and_method(store: Store) -> None:
    key = str(uuid.uuid4())
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    made = await north.submit(report("one"), key=key)
    await south.submit(report("two"), key=key)
    request = report_service_pb2.RetractReportRequest(
        idempotency_key=key, record_id=made.record_id, etag=made.etag, reason="x"
    )
    await north.handlers.retract_report(north.call(request))


async def test_an_answer_is_not_repeated_to_one_who_may_no_longer_see_the_record(desk: Desk) -> None:
    request = report_service_pb2.SubmitReportRequest(idempotency_key=str(uuid.uuid4()), report=report())
    await desk.handlers.submit_report(desk.call(request))
    with pytest.raises(HiddenError):
        await desk.handlers.submit_report(desk.call(request, grant_rows(desk.store, [])))


async def test_a_refused_write_leaves_its_key_free(desk: Desk) -> None:
    key = str(uuid.uuid4())
    with pytest.raises(RequestError):
        await desk.submit(report(entities=[person("a", "A"), person("a", "B")]), key=key)
    await desk.submit(report(), key=key)


# Retract


async def test_a_retracted_report_keeps_its_head_and_reason_alone(desk: Desk) -> None:
    made = await desk.submit(report("a title", lines=[line("1", "text")]))
    gone = await desk.retract(made.record_id, made.etag, "it was wrong")
    assert gone.version == 2
    (item,) = desk.get(made.record_id).items
    held = report_pb2.Report.FromString(item.payload)
    assert held.header.state == record_pb2.RECORD_STATE_RETRACTED
    assert held.header.retraction_reason == "it was wrong"
    assert held.header.marks == marks()
    held.ClearField("header")
    assert held == report_pb2.Report()
    assert item.portion_mark_sets == ()


async def test_a_retracted_reports_past_is_its_originators_alone(store: Store) -> None:
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    made = await north.submit(report("a title"))
    assert south.read(made.record_id, 1).title == "a title"
    await north.retract(made.record_id, made.etag)
    assert north.read(made.record_id, 1).title == "a title"
    assert south.read(made.record_id).header.state == record_pb2.RECORD_STATE_RETRACTED
    with pytest.raises(HiddenError):
        south.get(made.record_id, 1)
    assert [item.version for item in south.versions(made.record_id).items] == [2]
    assert [item.version for item in north.versions(made.record_id).items] == [2, 1]


async def test_a_retracted_report_is_found_only_where_asked_for_and_never_by_its_content(desk: Desk) -> None:
    made = await desk.submit(report("blue van"))
    assert desk.search(text="van") == [made.record_id]
    await desk.retract(made.record_id, made.etag)
    assert desk.search() == []
    assert desk.search(include_retracted=True) == [made.record_id]
    assert desk.search(include_retracted=True, text="van") == []


async def test_writes_are_refused_in_an_order_that_tells_nothing(store: Store) -> None:
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    made = await north.submit(report())
    nobody = grant_rows(store, [])
    for write in (south.retract(made.record_id, "x", grant=nobody), north.retract("0" * 32, "x", grant=nobody)):
        with pytest.raises(HiddenError) as hidden:
            await write
        assert (hidden.value.message, hidden.value.detail) == (
            "there is no such report, or it is hidden from you",
            "",
        )
    with pytest.raises(DecisionError) as foreign:
        await south.retract(made.record_id, made.etag)
    assert foreign.value.reason == "NOT_ORIGINATOR"
    with pytest.raises(ConflictError) as stale:
        await north.retract(made.record_id, "old")
    assert stale.value.reason == "ETAG_STALE"
    gone = await north.retract(made.record_id, made.etag)
    for write in (
        north.retract(made.record_id, gone.etag),
        north.amend(made.record_id, gone.etag, ["title"], report("x")),
    ):
        with pytest.raises(PreconditionError) as retracted:
            await write
        assert retracted.value.reason == "RECORD_RETRACTED"
