"""Hostile strings in every string field: taken in and given back byte for byte, or refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from broker.handle.report.rules import BROKER_SET
from entente.audit.v1 import audit_service_pb2 as audits
from entente.common.v1 import entity_pb2, exchange_pb2, grading_pb2, marks_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from tests.support.exchanges import (
    GET,
    INSPECTOR,
    OFFICER,
    RETRACT,
    SEARCH,
    SUBMIT,
    VERSIONS,
    ask,
    getting,
    justified,
    listing,
    refusal,
    retraction,
    searching,
    submission,
)
from tests.support.hostile import Place, hostile_strings, places, put, texts
from tests.support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Not free text: the broker sets them, or they name an entity of the same report.
SKIPPED = frozenset([*(f"header.{name}" for name in BROKER_SET), "links.from_key", "links.to_key"])
PLACES = list(places(report_pb2.Report.DESCRIPTOR, SKIPPED))
AUDIT_SEARCH = "/entente.audit.v1.AuditService/SearchAuditEntries"
KINDS = [field.name for field in entity_pb2.Entity.DESCRIPTOR.oneofs_by_name["kind"].fields]


def whole_report() -> report_pb2.Report:
    """A report with a place for every string: a line, an entity of each kind, a link, a reference."""
    report = report_pb2.Report()
    report.header.marks.classification = marks_pb2.CLASSIFICATION_OFFICIAL
    report.header.marks.handling_code = marks_pb2.HANDLING_CODE_P
    report.header.external_references.add()
    grading = grading_pb2.Grading(
        grading_3x5x2=grading_pb2.Grading3x5x2(
            source=grading_pb2.SOURCE_EVALUATION_RELIABLE, assessment=grading_pb2.ASSESSMENT_CORROBORATED
        )
    )
    report.lines.add(key="l1", grading=grading)
    for number, kind in enumerate(KINDS):
        getattr(report.entities.add(key=f"e{number}"), kind).SetInParent()
    report.links.add(key="k1", from_key="e0", to_key="e1", type=entity_pb2.LINK_TYPE_USES)
    return report


def hostile_report(text: str) -> tuple[report_pb2.Report, list[Place]]:
    """A report with this text wherever it fits, and where that is."""
    report, fitting = whole_report(), [place for place in PLACES if place.takes(text)]
    for place in fitting:
        put(report, place.path, text)
    references = [place for place in fitting if place.path.startswith("header.external_references.")]
    if len(references) < 2:
        del report.header.external_references[:]
        fitting = [place for place in fitting if place not in references]
    return report, fitting


async def test_every_string_field_gives_hostile_text_back_byte_for_byte(place: House) -> None:
    """Each string in each field that it fits into; the originator reads it back by Get, and by ListVersions."""
    metadata = place.metadata(OFFICER)
    tried: dict[str, int] = {one.path: 0 for one in PLACES}
    assert len(tried) > 30
    for number, text in enumerate(hostile_strings()):
        report, fitting = hostile_report(text)
        taken = await ask(place, SUBMIT, submission(report), metadata=metadata)
        found = await ask(place, GET, getting(taken.message.record_id), metadata=metadata)
        released = found.message.report.report
        for one in fitting:
            expected = texts(report, one.path)
            assert expected, one.path
            assert [each.encode() for each in texts(released, one.path)] == [each.encode() for each in expected]
            tried[one.path] += 1
        if number % 8 == 0:
            again = await ask(place, VERSIONS, listing(taken.message.record_id), metadata=metadata)
            assert again.message.versions[0].report == found.message.report
    # A postcode holds 16 characters, and 199 of the strings are as short.
    assert min(tried.values()) > 150, tried


async def test_hostile_text_is_searched_for_and_explained(place: House) -> None:
    """As a condition, a justification or a reason it is an answer or a typed refusal, never a defect."""
    taken = await ask(place, SUBMIT, submission(whole()))
    etag, metadata = taken.message.etag, place.metadata(OFFICER)
    for number, text in enumerate(hostile_strings()):
        request = reports.SearchReportsRequest(page_size=1)
        for one in places(request.DESCRIPTOR, frozenset(("justification", "page_token"))):
            if one.path in ("text", "operation", "originator", "entity.value") and one.takes(text):
                put(request, one.path, text)
        if request.HasField("entity"):
            request.entity.kind = reports.ENTITY_KIND_NAME
        justified(request)
        for name in ("legal_basis", "case_reference", "authoriser", "reason"):
            if len(text) <= 200:
                setattr(request.justification, name, text)
        await ask(place, SEARCH, request, metadata=metadata)
        if number % 4 == 0 and 0 < len(text) <= 1024:
            cursor = await refusal(place, SEARCH, searching(page_token=text), metadata=metadata)
            assert cursor.reason == "CURSOR_INVALID"
        if number % 4 == 1 and len(text) <= 64:
            stale = await refusal(place, RETRACT, retraction(taken.message.record_id, text, "why"), metadata=metadata)
            assert stale.reason in ("ETAG_STALE", "REQUEST_INVALID")
    await ask(place, RETRACT, retraction(taken.message.record_id, etag, hostile_strings()[-1]))


async def test_an_auditor_searches_with_hostile_text(place: House) -> None:
    """No filter of the audit breaks its query, and none finds what is not there."""
    metadata = place.metadata(INSPECTOR)
    for text in hostile_strings()[::4]:
        request = audits.SearchAuditEntriesRequest(page_size=1)
        for name, longest in (("agency", 200), ("user", 256), ("method", 200), ("type", 32), ("case_reference", 200)):
            if len(text) <= longest:
                setattr(request, name, text)
        request.justification.purpose = exchange_pb2.PURPOSE_AUDIT
        answer = await ask(place, AUDIT_SEARCH, request, INSPECTOR, metadata=metadata)
        if text:
            assert not answer.message.entries


async def test_no_hostile_text_lies_in_a_leaf(place: House) -> None:
    """What callers write is committed to, never written into the ledger's leaves."""
    words = [text.encode() for text in hostile_strings() if len(text) > 12]
    leaves = b"\n".join(place.broker.ledger.entries(0, len(place.broker.ledger)))
    assert len(leaves) > 100_000
    assert [word for word in words if word in leaves and word not in EXPECTED] == []


# Our own words, which the list happens to hold or that were chosen to look like them.
EXPECTED: tuple[bytes, ...] = ()


@pytest.mark.parametrize("broken", [b"\xed\xa0\x80", b"\xff\xfe", b"\xc0\x80", b"\xf4\x90\x80\x80", b"abc\x80"])
async def test_text_that_is_not_utf8_is_malformed(place: House, broken: bytes) -> None:
    """A lone surrogate, a wrong lead byte, an overlong NUL, beyond Unicode, cut off: refused, nothing stored."""
    stored = place.broker.store.newest_change()
    request = submission(whole())
    raw = request.SerializeToString().replace(b"title-to-break", broken.ljust(14, b"x"))
    assert broken in raw
    assert (await refusal(place, SUBMIT, raw)).reason == "REQUEST_MALFORMED"
    assert place.broker.store.newest_change() == stored


def whole() -> Any:
    """A report with a title to break, and no reference."""
    report = whole_report()
    del report.header.external_references[:]
    report.title = "title-to-break"
    return report


async def test_the_caller_is_the_officer(place: House) -> None:
    """Hostile text changes nobody's identity: all entries of this file bear the caller's own."""
    users = {leaf["actor"]["user"] for leaf in place.leaves()}
    assert users == {OFFICER.user, INSPECTOR.user}
