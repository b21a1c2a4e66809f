"""Requests at odds with what is there: a purpose, a record, an etag, a key, a cursor. Refused, nothing stored."""

from __future__ import annotations

import uuid

import grpc
import pytest

from entente.common.v1 import marks_pb2
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    AMEND,
    GET,
    NATIONAL,
    OFFICER,
    RETRACT,
    SEARCH,
    SUBMIT,
    VERSIONS,
    amendment,
    ask,
    getting,
    listing,
    retraction,
    searching,
    submission,
)
from tests.support.house import House
from tests.support.nothing_done import nothing_done

pytestmark = pytest.mark.asyncio(loop_scope="module")


Code = grpc.StatusCode


async def test_a_purpose_that_the_token_does_not_allow(place: House) -> None:
    refused, _ = await nothing_done(place, SEARCH, searching("BORDER_SECURITY"))
    assert (refused.status, refused.reason) == (Code.PERMISSION_DENIED, "PURPOSE_NOT_PERMITTED")


async def test_a_party_that_the_token_does_not_name(place: House) -> None:
    """A request selects whom it acts for; it can never add anybody."""
    request = searching()
    request.justification.on_behalf_of = "the.chief"
    refused, _ = await nothing_done(place, SEARCH, request)
    assert (refused.status, refused.reason) == (Code.PERMISSION_DENIED, "ON_BEHALF_NOT_PERMITTED")


async def test_an_auditor_submits_no_report(place: House) -> None:
    refused, _ = await nothing_done(place, SUBMIT, submission(), metadata=place.metadata(OFFICER, roles=("auditor",)))
    assert (refused.status, refused.reason) == (Code.PERMISSION_DENIED, "METHOD_NOT_PERMITTED")


async def test_a_record_that_is_hidden_or_missing(place: House) -> None:
    """The same answer, whichever it is and whichever method asks."""
    report = sample_report(1)
    report.header.marks.releasable_to.SetInParent()
    hidden = (await ask(place, SUBMIT, submission(report), NATIONAL)).message
    said = set()
    for record_id in (hidden.record_id, uuid.uuid4().hex):
        for path, request in (
            (GET, getting(record_id)),
            (VERSIONS, listing(record_id)),
            (AMEND, amendment(record_id, hidden.etag, title="x")),
            (RETRACT, retraction(record_id, hidden.etag)),
        ):
            refused, _ = await nothing_done(place, path, request)
            said.add((refused.status, refused.reason, refused.message))
    assert {one[:2] for one in said} == {(Code.NOT_FOUND, "NOT_FOUND")}
    assert len(said) == 1


async def test_a_stale_etag(place: House) -> None:
    first = (await ask(place, SUBMIT, submission())).message
    await ask(place, AMEND, amendment(first.record_id, first.etag, title="newer"))
    for path, request in (
        (AMEND, amendment(first.record_id, first.etag, title="lost")),
        (RETRACT, retraction(first.record_id, first.etag)),
    ):
        refused, _ = await nothing_done(place, path, request)
        assert (refused.status, refused.reason) == (Code.ABORTED, "ETAG_STALE")


async def test_a_reused_idempotency_key(place: House) -> None:
    """For each write: the key with another body is refused."""
    request = submission()
    taken = (await ask(place, SUBMIT, request)).message
    request.report.title = "something else"
    refused, _ = await nothing_done(place, SUBMIT, request)
    assert (refused.status, refused.reason) == (Code.ABORTED, "IDEMPOTENCY_KEY_REUSED")
    change = amendment(taken.record_id, taken.etag, title="newer")
    await ask(place, AMEND, change)
    change.report.title = "newest"
    refused, _ = await nothing_done(place, AMEND, change)
    assert (refused.status, refused.reason) == (Code.ABORTED, "IDEMPOTENCY_KEY_REUSED")


async def test_another_agencys_report_is_not_changed(place: House) -> None:
    taken = (await ask(place, SUBMIT, submission())).message
    for path, request in (
        (AMEND, amendment(taken.record_id, taken.etag, title="mine")),
        (RETRACT, retraction(taken.record_id, taken.etag)),
    ):
        refused, _ = await nothing_done(place, path, request, NATIONAL)
        assert (refused.status, refused.reason) == (Code.PERMISSION_DENIED, "NOT_ORIGINATOR")


async def test_a_retracted_report_stays_as_it_is(place: House) -> None:
    taken = (await ask(place, SUBMIT, submission())).message
    last = (await ask(place, RETRACT, retraction(taken.record_id, taken.etag))).message
    refused, _ = await nothing_done(place, AMEND, amendment(taken.record_id, last.etag, title="back"))
    assert (refused.status, refused.reason) == (Code.FAILED_PRECONDITION, "RECORD_RETRACTED")


async def test_an_external_reference_is_taken_once(place: House) -> None:
    report = sample_report(1)
    report.header.external_references.add(source="case-system", reference="N-1")
    await ask(place, SUBMIT, submission(report))
    refused, _ = await nothing_done(place, SUBMIT, submission(report))
    assert (refused.status, refused.reason) == (Code.ALREADY_EXISTS, "EXTERNAL_REFERENCE_EXISTS")


async def test_marks_that_are_too_loose_or_too_high(place: House) -> None:
    loose = sample_report(1)
    loose.header.marks.classification = marks_pb2.CLASSIFICATION_SECRET
    loose.lines[0].marks.classification = marks_pb2.CLASSIFICATION_OFFICIAL
    refused, _ = await nothing_done(place, SUBMIT, submission(loose))
    assert refused.reason == "MARKS_TOO_LOOSE"
    above = sample_report(1)
    above.header.marks.classification = marks_pb2.CLASSIFICATION_TOP_SECRET
    refused, _ = await nothing_done(place, SUBMIT, submission(above))
    assert refused.reason == "REQUEST_INVALID"


@pytest.mark.parametrize("token", ["nonsense", "A" * 1024])
async def test_a_cursor_that_is_not_ours(place: House, token: str) -> None:
    refused, _ = await nothing_done(place, SEARCH, searching(page_token=token))
    assert (refused.status, refused.reason) == (Code.INVALID_ARGUMENT, "CURSOR_INVALID")


async def test_a_cursor_of_another_caller_or_query(place: House) -> None:
    for number in range(3):
        await ask(place, SUBMIT, submission(sample_report(number)))
    page = await ask(place, SEARCH, searching(page_size=1))
    token = page.message.next_page_token
    assert token
    for request, party in (
        (searching(page_token=token, text="Courier"), OFFICER),
        (searching(page_token=token), NATIONAL),
    ):
        refused, _ = await nothing_done(place, SEARCH, request, party)
        assert refused.reason == "CURSOR_INVALID"


@pytest.mark.parametrize("path", ["header.originator", "no_such_field", "lines.information", "header"])
async def test_an_update_mask_that_names_what_cannot_be_changed(place: House, path: str) -> None:
    taken = (await ask(place, SUBMIT, submission())).message
    refused, _ = await nothing_done(place, AMEND, amendment(taken.record_id, taken.etag, path, title="x"))
    assert (refused.status, refused.reason) == (Code.INVALID_ARGUMENT, "UPDATE_MASK_INVALID")
