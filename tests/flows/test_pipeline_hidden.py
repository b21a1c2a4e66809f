"""Rules 7 and 8 of the pipeline: hidden is missing, and a restriction binds from the first moment."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    AMEND,
    GET,
    NATIONAL,
    OFFICER,
    REGIONAL,
    RETRACT,
    SEARCH,
    SUBMIT,
    VERSIONS,
    Follower,
    amendment,
    ask,
    getting,
    listing,
    refusal,
    retraction,
    searching,
    starting,
    submission,
)
from tests.support.house import House
from tests.support.restricted import only_for, portions, restricted, share

pytestmark = pytest.mark.asyncio(loop_scope="module")


NOBODY = "f" * 32


VOLATILE = ("exchange_id", "time_utc", "monotonic_us", "duration_us", "sealed", "request_hash", "response_hash")


async def test_hidden_and_missing_are_one_answer(place: House) -> None:
    """pipeline rule 7: byte for byte alike, but for the exchange id and the receipt, whose leaf tells no more."""
    hidden = await share(place, restricted(1))
    metadata = place.metadata(OFFICER)

    async def answers(record_id: str, etag: str) -> list[tuple[Any, ...]]:
        pinned = getting(record_id)
        pinned.version = 1
        found = []
        for path, request in (
            (GET, getting(record_id)),
            (GET, pinned),
            (VERSIONS, listing(record_id)),
            (AMEND, amendment(record_id, etag, title="mine now")),
            (RETRACT, retraction(record_id, etag)),
        ):
            refused = await refusal(place, path, request, OFFICER, metadata=metadata)
            assert refused.receipt is not None
            leaf = {key: value for key, value in refused.receipt.leaf.items() if key not in VOLATILE}
            rest = [detail.SerializeToString() for detail in refused.details[1:-1]]
            size = len(refused.details[0].SerializeToString())
            found.append((refused.status, refused.reason, refused.message, rest, size, without_salt(leaf)))
        return found

    of_hidden, of_missing = await answers(hidden.record_id, hidden.etag), await answers(NOBODY, hidden.etag)
    for one, other in zip(of_hidden, of_missing, strict=True):
        assert one[:5] == other[:5]
        assert {key for key in one[5] if one[5][key] != other[5].get(key)} == set()
        assert one[5].keys() == other[5].keys()
    assert of_hidden[0][:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def without_salt(leaf: Any) -> Any:
    """Commitments differ with each exchange's salt; their length does not."""
    if isinstance(leaf, dict):
        return {key: without_salt(value) for key, value in leaf.items()}
    if isinstance(leaf, list):
        return [without_salt(value) for value in leaf]
    return len(leaf) if isinstance(leaf, str) and len(leaf) == 43 else leaf


async def test_a_hidden_value_finds_nothing(place: House) -> None:
    """pipeline rule 7: conditions that only hidden fields meet are answered as those that nothing meets."""
    report = restricted(2)
    report.title = "zzhiddentitle"
    report.operation = "zzhiddenoperation"
    report.header.external_references.add(source="zz", reference="hidden")
    report.entities[0].person.name = "Zz Hiddenname"
    await share(place, report)
    name = reports.EntityQuery(kind=reports.ENTITY_KIND_NAME, value="Zz Hiddenname")
    for condition in (
        {"text": "zzhiddentitle"},
        {"operation": "zzhiddenoperation"},
        {"entity": name},
        {"external_reference": {"source": "zz", "reference": "hidden"}},
    ):
        mine = await ask(place, SEARCH, searching(**condition), NATIONAL)
        assert len(mine.message.reports) == 1
        theirs = await ask(place, SEARCH, searching(**condition), OFFICER)
        nothing = await ask(place, SEARCH, searching(text="zznosuchword"), OFFICER)
        assert theirs.receipt.response == nothing.receipt.response == b""


async def test_hidden_reports_make_no_page(place: House) -> None:
    """pipeline rule 7: pages, tokens and `up_to_date` count what is visible alone."""
    shown = await share(place, restricted(3, OFFICER.agency))
    for number in range(4, 8):
        await share(place, restricted(number))
    page = await ask(place, SEARCH, searching(text="Courier", page_size=1), OFFICER)
    assert [one.report.header.record_id for one in page.message.reports] == [shown.record_id]
    assert not page.message.HasField("next_page_token")


async def test_a_hidden_line_leaves_no_trace(place: House) -> None:
    """pipeline rule 7: two reports that differ in a hidden line alone are answered alike."""
    plain, longer = sample_report(8), sample_report(8)
    line = longer.lines.add(key="l3", information="zzhiddenline", marks=only_for())
    line.grading.CopyFrom(longer.lines[0].grading)
    longer.entities.add(key="e9", marks=only_for()).phone.number = "+447700900000"
    longer.links.add(key="k9", from_key="e1", to_key="e9", type=4)

    async def read(report: report_pb2.Report) -> bytes:
        taken = await share(place, report)
        answer = await ask(place, GET, getting(taken.record_id), REGIONAL)
        disclosed = answer.message.report
        disclosed.report.header.Clear()
        keys = {portion.key: f"p{n}" for n, portion in enumerate(portions(disclosed.report))}
        for portion in portions(disclosed.report):
            portion.key = keys[portion.key]
        for link in disclosed.report.links:
            link.from_key, link.to_key = keys[link.from_key], keys[link.to_key]
        assert not any(entry.portions for entry in disclosed.disclosure.withheld)
        return bytes(disclosed.SerializeToString(deterministic=True))

    assert await read(plain) == await read(longer)


async def test_there_is_no_moment_without_the_restriction(place: House) -> None:
    """pipeline rule 8: a follower who listens while restricted reports come in is never given one of them."""
    async with Follower(place, OFFICER, start=starting(from_now=True)) as follower:
        first = await follower.batch()
        await follower.acknowledge(first)
        hidden = {(await share(place, restricted(number))).record_id for number in range(20, 30)}
        shown = await share(place, restricted(30, OFFICER.agency))
        batch = await follower.batch()
        assert {change.report.report.header.record_id for change in batch.message.changes} == {shown.record_id}
    page = await ask(place, SEARCH, searching(page_size=1000), OFFICER)
    found = {one.report.header.record_id for one in page.message.reports}
    assert shown.record_id in found
    assert not hidden & found


async def test_a_containers_restriction_binds_its_contents(place: House) -> None:
    """pipeline rule 8: a portion looser than its record is refused, and one without marks has its record's."""
    stored = place.broker.store.newest_change()
    loose = restricted(31, REGIONAL.agency)
    loose.lines[0].marks.CopyFrom(only_for(REGIONAL.agency, OFFICER.agency))
    refused = await refusal(place, SUBMIT, submission(loose), NATIONAL)
    assert (refused.status, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MARKS_TOO_LOOSE")
    assert place.broker.store.newest_change() == stored
    bound = restricted(32)
    bound.lines[0].information = "zzboundline"
    await share(place, bound)
    assert not (await ask(place, SEARCH, searching(text="zzboundline"), OFFICER)).message.reports
