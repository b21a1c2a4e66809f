"""Exports against the fake broker: whole, resumable, complete while reports change, and verifiable offline."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk import EntenteError, ReportQuery
from entente_sdk.errors import ConfigurationError, ReceiptError
from entente_sdk.export import verify_export
from entente_tlog.receipt import LogKey
from tests.clients.conftest import Colour, Run
from tests.support.fake_broker import FakeBroker, Refuse

SEARCH = "/entente.report.v1.ReportService/SearchReports"
NEVER, NOW = 1, 4_000_000_000


def disclosed(number: int, version: int = 1, seconds: int = NEVER) -> report_pb2.DisclosedReport:
    made = report_pb2.DisclosedReport(disclosure=exchange_pb2.Disclosure(level=exchange_pb2.DISCLOSURE_LEVEL_REDACTED))
    made.report.header.record_id = f"{number:032x}"
    made.report.header.version = version
    made.report.header.update_time.seconds = seconds
    return made


class Shelf:
    """Pages by token; what changed since an export began is found by a query with a time."""

    def __init__(self, broker: FakeBroker, pages: list[list[report_pb2.DisclosedReport]]) -> None:
        self.pages, self.changed = pages, list[report_pb2.DisclosedReport]()
        self.asked: list[reports.SearchReportsRequest] = []
        broker.answers[SEARCH] = self.answer

    def answer(self, raw: bytes) -> reports.SearchReportsResponse:
        request = reports.SearchReportsRequest.FromString(raw)
        self.asked.append(request)
        if request.HasField("updated_after"):
            return reports.SearchReportsResponse(reports=self.changed)
        at = int(request.page_token or "0")
        more = str(at + 1) if at + 1 < len(self.pages) else None
        return reports.SearchReportsResponse(reports=self.pages[at], next_page_token=more)


def three_pages(broker: FakeBroker) -> Shelf:
    return Shelf(broker, [[disclosed(2 * n), disclosed(2 * n + 1)] for n in range(3)])


def keys(broker: FakeBroker) -> list[LogKey]:
    return [LogKey.parse(str(broker.signer.verifier))]


def records(path: Path) -> list[tuple[int, int]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    heads = [line["report"]["report"]["header"] for line in found if "report" in line]
    return [(int(head["record_id"], 16), int(head["version"])) for head in heads]


async def test_every_page_is_in_the_file_and_holds_offline(broker: FakeBroker, colour: Colour, tmp_path: Path) -> None:
    three_pages(broker)
    path = tmp_path / "all.jsonl"
    made = await colour.run(colour.client(broker).reports.export, path, page_size=2)
    assert (made.reports, made.pages) == (6, 3)
    assert records(path) == [(n, 1) for n in range(6)]
    assert verify_export(path, keys(broker)) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.with_name("all.jsonl.part").exists()


async def test_what_was_amended_meanwhile_is_not_lost(broker: FakeBroker, colour: Colour, tmp_path: Path) -> None:
    shelf = three_pages(broker)
    # It was on a page that was still to come, and moved to the front, past the reader.
    shelf.pages[2], shelf.changed = [disclosed(4)], [disclosed(5, version=2, seconds=NOW)]
    path = tmp_path / "all.jsonl"
    await colour.run(colour.client(broker).reports.export, path)
    assert records(path) == [*((n, 1) for n in range(5)), (5, 2)]
    assert verify_export(path, keys(broker)).pages == 4


async def test_what_is_there_already_is_not_written_twice(broker: FakeBroker, colour: Colour, tmp_path: Path) -> None:
    shelf = three_pages(broker)
    shelf.pages[0] = shelf.changed = [disclosed(0, seconds=NOW)]
    path = tmp_path / "all.jsonl"
    made = await colour.run(colour.client(broker).reports.export, path)
    assert (made.reports, made.pages) == (5, 3)
    assert shelf.asked[-1].HasField("updated_after")


async def test_one_page_is_of_one_moment(broker: FakeBroker, colour: Colour, tmp_path: Path) -> None:
    shelf = Shelf(broker, [[disclosed(1)]])
    await colour.run(colour.client(broker).reports.export, tmp_path / "one.jsonl", ReportQuery(text="lantern"))
    assert [request.text for request in shelf.asked] == ["lantern"]


async def test_what_was_cut_off_is_gone_on_with(broker: FakeBroker, colour: Colour, tmp_path: Path) -> None:
    shelf, path = three_pages(broker), tmp_path / "all.jsonl"
    broker.script[SEARCH] = [shelf.answer, shelf.answer, Refuse(grpc.StatusCode.PERMISSION_DENIED, "ROLE")]
    client = colour.client(broker)
    with pytest.raises(EntenteError):
        await colour.run(client.reports.export, path)
    part = path.with_name("all.jsonl.part")
    assert part.exists()
    assert not path.exists()
    with part.open("ab") as file:
        file.write(b'{"report": {}}\n{"report": {"torn')
    with pytest.raises(ConfigurationError, match="resume it"):
        await colour.run(client.reports.export, path)
    with pytest.raises(ConfigurationError, match="other conditions"):
        await colour.run(client.reports.export, path, ReportQuery(text="else"), resume=True)
    made = await colour.run(client.reports.export, path, resume=True)
    assert (made.reports, made.pages) == (6, 3)
    assert records(path) == [(n, 1) for n in range(6)]
    assert verify_export(path, keys(broker)) == made
    with pytest.raises(ConfigurationError, match="there already"):
        await colour.run(client.reports.export, path)


def _drop(lines: list[dict[str, Any]]) -> None:
    del lines[1]


def _alter(lines: list[dict[str, Any]]) -> None:
    lines[1]["report"]["report"]["title"] = "another"


def _drop_page(lines: list[dict[str, Any]]) -> None:
    del lines[4:7]


def _cut(lines: list[dict[str, Any]]) -> None:
    del lines[7:]


def _forge(lines: list[dict[str, Any]]) -> None:
    raw = bytearray(base64.b64decode(lines[3]["response"]))
    raw[20] ^= 1
    lines[3]["response"] = base64.b64encode(raw).decode()


def _other_method(lines: list[dict[str, Any]]) -> None:
    lines[3]["request"] = lines[6]["request"]


@pytest.mark.parametrize("tamper", [_drop, _alter, _drop_page, _cut, _forge, _other_method])
async def test_what_was_tampered_with_does_not_verify(
    broker: FakeBroker, colour: Colour, tmp_path: Path, tamper: Any
) -> None:
    three_pages(broker)
    path = tmp_path / "all.jsonl"
    await colour.run(colour.client(broker).reports.export, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    tamper(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ReceiptError):
        verify_export(path, keys(broker))


def test_the_command_exports_and_verifies(broker: FakeBroker, run: Run, tmp_path: Path) -> None:
    three_pages(broker)
    path = tmp_path / "all.jsonl"
    assert "6 reports from 3 pages" in run("report", "export", str(path), "--page-size", "2").stdout
    assert "Verified: 6 reports from 3 pages" in run("receipt", "verify", str(path)).stdout
    found = json.loads(run("receipt", "verify", str(path), "-o", "json").stdout)
    assert found == {"file": str(path), "reports": 6, "pages": 3}
    path.write_text(path.read_text().replace('"version": "1"', '"version": "2"', 1))
    assert run("receipt", "verify", str(path)).exit_code == 7
    assert run("report", "export", str(path)).exit_code == 2
