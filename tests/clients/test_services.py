"""Every call reaches its method with what was asked, and pages are followed to their end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from entente.audit.v1 import audit_pb2
from entente.audit.v1 import audit_service_pb2 as audit
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_pb2
from entente.directory.v1 import directory_service_pb2 as directory
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk import AuditQuery, ConfigurationError, Justification, ReportQuery, parse_report
from tests.clients.conftest import Colour
from tests.support.fake_broker import FakeBroker

REPORTS = "/entente.report.v1.ReportService/"
DIRECTORY = "/entente.directory.v1.DirectoryService/"
AUDIT = "/entente.audit.v1.AuditService/"
RECORD = "ab" * 16


def paged(kind: Any, make: Any) -> Any:
    """Two pages: the request of the second must carry the first's token."""

    def answer(raw: bytes) -> Any:
        token = kind.FromString(raw).page_token
        assert token in ("", "next")
        return make(token == "")

    return answer


async def test_search_follows_pages(colour: Colour, broker: FakeBroker) -> None:
    def page(first: bool) -> reports.SearchReportsResponse:
        report = report_pb2.Report(title="one" if first else "two")
        return reports.SearchReportsResponse(
            reports=[report_pb2.DisclosedReport(report=report)], next_page_token="next" if first else None
        )

    broker.answers[REPORTS + "SearchReports"] = paged(reports.SearchReportsRequest, page)
    client = colour.client(broker, case_reference="OP LANTERN")
    query = ReportQuery(name="Ana Lime", since=datetime(2026, 1, 1, tzinfo=UTC), external_reference=("stix", "x"))
    found = client.reports.search(query, page_size=1)
    assert [one.report.title for one in await colour.all(found)] == ["one", "two"]
    assert len({page.receipt.index for page in await colour.all(found.pages())}) == 2
    await colour.run(client.close)
    request = reports.SearchReportsRequest.FromString(broker.calls[0].request)
    assert request.entity == reports.EntityQuery(kind=reports.ENTITY_KIND_NAME, value="Ana Lime")
    assert request.updated_after.ToJsonString() == "2026-01-01T00:00:00Z"
    assert request.justification.purpose == exchange_pb2.PURPOSE_INVESTIGATION
    assert request.justification.case_reference == "OP LANTERN"
    assert not request.HasField("include_retracted")


def test_a_query_has_one_entity_and_times_have_zones() -> None:
    with pytest.raises(ConfigurationError, match="not by 2"):
        ReportQuery(name="a", phone="1").to_request()
    with pytest.raises(ConfigurationError, match="time zone"):
        ReportQuery(since=datetime(2026, 1, 1)).to_request()


async def test_amend_and_retract_carry_etag_and_mask(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[REPORTS + "AmendReport"] = lambda _: reports.AmendReportResponse(version=2)
    broker.answers[REPORTS + "RetractReport"] = lambda _: reports.RetractReportResponse(version=3)
    client = colour.client(broker)
    changed = parse_report({"title": "new"})
    why = Justification("fraud")
    answer = await colour.run(client.reports.amend, RECORD, changed, etag="e1", paths=["title"], justification=why)
    assert answer.message.version == 2
    await colour.run(client.reports.retract, RECORD, etag="e2", reason="wrong person")
    await colour.run(client.close)
    amend = reports.AmendReportRequest.FromString(broker.calls[0].request)
    assert (amend.etag, list(amend.update_mask.paths), amend.report.title) == ("e1", ["title"], "new")
    assert amend.justification.purpose == exchange_pb2.PURPOSE_FRAUD
    retract = reports.RetractReportRequest.FromString(broker.calls[1].request)
    assert (retract.etag, retract.reason, retract.record_id) == ("e2", "wrong person", RECORD)


async def test_versions_directory_and_history_are_listed(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[REPORTS + "ListReportVersions"] = paged(
        reports.ListReportVersionsRequest,
        lambda first: reports.ListReportVersionsResponse(
            versions=[reports.ReportVersion()], next_page_token="next" if first else None
        ),
    )
    broker.answers[DIRECTORY + "ListAgencies"] = paged(
        directory.ListAgenciesRequest,
        lambda first: directory.ListAgenciesResponse(
            agencies=[directory_pb2.Agency(name="a/b")], next_page_token="next" if first else None
        ),
    )
    broker.answers[AUDIT + "GetRecordHistory"] = paged(
        audit.GetRecordHistoryRequest,
        lambda first: audit.GetRecordHistoryResponse(
            entries=[audit_pb2.AuditEntry(index=1)], next_page_token="next" if first else None
        ),
    )
    broker.answers[AUDIT + "SearchAuditEntries"] = paged(
        audit.SearchAuditEntriesRequest,
        lambda first: audit.SearchAuditEntriesResponse(
            entries=[audit_pb2.AuditEntry(index=1)], next_page_token="next" if first else None
        ),
    )
    client = colour.client(broker)
    assert len(await colour.all(client.reports.list_versions(RECORD))) == 2
    assert len(await colour.all(client.directory.list_agencies())) == 2
    assert len(await colour.all(client.audit.record_history(RECORD))) == 2
    assert len(await colour.all(client.audit.search(AuditQuery(purpose="fraud", outcome="denied")))) == 2
    await colour.run(client.close)
    request = audit.SearchAuditEntriesRequest.FromString(broker.calls[-1].request)
    assert (request.purpose, request.outcome) == (exchange_pb2.PURPOSE_FRAUD, "denied")


async def test_who_am_i_and_proofs_need_no_justification(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[AUDIT + "GetCheckpoint"] = lambda _: audit.GetCheckpointResponse(checkpoint="note")
    broker.answers[AUDIT + "GetInclusionProof"] = lambda _: audit.GetInclusionProofResponse(inclusion=[b"x" * 32])
    broker.answers[DIRECTORY + "GetAgency"] = lambda _: directory.GetAgencyResponse()
    client = colour.client(broker, purpose=None)
    assert (await colour.run(client.directory.who_am_i)).message.agency == "police.example/northshire"
    assert (await colour.run(client.audit.checkpoint)).message.checkpoint == "note"
    await colour.run(client.audit.inclusion_proof, 3, consistent_with_size=2)
    with pytest.raises(ConfigurationError):
        await colour.run(client.directory.get_agency, "a/b")
    await colour.run(client.directory.get_agency, "a/b", justification=Justification("administration"))
    await colour.run(client.close)
    assert broker.calls[0].token.startswith("Bearer ey")
