"""Restrictions bind mark by mark: a record's its portions, and the present ones the past; and what a write refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from broker.domain.errors import RequestError
from broker.domain.marks import MarkSet, looser_than
from broker.handle.report.binding import bind_portion, bound, past_marks, tightened
from broker.handle.report.rules import (
    BROKER_SET,
    fresh_key,
    invalid,
    portion_marks,
    refuse_beyond,
    refuse_broker_set,
    refuse_loose,
    refuse_repeated_keys,
    refuse_repeated_references,
    refuse_unknown_fields,
    rekey,
    rewire,
)
from broker.handle.report.translate import mark_set, marks_message
from entente.common.v1 import entity_pb2, record_pb2
from entente.report.v1 import report_pb2, report_service_pb2

ME = "home.example/me"
BASE = MarkSet("report", ME, classification="OFFICIAL", handling_code="P")
ORDERS: dict[str, tuple[Any, ...]] = {
    "classification": ("OFFICIAL", "SECRET", "TOP_SECRET"),
    "tlp": ("", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED"),
    "reach": ("", "REDACTED", "POINTER", "SILENT", "NONE"),
    "handling_code": ("P", "C"),
}
SETS = ("markings", "handling_conditions", "europol_handling", "compartments")


@pytest.mark.parametrize("field", ORDERS)
def test_the_stricter_of_two_marks_binds(field: str) -> None:
    order = ORDERS[field]
    for one, other in product(range(len(order)), repeat=2):
        by, marks = replace(BASE, **{field: order[one]}), replace(BASE, **{field: order[other]})
        assert getattr(bound(by, marks), field) == order[max(one, other)]
        assert getattr(tightened(marks, by), field) == order[max(one, other)]


@pytest.mark.parametrize("field", SETS)
def test_members_of_both_bind(field: str) -> None:
    by, marks = replace(BASE, **{field: frozenset("ab")}), replace(BASE, **{field: frozenset("bc")})
    assert getattr(bound(by, marks), field) == frozenset("abc")


def test_recipients_of_both_remain() -> None:
    for by, own, expected in (
        (None, None, None),
        (None, frozenset("a"), frozenset("a")),
        (frozenset("a"), None, frozenset("a")),
        (frozenset("ab"), frozenset("bc"), frozenset("b")),
        (frozenset("a"), frozenset("c"), frozenset()),
        (frozenset(), None, frozenset()),
        (None, frozenset(), frozenset()),
    ):
        assert bound(replace(BASE, releasable_to=by), replace(BASE, releasable_to=own)).releasable_to == expected


def test_what_speaks_of_one_portion_alone_stays_when_it_is_bound() -> None:
    by = replace(BASE, sanitisation="SOURCE_PROTECTED", fallback="POINTER")
    found = bound(by, replace(BASE, sanitisation="TEAR_LINE", fallback="SILENT"))
    assert (found.sanitisation, found.fallback) == ("TEAR_LINE", "SILENT")


def test_the_past_is_cleared_no_wider_than_the_present() -> None:
    order = ("SOURCE_PROTECTED", "", "SANITISED", "TEAR_LINE")
    for past, present in product(range(4), repeat=2):
        found = tightened(replace(BASE, sanitisation=order[past]), replace(BASE, sanitisation=order[present]))
        assert found.sanitisation == order[min(past, present)]


def line(**marks: Any) -> report_pb2.ReportLine:
    return report_pb2.ReportLine(key="k", marks=marks_message(MarkSet("report", ME, **marks)))


def test_a_portion_that_says_nothing_looser_is_left_as_it_is() -> None:
    record = replace(BASE, tlp="GREEN")
    kept = line(tlp="AMBER")
    before = kept.SerializeToString()
    assert bind_portion(record, kept) == replace(record, tlp="AMBER")
    assert kept.SerializeToString() == before


def test_a_looser_portion_is_bound_and_says_so_itself() -> None:
    record = replace(BASE, tlp="RED", classification="SECRET")
    kept = line(tlp="GREEN", classification="OFFICIAL")
    own = bind_portion(record, kept)
    assert (own.tlp, own.classification) == ("RED", "SECRET")
    assert looser_than(record, own) == ()
    assert portion_marks(record, kept) == own


def test_a_portion_that_its_writer_cannot_see_keeps_what_it_had() -> None:
    unseen = replace(BASE, classification="TOP_SECRET", tlp="RED")
    kept = line()
    own = bind_portion(BASE, kept, unseen)
    assert own == unseen == mark_set(kept.marks, ME)
    assert bind_portion(replace(BASE, compartments=frozenset({"op"})), line(), unseen).compartments == {"op"}


def test_earlier_versions_take_on_what_binds_now_portion_by_portion() -> None:
    marks = {1: BASE, 2: replace(BASE, tlp="AMBER"), 3: replace(BASE, tlp="RED")}
    now = replace(BASE, classification="SECRET"), {"a": replace(BASE, tlp="RED")}
    found = past_marks(marks, 1, {"a": 2, "gone": 3, "b": 2}, now)
    assert found == (replace(BASE, classification="SECRET"), (replace(BASE, tlp="RED"), marks[3], marks[2]))


# What is refused


def faults(work: Any, *given: Any) -> tuple[str, tuple[tuple[str, str], ...]]:
    with pytest.raises(RequestError) as refused:
        work(*given)
    return refused.value.reason, tuple(refused.value.fields)


def test_an_unknown_field_is_named_where_it_is() -> None:
    unknown = b"\xfa\x7f\x01x"
    request = report_service_pb2.SubmitReportRequest()
    refuse_unknown_fields(request)
    request.MergeFromString(unknown)
    assert faults(refuse_unknown_fields, request) == ("FIELD_UNKNOWN", (("(request)", "unknown field"),))
    deep = report_service_pb2.SubmitReportRequest()
    deep.report.lines.add().provenance.MergeFromString(unknown)
    deep.report.header.MergeFromString(unknown)
    paths = [path for path, _ in faults(refuse_unknown_fields, deep)[1]]
    assert paths == ["report.header", "report.lines.provenance"]


@pytest.mark.parametrize("name", BROKER_SET)
def test_what_only_the_broker_sets_is_refused(name: str) -> None:
    header = record_pb2.RecordHeader()
    refuse_broker_set(header)
    field = record_pb2.RecordHeader.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None:
        getattr(header, name).SetInParent()
    else:
        setattr(header, name, 1 if field.cpp_type not in (field.CPPTYPE_STRING,) else "x")
    assert faults(refuse_broker_set, header) == (
        "REQUEST_INVALID",
        ((f"report.header.{name}", "the broker sets it; leave it out"),),
    )


def test_the_broker_sets_all_of_the_head_but_what_its_owner_says() -> None:
    own = {field.name for field in record_pb2.RecordHeader.DESCRIPTOR.fields} - set(BROKER_SET)
    assert own == {"marks", "external_references", "review_date", "derived_from"}


def test_each_loose_mark_is_named_by_its_path() -> None:
    record = replace(BASE, tlp="RED", classification="SECRET")
    refuse_loose(record, [("report.lines[0]", record)])
    marked = [("report.lines[0]", record), ("report.lines[1]", replace(BASE, tlp="AMBER"))]
    reason, named = faults(refuse_loose, record, marked)
    assert reason == "MARKS_TOO_LOOSE"
    assert named == (
        ("report.lines[1].marks.classification", "looser than the record's"),
        ("report.lines[1].marks.tlp", "looser than the record's"),
    )


@pytest.mark.parametrize(
    ("clearance", "highest"), [("OFFICIAL", 0), ("SECRET", 1), ("TOP_SECRET", 2), ("", -1), ("COSMIC", -1)]
)
def test_nobody_writes_above_their_clearance(clearance: str, highest: int) -> None:
    for place, classification in enumerate(ORDERS["classification"]):
        marked = [("report", replace(BASE, classification=classification))]
        if place <= highest:
            refuse_beyond(clearance, frozenset(), marked)
        else:
            assert faults(refuse_beyond, clearance, frozenset(), marked)[1] == (
                ("report.marks.classification", "above your clearance"),
            )


def test_nobody_writes_into_a_compartment_of_others() -> None:
    marked = [("report", replace(BASE, compartments=frozenset("ab")))]
    refuse_beyond("SECRET", frozenset("abc"), marked)
    refuse_beyond("SECRET", frozenset("ab"), marked)
    for members in ("", "a", "ac"):
        assert faults(refuse_beyond, "SECRET", frozenset(members), marked)[1] == (
            ("report.marks.compartments", "your agency is not a member of each"),
        )


def test_a_reference_is_given_once() -> None:
    def one(source: str, reference: str) -> record_pb2.ExternalReference:
        return record_pb2.ExternalReference(source=source, reference=reference)

    refuse_repeated_references([one("s", "1"), one("s", "2"), one("t", "1")])
    named = faults(refuse_repeated_references, [one("s", "1"), one("t", "1"), one("s", "1")])
    assert named == ("REQUEST_INVALID", (("report.header.external_references[2]", "given twice"),))


def test_a_key_is_one_portions_of_its_field() -> None:
    report = report_pb2.Report()
    report.lines.add(key="a")
    report.entities.add(key="a")
    refuse_repeated_keys(report)
    report.lines.add(key="a")
    assert faults(refuse_repeated_keys, report)[1] == (("report.lines[1].key", "another portion has this key"),)


def test_keys_become_random_and_links_follow() -> None:
    report = report_pb2.Report()
    report.lines.add(key="x")
    for key in ("a", "b"):
        report.entities.add(key=key)
    report.links.add(key="l", from_key="a", to_key="b")
    rekey(report)
    keys = [one.key for one in (*report.lines, *report.entities, *report.links)]
    assert len(set(keys)) == 4
    assert all(len(key) == 8 and int(key, 16) >= 0 for key in keys)
    assert (report.links[0].from_key, report.links[0].to_key) == tuple(keys[1:3])
    twice = report_pb2.Report(lines=[report_pb2.ReportLine(key="a"), report_pb2.ReportLine(key="a")])
    assert faults(rekey, twice)[0] == "REQUEST_INVALID"


def test_a_link_has_both_ends_among_the_entities() -> None:
    links = [entity_pb2.Link(from_key="a", to_key="z"), entity_pb2.Link(from_key="y", to_key="a")]
    assert faults(rewire, links, {"a": "1"})[1] == (
        ("report.links[0].to_key", "no entity of the report has this key"),
        ("report.links[1].from_key", "no entity of the report has this key"),
    )
    assert (links[0].from_key, links[1].to_key) == ("1", "1")


def test_a_fresh_key_is_not_taken_and_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter(["00000001", "00000001", "00000002"])
    monkeypatch.setattr("broker.handle.report.rules.secrets.token_hex", lambda size: next(given) if size == 4 else "")
    taken = {"00000001"}
    assert (fresh_key(taken), taken) == ("00000002", {"00000001", "00000002"})


def test_no_fault_is_no_refusal() -> None:
    invalid(())
    assert faults(invalid, [("a", "b")]) == ("REQUEST_INVALID", (("a", "b"),))
