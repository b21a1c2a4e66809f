"""An outside client: `buf curl` with a client certificate and a token, from the published protos alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs.authority import Authority
from entente.report.v1 import report_service_pb2 as reports
from tests.support.exchanges import LIAISON, OFFICER, SUBMIT, submission
from tests.support.live import ROOT, LiveBroker, Party, live_broker

GET = "entente.report.v1.ReportService/GetReport"
# buf leaves with the gRPC status times eight.
NOT_FOUND, UNAUTHENTICATED = 5 << 3, 16 << 3


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    with live_broker(tmp_path_factory.mktemp("curl") / "network") as broker:
        yield broker


@pytest.fixture(scope="module")
def record_id(live: LiveBroker) -> str:
    with live.channel(OFFICER) as channel:
        raw = channel.unary_unary(SUBMIT)(submission().SerializeToString(), metadata=live.metadata(OFFICER))
    return str(reports.SubmitReportResponse.FromString(raw).record_id)


def curl(live: LiveBroker, party: Party, request: dict[str, Any], *, token: bool = True) -> Any:
    """`buf curl`. Over TLS it negotiates HTTP/2 by itself; gRPC must be asked for."""
    files = Authority.open(live.network.directory / "authority").agency(*party.agency.split("/"))
    (_, bearer) = live.metadata(party)[0]
    command = [
        str(Path(sys.executable).parent / "buf"),
        "curl",
        *("--schema", str(ROOT / "proto"), "--protocol", "grpc"),
        *("--cacert", str(files.root), "--cert", str(files.certificate), "--key", str(files.key)),
        *(("--header", f"authorization: {bearer}") if token else ()),
        *("--data", json.dumps(request)),
        f"https://{live.address}/{GET}",
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def asked(record_id: str) -> dict[str, Any]:
    return {"recordId": record_id, "justification": {"purpose": "PURPOSE_INVESTIGATION", "caseReference": "OP LANTERN"}}


def test_an_outside_client_fetches_a_report(live: LiveBroker, record_id: str) -> None:
    done = curl(live, OFFICER, asked(record_id))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    report = answer["report"]["report"]
    assert report["header"]["recordId"] == record_id
    assert report["title"] == "Courier movements 1"
    assert report["lines"][0]["provenance"]["sourceReference"] == "S-1"
    assert set(answer["receipt"]) == {"leaf", "salt", "proof"}


def test_another_agency_is_told_what_was_withheld(live: LiveBroker, record_id: str) -> None:
    """The liaison officer abroad has the title, not the source, and reads why."""
    done = curl(live, LIAISON, asked(record_id))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["report"]
    assert "sourceReference" not in json.dumps(answer["report"])
    withheld = {entry["path"]: entry["rule"] for entry in answer["disclosure"]["withheld"]}
    assert withheld["lines.provenance.source_reference"] == "source_stays"


def test_a_refusal_is_readable(live: LiveBroker) -> None:
    """The status, what to do, and the reason with the exchange id in the details."""
    done = curl(live, OFFICER, asked("0" * 32))
    assert done.returncode == NOT_FOUND
    error = json.loads(done.stderr)
    assert error["code"] == "not_found"
    (info,) = [detail for detail in error["details"] if detail["type"] == "google.rpc.ErrorInfo"]
    assert info["value"]
    assert [detail["type"] for detail in error["details"]][-1] == "entente.common.v1.Receipt"


def test_a_certificate_alone_is_not_enough(live: LiveBroker, record_id: str) -> None:
    done = curl(live, OFFICER, asked(record_id), token=False)
    assert done.returncode == UNAUTHENTICATED
    assert "authorization" in json.loads(done.stderr)["message"]
