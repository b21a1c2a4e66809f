"""Five parties and one report: each sees its own fields, and the inspectorate proves who saw what."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from certs.network import Party
from entente.audit.v1 import audit_service_pb2 as audits
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    AMEND,
    GET,
    INSPECTOR,
    LIAISON,
    NATIONAL,
    OFFICER,
    READERS,
    REGIONAL,
    RETRACT,
    SEARCH,
    SUBMIT,
    VERSIONS,
    Follower,
    Given,
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

pytestmark = pytest.mark.asyncio(loop_scope="module")

HISTORY = "/entente.audit.v1.AuditService/GetRecordHistory"
ENTRIES = "/entente.audit.v1.AuditService/SearchAuditEntries"

# What each party has of the officer's report when it investigates.
SEES = {
    "neighbourhood": {"lines.provenance.source_reference", "lines.provenance.text", "author.name", "operation"},
    "regional": {"lines.provenance.text", "author.name", "operation"},
    "national": {"lines.provenance.text", "author.name", "operation"},
    "liaison": set(),
}
WATCHED = SEES["neighbourhood"]


def withheld(answer: Given) -> dict[str, str]:
    """Schema path -> the rule that withheld it."""
    return {entry.path: entry.rule for entry in answer.message.report.disclosure.withheld}


def has(report: report_pb2.Report, path: str) -> bool:
    """Whether something of this path was released."""
    return {
        "lines.provenance.source_reference": any(line.provenance.source_reference for line in report.lines),
        "lines.provenance.text": any(line.provenance.text for line in report.lines),
        "author.name": bool(report.author.name),
        "operation": bool(report.operation),
    }[path]


async def history(place: House, record_id: str) -> list[Any]:
    request = audits.GetRecordHistoryRequest(record_id=record_id)
    request.justification.purpose = exchange_pb2.PURPOSE_AUDIT
    return list((await ask(place, HISTORY, request, INSPECTOR)).message.entries)


async def test_five_parties_and_one_report(place: House) -> None:
    """Submitted, watched, found and fetched; each party's fields and reasons; then who saw it."""
    followers = {}
    for party in READERS:
        follower = await Follower(place, party, start=starting(from_now=True)).__aenter__()
        await follower.acknowledge(await follower.batch())
        followers[party.profile] = follower
    taken = await ask(place, SUBMIT, submission(sample_report(7)), OFFICER)
    record_id = taken.message.record_id
    exchanges: dict[str, str] = {}
    for party in READERS:
        batch = await followers[party.profile].batch()
        assert [change.report.report.header.record_id for change in batch.message.changes] == [record_id]
        followers[party.profile].call.cancel()
        found = await ask(place, SEARCH, searching(text="Courier"), party)
        assert [one.report.header.record_id for one in found.message.reports] == [record_id]
        answer = await ask(place, GET, getting(record_id), party)
        exchanges[party.profile] = answer.exchange_id
        report, reasons = answer.message.report.report, withheld(answer)
        assert report.header.originator == OFFICER.agency
        assert (report.title, report.tear_line) == ("Courier movements 7", "A courier is active in the north.")
        for path in WATCHED:
            assert has(report, path) == (path in SEES[party.profile]), (party.profile, path)
            assert (path in reasons) == (path not in SEES[party.profile]), (party.profile, path)
    await an_inspector_is_refused_the_report(place, record_id)
    await an_inspector_proves_who_saw_it(place, record_id, exchanges)


async def an_inspector_is_refused_the_report(place: House, record_id: str) -> None:
    refused = await refusal(place, GET, getting(record_id, "AUDIT"), INSPECTOR)
    assert (refused.status, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_PERMITTED")


async def an_inspector_proves_who_saw_it(place: House, record_id: str, exchanges: dict[str, str]) -> None:
    """Each reading by person and agency, with what was released to them and what was not; the leaf is the ledger's."""
    entries = await history(place, record_id)
    # A follower may be given a report before its submitter has the receipt: the intent alone comes first.
    assert [entry.user for entry in entries if entry.type == "collection"] == [OFFICER.user]
    for party in READERS:
        (entry,) = [one for one in entries if one.exchange_id == exchanges[party.profile] and one.phase == "release"]
        assert (entry.agency, entry.user, entry.outcome) == (party.agency, party.user, "allowed")
        assert entry.purpose == exchange_pb2.PURPOSE_INVESTIGATION
        (group,) = entry.disclosures
        assert {path for path in WATCHED if path in group.released} == SEES[party.profile]
        assert {one.path for one in group.withheld} & set(group.released) == set()
        assert entry.leaf == place.broker.ledger.entry(entry.index)
    methods = {(one.user, one.method.rpartition("/")[2]) for one in entries}
    for party in READERS:
        assert {(party.user, name) for name in ("GetReport", "SearchReports", "SubscribeReports")} <= methods


async def test_a_change_reaches_everybody_and_a_retraction_too(place: House) -> None:
    """Amended and retracted by its originator: a follower is told, and the content is no longer released."""
    async with Follower(place, LIAISON, start=starting(from_now=True)) as follower:
        await follower.acknowledge(await follower.batch())
        taken = (await ask(place, SUBMIT, submission(sample_report(8)), OFFICER)).message
        changed = amendment(taken.record_id, taken.etag, title="Courier seen again")
        amended = (await ask(place, AMEND, changed, OFFICER)).message
        await ask(place, RETRACT, retraction(taken.record_id, amended.etag), OFFICER)
        kinds = []
        while len(kinds) < 3:
            batch = await follower.batch()
            await follower.acknowledge(batch)
            kinds += [report_pb2.ChangeKind.Name(change.kind) for change in batch.message.changes]
            last = batch.message.changes[-1].report.report
    assert kinds[-1] == "CHANGE_KIND_RETRACTED"
    assert last.header.retraction_reason == "entered in error"
    assert not last.title
    versions = (await ask(place, VERSIONS, listing(taken.record_id), NATIONAL)).message.versions
    assert [report_pb2.ChangeKind.Name(one.kind) for one in versions] == ["CHANGE_KIND_RETRACTED"]
    entries = await history(place, taken.record_id)
    assert [entry.type for entry in entries if entry.user == OFFICER.user and entry.phase == "release"] == [
        "collection",
        "alteration",
        "erasure",
    ]


@pytest.mark.parametrize("party", [REGIONAL, NATIONAL], ids=lambda party: party.profile)
async def test_what_an_officer_did_is_found_by_name(place: House, party: Party) -> None:
    """The auditor asks for a person; every entry is theirs, and reading is itself on record."""
    await ask(place, SEARCH, searching(), party)
    request = audits.SearchAuditEntriesRequest(user=party.user, page_size=50)
    request.justification.purpose = exchange_pb2.PURPOSE_AUDIT
    found = await ask(place, ENTRIES, request, INSPECTOR)
    assert {entry.user for entry in found.message.entries} == {party.user}
    assert found.receipt.leaf["type"] == "audit-access"
    assert found.receipt.leaf["actor"]["user"] == INSPECTOR.user


async def test_an_officer_reads_no_audit(place: House) -> None:
    request = audits.SearchAuditEntriesRequest()
    request.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
    assert (await refusal(place, ENTRIES, request, OFFICER)).reason == "METHOD_NOT_PERMITTED"
