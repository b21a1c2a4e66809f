"""Amend: what its caller cannot read stays, and cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.domain.errors import AlreadyExistsError, BrokerError, ConflictError, RequestError
from broker.domain.grant import Grant
from broker.store.store import Store
from entente.common.v1 import date_pb2, marks_pb2, record_pb2
from entente.report.v1 import report_pb2
from tests.support.grants import grant_all, grant_rows
from tests.support.reports import Desk, line, link, marks, open_store, person, report


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


def low(store: Store) -> Grant:
    """Sees what is OFFICIAL."""
    return grant_rows(store, [n for n, one in store.mark_sets(0) if one.classification == "OFFICIAL"])


async def test_named_paths_change_and_the_others_stay(desk: Desk) -> None:
    made = await desk.submit(report("one", tear_line="tear", themes=["a", "b"], operation="lime"))
    period = date_pb2.DateRange(start=date_pb2.PartialDate(year=2024))
    sent = report("two", tear_line="ignored", themes=["c"], period=period)
    amended = await desk.amend(made.record_id, made.etag, ["title", "themes", "operation", "period"], sent)
    held = desk.read(made.record_id)
    assert (held.title, held.tear_line, list(held.themes), held.period) == ("two", "tear", ["c"], period)
    assert not held.HasField("operation")
    assert (held.header.version, held.header.etag) == (2, amended.etag) == (amended.version, held.header.etag)
    assert held.header.create_time == desk.read(made.record_id, 1).header.create_time
    assert held.header.marks == marks()


async def test_a_stale_etag_changes_nothing(desk: Desk) -> None:
    made = await desk.submit(report("one"))
    await desk.amend(made.record_id, made.etag, ["title"], report("two"))
    with pytest.raises(ConflictError) as refusal:
        await desk.amend(made.record_id, made.etag, ["title"], report("three"))
    assert refusal.value.reason == "ETAG_STALE"
    assert desk.read(made.record_id).title == "two"


@pytest.mark.parametrize(
    "path", ["header", "header.version", "header.etag", "nothing", "*", "", "lines.information", "Title"]
)
async def test_paths_that_cannot_be_amended_are_refused(desk: Desk, path: str) -> None:
    made = await desk.submit(report())
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, made.etag, ["title", path], report("x"))
    assert refusal.value.reason == "UPDATE_MASK_INVALID"
    assert fields(refusal.value) == {"update_mask.paths[1]"}
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, made.etag, [], report("x"))
    assert fields(refusal.value) == {"update_mask"}


@pytest.mark.parametrize(
    ("path", "field_class"),
    [
        ("title", "SUMMARY"),
        ("internal_notes", "INTERNAL"),
        ("author", "OFFICER"),
        ("header.marks", "MARKING"),
        ("header.external_references", "REFERENCE"),
    ],
)
async def test_what_cannot_be_read_in_full_cannot_be_written(desk: Desk, path: str, field_class: str) -> None:
    made = await desk.submit(report())
    for grant in (grant_all(desk.store, without=[field_class]), grant_all(desk.store, part=[field_class])):
        with pytest.raises(RequestError) as refusal:
            await desk.amend(made.record_id, made.etag, [path], report("x"), grant=grant)
        assert refusal.value.reason == "UPDATE_MASK_INVALID"
    assert desk.read(made.record_id).header.version == 1


async def test_portions_are_updated_by_key_added_with_a_fresh_one_and_removed(desk: Desk) -> None:
    made = await desk.submit(report(lines=[line("1", "a"), line("2", "b"), line("3", "c")]))
    first, second, _ = desk.read(made.record_id).lines
    second.information = "B"
    await desk.amend(made.record_id, made.etag, ["lines"], report(lines=[second, line("new", "d"), first]))
    held = desk.read(made.record_id).lines
    assert [one.information for one in held] == ["B", "d", "a"]
    assert (held[0].key, held[2].key) == (second.key, first.key)
    assert len(held[1].key) == 8
    assert held[1].key != "new"


async def test_hidden_portions_stay_and_cannot_be_overwritten(desk: Desk) -> None:
    secret = marks("SECRET")
    made = await desk.submit(
        report(
            lines=[line("1", "open"), line("2", "hush", marks=secret)],
            entities=[person("a", "Ana"), person("b", "Bo", marks=secret)],
            links=[link("l", "a", "b"), link("m", "a", "a")],
        )
    )
    before = desk.read(made.record_id)
    hidden_line, hidden_person = before.lines[1], before.entities[1]
    ana = before.entities[0]
    ana.person.name = "Anna"
    sent = report(
        lines=[line(hidden_line.key, "overwritten?")],
        entities=[ana, person(hidden_person.key, "Eve")],
        links=[link("n", ana.key, hidden_person.key)],
    )
    sent.lines.append(before.lines[0])
    await desk.amend(made.record_id, made.etag, ["lines", "entities", "links"], sent, grant=low(desk.store))
    after = desk.read(made.record_id)
    lines = {one.key: one.information for one in after.lines}
    assert lines[hidden_line.key] == "hush"
    assert sorted(lines.values()) == ["hush", "open", "overwritten?"]
    people = {one.person.name: one.key for one in after.entities}
    assert people["Bo"] == hidden_person.key
    assert people["Anna"] == ana.key
    assert people["Eve"] not in (hidden_person.key, ana.key)
    ends = {(one.from_key, one.to_key) for one in after.links}
    # The link to the hidden person stays; the visible one is gone; the new one goes to the new person.
    assert ends == {(ana.key, hidden_person.key), (ana.key, people["Eve"])}
    (item,) = desk.get(made.record_id).items
    levels = dict(desk.store.mark_sets(0))
    by_key = dict(
        zip([*(o.key for o in after.lines), *(o.key for o in after.entities)], item.portion_mark_sets, strict=False)
    )
    assert levels[by_key[hidden_line.key]].classification == "SECRET"
    assert levels[by_key[people["Eve"]]].classification == "OFFICIAL"


async def test_a_hidden_key_answers_like_an_unknown_one(desk: Desk) -> None:
    made = await desk.submit(report(entities=[person("a", "Ana"), person("b", "Bo", marks=marks("SECRET"))]))
    ana, hidden = desk.read(made.record_id).entities
    refusals = []
    for end in (hidden.key, "unknown"):
        with pytest.raises(RequestError) as refusal:
            await desk.amend(
                made.record_id, made.etag, ["links"], report(links=[link("l", ana.key, end)]), grant=low(desk.store)
            )
        refusals.append((refusal.value.reason, refusal.value.message, refusal.value.fields, refusal.value.detail))
    assert refusals[0] == refusals[1]


async def test_withheld_fields_of_a_visible_portion_stay(desk: Desk) -> None:
    sent = report(lines=[line("1", "a")])
    sent.lines[0].provenance.text = "overheard"
    sent.lines[0].provenance.source_reference = "S-1"
    made = await desk.submit(sent)
    grant = grant_all(desk.store, without=["SOURCE"])
    (held,) = desk.read(made.record_id).lines
    change = line(held.key, "b")
    amended = await desk.amend(made.record_id, made.etag, ["lines"], report(lines=[change]), grant=grant)
    (after,) = desk.read(made.record_id).lines
    assert after.information == "b"
    assert after.provenance.source_reference == "S-1"
    assert not after.provenance.HasField("text")
    change.provenance.source_reference = "S-2"
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, amended.etag, ["lines"], report(lines=[change]), grant=grant)
    assert fields(refusal.value) == {"report.lines[0].provenance.source_reference"}
    assert refusal.value.reason == "UPDATE_MASK_INVALID"


async def test_removal_follows_from_schema_and_grant_not_from_presence(desk: Desk) -> None:
    """A line without a source is refused like one with it: the refusal does not tell which it was."""
    for source in (False, True):
        sent = report(lines=[line("1", "a")])
        if source:
            sent.lines[0].provenance.source_reference = "S-1"
        made = await desk.submit(sent)
        grant = grant_all(desk.store, without=["SOURCE"])
        with pytest.raises(RequestError) as refusal:
            await desk.amend(made.record_id, made.etag, ["lines"], report(), grant=grant)
        assert refusal.value.fields == (("report.lines", "one that would go holds what you cannot read; keep it"),)
        await desk.amend(made.record_id, made.etag, ["lines"], report())


async def test_an_entity_of_which_not_all_is_read_keeps_its_kind(desk: Desk) -> None:
    made = await desk.submit(report(entities=[person("a", "Ana")]))
    (ana,) = desk.read(made.record_id).entities
    changed = person(ana.key, "x")
    changed.organisation.name = "Ana Ltd"
    with pytest.raises(RequestError) as refusal:
        await desk.amend(
            made.record_id,
            made.etag,
            ["entities"],
            report(entities=[changed]),
            grant=grant_all(desk.store, without=["BIOGRAPHIC"]),
        )
    assert fields(refusal.value) == {"report.entities[0].person"}
    await desk.amend(made.record_id, made.etag, ["entities"], report(entities=[changed]))
    (after,) = desk.read(made.record_id).entities
    assert after.organisation.name == "Ana Ltd"


async def test_an_entity_that_a_link_names_does_not_go_alone(desk: Desk) -> None:
    made = await desk.submit(report(entities=[person("a", "A"), person("b", "B")], links=[link("l", "a", "b")]))
    ana = desk.read(made.record_id).entities[0]
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, made.etag, ["entities"], report(entities=[ana]))
    assert fields(refusal.value) == {"report.entities"}
    await desk.amend(made.record_id, made.etag, ["entities", "links"], report(entities=[ana]))
    assert len(desk.read(made.record_id).links) == 0


# Marks


async def test_a_tightened_record_binds_portions_that_were_not_sent(desk: Desk) -> None:
    looser = marks_pb2.Marks(classification=marks_pb2.CLASSIFICATION_OFFICIAL, tlp=marks_pb2.TLP_AMBER)
    made = await desk.submit(report(lines=[line("1", "x", marks=looser), line("2", "y")]))
    sent = report(header=record_pb2.RecordHeader(marks=marks("SECRET", tlp=marks_pb2.TLP_GREEN)))
    await desk.amend(made.record_id, made.etag, ["header.marks"], sent)
    (item,) = desk.get(made.record_id).items
    levels = dict(desk.store.mark_sets(0))
    assert [levels[n].classification for n in (item.mark_set, *item.portion_mark_sets)] == ["SECRET"] * 3
    assert [levels[n].tlp for n in item.portion_mark_sets] == ["AMBER", "GREEN"]
    shown = desk.read(made.record_id).lines
    assert shown[0].marks.classification == marks_pb2.CLASSIFICATION_SECRET
    assert not shown[1].HasField("marks")


async def test_sent_marks_are_checked_like_submitted_ones(desk: Desk) -> None:
    made = await desk.submit(report(header=record_pb2.RecordHeader(marks=marks("SECRET"))))
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, made.etag, ["lines"], report(lines=[line("1", "x", marks=marks())]))
    assert refusal.value.reason == "MARKS_TOO_LOOSE"
    assert fields(refusal.value) == {"report.lines[0].marks.classification"}
    foreign = report(header=record_pb2.RecordHeader(marks=marks("SECRET", compartments=["op-foreign"])))
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, made.etag, ["header.marks"], foreign)
    assert fields(refusal.value) == {"report.header.marks.compartments"}
    with pytest.raises(RequestError) as refusal:
        await desk.amend(made.record_id, made.etag, ["header.marks"], report_pb2.Report())
    assert fields(refusal.value) == {"report.header.marks.classification", "report.header.marks.handling_code"}


async def test_references_move_with_amendments(desk: Desk) -> None:
    def head(*names: str) -> report_pb2.Report:
        references = [record_pb2.ExternalReference(source="s", reference=name) for name in names]
        return report(header=record_pb2.RecordHeader(marks=marks(), external_references=references))

    one, two = await desk.submit(head("a")), await desk.submit(head("b"))
    with pytest.raises(AlreadyExistsError):
        await desk.amend(one.record_id, one.etag, ["header.external_references"], head("a", "b"))
    amended = await desk.amend(one.record_id, one.etag, ["header.external_references"], head("a", "c"))
    await desk.amend(one.record_id, amended.etag, ["header.external_references"], head("c"))
    await desk.amend(two.record_id, two.etag, ["header.external_references"], head("a"))
    assert desk.search(external_reference=record_pb2.ExternalReference(source="s", reference="a")) == [two.record_id]
