"""`entente report` and `entente audit` against the fake broker."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
import yaml

from entente.audit.v1 import audit_pb2
from entente.audit.v1 import audit_service_pb2 as audit
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk.reports import parse_report
from entente_tlog import tiles
from entente_tlog.checkpoint import Checkpoint
from entente_tlog.merkle import Tree, leaf_hash
from tests.clients.conftest import Run
from tests.support.fake_broker import ORIGIN, FakeBroker, Refuse

REPORTS = "/entente.report.v1.ReportService/"
AUDIT = "/entente.audit.v1.AuditService/"
RECORD = "ab" * 16
FILE = "title: Lanterns\nheader: {marks: {classification: OFFICIAL, handling_code: P}}\n"


def disclosed(title: str = "Lanterns") -> report_pb2.DisclosedReport:
    report = parse_report({"title": title, "header": {"marks": {"classification": "SECRET"}}})
    report.header.record_id, report.header.etag, report.header.version = RECORD, "e7", 7
    hidden = exchange_pb2.WithheldField(
        path="lines.provenance.source_reference",
        rule="sources_stay",
        reason=exchange_pb2.WITHHELD_REASON_ORIGINATOR_ONLY,
    )
    disclosure = exchange_pb2.Disclosure(level=exchange_pb2.DISCLOSURE_LEVEL_REDACTED, withheld=[hidden])
    return report_pb2.DisclosedReport(report=report, disclosure=disclosure)


@pytest.fixture(autouse=True)
def answers(broker: FakeBroker) -> None:
    broker.answers |= {
        REPORTS + "GetReport": lambda _: reports.GetReportResponse(report=disclosed()),
        REPORTS + "SubmitReport": lambda _: reports.SubmitReportResponse(record_id=RECORD, version=1, etag="e1"),
        REPORTS + "AmendReport": lambda _: reports.AmendReportResponse(record_id=RECORD, version=8, etag="e8"),
        REPORTS + "RetractReport": lambda _: reports.RetractReportResponse(record_id=RECORD, version=9, etag="e9"),
        REPORTS + "SearchReports": lambda _: reports.SearchReportsResponse(reports=[disclosed(), disclosed("\x1b[2J")]),
        REPORTS + "ListReportVersions": lambda _: reports.ListReportVersionsResponse(
            versions=[reports.ReportVersion(kind=report_pb2.CHANGE_KIND_AMENDED, report=disclosed())]
        ),
    }


def test_get_shows_withheld_fields_in_their_place(run: Run) -> None:
    found = run("report", "get", RECORD)
    assert found.exit_code == 0
    assert "Lanterns" in found.stdout
    assert "withheld (sources_stay, originator only)" in found.stdout
    document = json.loads(run("report", "get", RECORD, "-o", "json").stdout)
    assert document["disclosure"]["withheld"][0]["rule"] == "sources_stay"
    assert document["report"]["title"] == "Lanterns"
    assert yaml.safe_load(run("report", "get", RECORD, "-o", "yaml").stdout)["disclosure"] == document["disclosure"]


def test_evidence_is_kept_and_verified_again(run: Run, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence.json"
    assert run("report", "get", RECORD, "--evidence", str(evidence)).exit_code == 0
    assert "Verified: this very answer" in run("receipt", "verify", str(evidence)).stdout
    content = json.loads(evidence.read_text())
    content["response"] = "AAAA" + content["response"]
    evidence.write_text(json.dumps(content))
    assert run("receipt", "verify", str(evidence)).exit_code == 7
    evidence.write_text("{}")
    assert run("receipt", "verify", str(evidence)).exit_code == 2


def test_submit_takes_a_file_stdin_or_options(run: Run, broker: FakeBroker, tmp_path: Path) -> None:
    path = tmp_path / "report.yaml"
    path.write_text(FILE)
    assert f"Submitted: {RECORD}" in run("report", "submit", str(path)).stdout
    assert run("report", "submit", "-", input=FILE).exit_code == 0
    made = run(
        *("report", "submit", "--title", "Lanterns", "--classification", "official", "--handling", "C:A1,S2"),
        *("--line", "seen at dawn", "--grade", "2b", "--theme", "smuggling", "--reason", "handover"),
    )
    assert made.exit_code == 0, made.stderr
    requests = [reports.SubmitReportRequest.FromString(call.request) for call in broker.calls]
    assert requests[0].report == requests[1].report
    assert requests[2].justification.reason == "handover"
    report = requests[2].report
    assert report.header.marks.handling_code == marks_pb2.HANDLING_CODE_C
    assert report.lines[0].grading.grading_3x5x2.source == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--title", "x"), 2),
        (("--title", "x", "--classification", "OFFICIAL"), 2),
        (("--line", "x", "--classification", "OFFICIAL", "--handling", "P"), 2),
        (("-", "--title", "x"), 2),
        (("nowhere.yaml",), 5),
    ],
)
def test_submit_says_what_is_missing(run: Run, broker: FakeBroker, arguments: tuple[str, ...], code: int) -> None:
    found = run("report", "submit", *arguments)
    assert found.exit_code == code
    assert found.stderr
    assert not broker.calls


def test_amend_fetches_the_etag_and_takes_the_files_fields(run: Run, broker: FakeBroker) -> None:
    assert run("report", "amend", RECORD, "-", input=FILE).exit_code == 0
    request = reports.AmendReportRequest.FromString(broker.calls[-1].request)
    assert (request.etag, list(request.update_mask.paths)) == ("e7", ["header.marks", "title"])
    assert run("report", "amend", RECORD, "-", "--mask", "title", "--etag", "e5", input=FILE).exit_code == 0
    request = reports.AmendReportRequest.FromString(broker.calls[-1].request)
    assert (request.etag, list(request.update_mask.paths)) == ("e5", ["title"])
    assert len(broker.calls) == 3


def test_retract_carries_the_reason(run: Run, broker: FakeBroker) -> None:
    assert run("report", "retract", RECORD).exit_code == 2
    assert "Retracted" in run("report", "retract", RECORD, "--reason", "wrong person").stdout
    request = reports.RetractReportRequest.FromString(broker.calls[-1].request)
    assert (request.etag, request.reason) == ("e7", "wrong person")


def test_search_and_versions_list_safely(run: Run, broker: FakeBroker) -> None:
    found = run("report", "search", "--plate", "AB12 CDE", "--since", "2026-01-31", "--originator", "a.example/b")
    assert found.exit_code == 0
    assert "\\x1b[2J" in found.stdout
    assert "\x1b" not in found.stdout
    assert "2 found. Receipts verified: 1." in found.stdout
    request = reports.SearchReportsRequest.FromString(broker.calls[-1].request)
    assert request.entity.kind == reports.ENTITY_KIND_PLATE
    assert request.updated_after.ToJsonString() == "2026-01-31T00:00:00Z"
    assert (
        json.loads(run("report", "search", "--all", "-o", "json").stdout)["reports"][1]["report"]["title"] == "\x1b[2J"
    )
    assert "amended" in run("report", "versions", RECORD).stdout


def test_watch_prints_keeps_its_place_and_resumes(run: Run, broker: FakeBroker, tmp_path: Path) -> None:
    def batch(title: str) -> reports.SubscribeReportsResponse:
        change = reports.ReportChange(kind=report_pb2.CHANGE_KIND_SUBMITTED, report=disclosed(title))
        return reports.SubscribeReportsResponse(changes=[change])

    broker.batches = [batch("one"), batch("two"), batch("three")]
    place = tmp_path / "cursor"
    first = run("report", "watch", "--count", "2", "--cursor-file", str(place))
    assert first.exit_code == 0
    assert "submitted" in first.stdout
    assert "two" in first.stdout
    assert place.read_text() == "2\n"
    second = run("report", "watch", "--count", "1", "--cursor-file", str(place), "-o", "json")
    assert json.loads(second.stdout)["report"]["report"]["title"] == "three"
    assert place.read_text() == "3\n"


def test_watch_ends_with_the_refusals_code(run: Run, broker: FakeBroker) -> None:
    broker.breaks = [(0, Refuse(grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_PERMITTED"))]
    assert run("report", "watch").exit_code == 4


def test_audit_shows_who_saw_what(run: Run, broker: FakeBroker) -> None:
    entry = audit_pb2.AuditEntry(
        index=5,
        agency="a.example/b",
        user="o.reyes",
        method="/entente.report.v1.ReportService/GetReport",
        type="denial",
        outcome="denied",
        reason="NOT_FOUND",
    )
    broker.answers[AUDIT + "GetRecordHistory"] = lambda _: audit.GetRecordHistoryResponse(entries=[entry])
    broker.answers[AUDIT + "SearchAuditEntries"] = lambda _: audit.SearchAuditEntriesResponse(
        entries=[entry], next_page_token="next", ledger_size=9, log_sizes=[audit.LogSize(log="b", size=9)]
    )
    broker.answers[AUDIT + "GetCheckpoint"] = lambda _: audit.GetCheckpointResponse(checkpoint="origin\n9\nroot\n")
    assert "denied (NOT_FOUND)" in run("audit", "who-saw", RECORD).stdout
    found = run("audit", "search", "--outcome", "denied", "--asked-for", "fraud", "--of-case", "OP X")
    assert "1 found in 9 entries; there are more: --all" in found.stdout
    request = audit.SearchAuditEntriesRequest.FromString(broker.calls[-1].request)
    assert (request.outcome, request.case_reference) == ("denied", "OP X")
    assert request.purpose == exchange_pb2.PURPOSE_FRAUD
    assert "origin" in run("audit", "checkpoint").stdout


def ledger(folder: Path, broker: FakeBroker) -> Path:
    """Two entries, as tiles."""
    entries = [b'{"exchange_id":"a","type":"admin"}', b'{"exchange_id":"b","type":"denial"}']
    tree = Tree()
    for entry in entries:
        tree.append(leaf_hash(entry))
    note = broker.signer.sign(Checkpoint(ORIGIN, 2, tree.root()).text())
    for path, content in (
        ("checkpoint", note),
        (tiles.tile_path(0, 0, 2), tree.row(0, 0, 2)),
        (tiles.tile_path(tiles.ENTRIES, 0, 2), b"".join(len(one).to_bytes(2, "big") + one for one in entries)),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_audit_verify_finds_one_flipped_byte(run: Run, broker: FakeBroker, tmp_path: Path) -> None:
    folder = ledger(tmp_path / "ledger", broker)
    good = run("audit", "verify", str(folder), "--key", str(broker.signer.verifier))
    assert good.exit_code == 0, good.output
    assert "Verified: every entry" in good.stdout
    bundle = folder / tiles.tile_path(tiles.ENTRIES, 0, 2)
    raw = bytearray(bundle.read_bytes())
    raw[-4] ^= 1
    bundle.write_bytes(bytes(raw))
    bad = run("audit", "verify", str(folder), "-o", "json")
    assert bad.exit_code == 7
    assert json.loads(bad.stdout)["first_damaged"] == 1
    assert "NOT verified" in run("audit", "verify", str(folder)).stdout
