"""Silent hits and pointers, from outside: who looked learns nothing, whose record it is learns who looked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from certs.network import Party
from entente.audit.v1 import audit_service_pb2 as audit
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.report.v1 import hit_service_pb2, report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_tlog.receipt import parse_receipt, split_receipt
from tests.bench.seed import report as sample_report
from tests.support.engines import AnsweringEngine
from tests.support.exchanges import (
    GET,
    LIAISON,
    NATIONAL,
    OFFICER,
    REGIONAL,
    SEARCH,
    SUBMIT,
    VERSIONS,
    Follower,
    Remote,
    amendment,
    ask,
    getting,
    listing,
    refusal,
    searching,
    submission,
)
from tests.support.house import House, house, reason_of, refusal_details, submitted
from tests.support.live import live_broker
from tests.support.workers import remote_to_each

HITS = "/entente.report.v1.HitService/ListHits"
AUDIT = "/entente.audit.v1.AuditService/"
NAME, PHONE = reports.ENTITY_KIND_NAME, reports.ENTITY_KIND_PHONE
QUINCE = reports.EntityQuery(kind=NAME, value="Zed Quince")


def asking(**conditions: Any) -> hit_service_pb2.ListHitsRequest:
    why = exchange_pb2.Justification(purpose=exchange_pb2.PURPOSE_INVESTIGATION)
    return hit_service_pb2.ListHitsRequest(justification=why, **conditions)


def about(
    *, reach: marks_pb2.Reach.ValueType = marks_pb2.REACH_UNSPECIFIED, **own: Any
) -> Callable[[report_pb2.Report], None]:
    """Make the sample report one about Zed Quince, under these marks."""

    def change(report: report_pb2.Report) -> None:
        report.entities[0].person.name = "Zed Quince"
        report.title = "Heron at the weir"
        report.operation = "HERON"
        marks = marks_pb2.Marks(reach=reach or None, **own)
        report.header.marks.MergeFrom(marks)

    return change


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


# What each answer has anew: who asked when under which id, fresh salts, and where in the ledger it is.
ANEW = (
    "exchange_id time_utc monotonic_us duration_us sealed request_hash response_hash actor address purpose records"
).split()


@dataclass
class Said:
    """Everything that a looker was answered, and how large its entries are."""

    answers: list[tuple[object, ...]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    looks: int = 0

    def add(self, place: House, body: object, receipt: bytes) -> None:
        leaf = parse_receipt(receipt).leaf
        content = json.loads(leaf)
        exchange = content["exchange_id"]
        content.get("policy", {}).pop("decision_id", None)
        for group in content.get("disclosures", ()):
            group["records"] = len(group["records"])
        kept = {name: value for name, value in content.items() if name not in ANEW}
        self.answers.append((body, json.dumps(kept, sort_keys=True)))
        entries = place.broker.ledger.entries(0, len(place.broker.ledger))
        index = next(number for number, one in enumerate(entries) if exchange.encode() in one)
        # How long a call took is written with as many digits as it needs.
        digits = sum(len(str(content[name])) for name in ("monotonic_us", "duration_us", "address"))
        self.sizes.append((len(leaf) - digits, len(place.broker.ledger.sealed(index))))


async def everything_asked(place: House, looker: Party, record_id: str) -> Said:
    """All that can be asked of reports, of one that is not seen and beside those that are."""
    said = Said()
    searches: Sequence[dict[str, Any]] = (
        {"entity": QUINCE},
        {"entity": QUINCE, "page_size": 1},
        {"entity": reports.EntityQuery(kind=PHONE, value="+447700900007")},
        {"text": "heron weir"},
        {"text": "heron", "entity": QUINCE, "operation": "heron"},
        {"operation": "HERON"},
        {"originator": OFFICER.agency, "page_size": 2},
        {},
    )
    for conditions in searches:
        token: str | None = None
        while True:
            request = searching(**conditions, page_token=token)
            raw = await place.unary(SEARCH, request.SerializeToString(), looker)
            body, receipt = split_receipt(raw)
            message = reports.SearchReportsResponse.FromString(body)
            token = message.next_page_token or None
            # Sealed anew each time, under a nonce.
            message.next_page_token = str(len(message.next_page_token))
            said.add(place, message.SerializeToString(), receipt)
            said.looks += not {"entity", "text", "operation"}.isdisjoint(conditions)
            if token is None:
                break
    reads: Sequence[tuple[str, Message]] = (
        (GET, getting(record_id)),
        (GET, reports.GetReportRequest(justification=getting(record_id).justification, record_id=record_id, version=1)),
        (VERSIONS, listing(record_id)),
    )
    for path, request in reads:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await place.unary(path, request.SerializeToString(), looker)
        receipt = next(d for d in refusal_details(refused.value) if isinstance(d, exchange_pb2.Receipt))
        body = (refused.value.code(), refused.value.details(), reason_of(refused.value).reason)
        said.add(place, body, receipt.SerializeToString())
        said.looks += 1
    async with Follower(place, looker) as stream:
        said.answers.append(tuple(str(change) for change in await stream.all()))
    heard = await ask(place, HITS, asking(), looker)
    assert not heard.message.hits
    return said


@pytest.mark.parametrize("looker", [LIAISON, REGIONAL], ids=["abroad", "partner"])
async def test_nothing_that_who_looks_receives_tells_of_a_hit(place: House, looker: Party) -> None:
    """One database: a report about somebody reaches nobody, then nobody silently, then nobody again. All that is asked
    meanwhile is answered with the same bytes; its entries, sealed parts included, are as large."""
    for number in range(3):
        await submitted(place, OFFICER, number, about())
    made = await submitted(place, OFFICER, 7, about(reach=marks_pb2.REACH_NONE))
    told, spoken, etag = [], [], made.etag
    for reach in (None, marks_pb2.REACH_SILENT, marks_pb2.REACH_NONE):
        if reach is not None:
            changed = sample_report(7)
            about(reach=reach)(changed)
            request = amendment(made.record_id, etag, "header.marks", header=changed.header)
            etag = (await ask(place, "/entente.report.v1.ReportService/AmendReport", request, OFFICER)).message.etag
        spoken.append(await everything_asked(place, looker, made.record_id))
        told.append(len((await ask(place, HITS, asking(page_size=1000), OFFICER)).message.hits))
    assert spoken[0].answers == spoken[1].answers == spoken[2].answers
    assert spoken[0].sizes == spoken[1].sizes == spoken[2].sizes
    assert told == [0, spoken[1].looks, spoken[1].looks], "worlds without a hit prove nothing"


async def test_the_originators_people_are_told_who_looked(place: House) -> None:
    secret = {"classification": marks_pb2.CLASSIFICATION_SECRET, "fallback": marks_pb2.FALLBACK_SILENT}
    hidden = await submitted(place, NATIONAL, 1, about(releasable_to=marks_pb2.ReleasableTo(), **secret))
    exchanges = []
    for looker in (LIAISON, REGIONAL, OFFICER):
        exchanges.append((await ask(place, SEARCH, searching(entity=QUINCE), looker)).exchange_id)
    exchanges.append((await refusal(place, GET, getting(hidden.record_id), LIAISON)).exchange_id)
    found = (await ask(place, HITS, asking(), NATIONAL)).message.hits
    assert [one.exchange_id for one in found] == exchanges[::-1]
    assert [one.agency for one in found] == [one.agency for one in (LIAISON, OFFICER, REGIONAL, LIAISON)]
    assert {tuple(one.record_ids) for one in found} == {(hidden.record_id,)}
    assert {one.purpose for one in found} == {exchange_pb2.PURPOSE_INVESTIGATION}
    # Nothing of what was asked, nor by whom.
    assert {field.name for one in found for field, _ in one.ListFields()} == {
        "record_ids",
        "look_time",
        "agency",
        "contact",
        "purpose",
        "exchange_id",
    }
    # A colleague who may not see the report is not told that somebody looked for it; neither is who looked.
    low = place.metadata(NATIONAL, clearance="OFFICIAL")
    assert not (await ask(place, HITS, asking(), NATIONAL, metadata=low)).message.hits
    for looker in (LIAISON, REGIONAL, OFFICER):
        assert not (await ask(place, HITS, asking(), looker)).message.hits
        assert not (await ask(place, HITS, asking(record_id=hidden.record_id), looker)).message.hits
    for party, expected in ((NATIONAL, {hidden.record_id}), (LIAISON, set())):
        assert await heard_by_auditor(place, party) == expected


async def heard_by_auditor(place: House, party: Party) -> set[str]:
    """Records that the audit log says were hit silently, to this agency's auditor."""
    auditor = place.metadata(party, roles=("auditor",), purposes=("AUDIT",))
    why = exchange_pb2.Justification(purpose=exchange_pb2.PURPOSE_AUDIT)
    request = audit.SearchAuditEntriesRequest(justification=why)
    page = await ask(place, AUDIT + "SearchAuditEntries", request, party, metadata=auditor)
    assert page.message.entries
    return {one for entry in page.message.entries for one in entry.silent_hits}


async def test_roles_that_read_no_report_are_told_nothing(place: House) -> None:
    for roles, purpose in ((("administrator",), "ADMINISTRATION"), (("auditor",), "AUDIT")):
        metadata = place.metadata(OFFICER, roles=roles, purposes=(purpose,))
        request = asking()
        request.justification.purpose = exchange_pb2.Purpose.Value(f"PURPOSE_{purpose}")
        refused = await refusal(place, HITS, request, OFFICER, metadata=metadata)
        assert refused.reason in ("METHOD_NOT_PERMITTED", "PURPOSE_NOT_PERMITTED")


async def test_a_search_points_at_what_its_originator_points_at(place: House) -> None:
    """And its pointer says whom to ask; the stream and the versions say nothing of it."""
    pointed = await submitted(place, OFFICER, 1, about(reach=marks_pb2.REACH_POINTER, tlp=marks_pb2.TLP_GREEN))
    found = (await ask(place, SEARCH, searching(entity=QUINCE), LIAISON)).message
    (only,) = found.reports
    assert only.WhichOneof("content") == "pointer"
    assert only.disclosure.level == exchange_pb2.DISCLOSURE_LEVEL_POINTER
    assert (only.pointer.record_id, only.pointer.originator) == (pointed.record_id, OFFICER.agency)
    assert (await ask(place, GET, getting(pointed.record_id), LIAISON)).message.report == only
    assert not (await ask(place, SEARCH, searching(entity=QUINCE, text="heron"), LIAISON)).message.reports
    async with Follower(place, LIAISON) as stream:
        assert not await stream.all()
    assert (await refusal(place, VERSIONS, listing(pointed.record_id), LIAISON)).reason == "NOT_FOUND"


async def test_what_a_broken_decision_shows_is_stopped_at_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine allows everything, and the ceiling over it holds nothing: the second one reads what the records say."""

    class NoCeiling:
        def __init__(self, bitmaps: Any, agency: str, compartments: frozenset[str]) -> None:
            self.own = self.rows = self.pointers = self.silent = bitmaps.everything

        def of_class(self, name: str) -> int:
            return int(self.rows)

        in_full = of_class

    monkeypatch.setattr("broker.decide.evaluation.Ceiling", NoCeiling)
    async with house(tmp_path, engine=AnsweringEngine()) as place:
        for number, own in enumerate(
            (
                {"reach": marks_pb2.REACH_NONE},
                {"releasable_to": marks_pb2.ReleasableTo(agencies=[REGIONAL.agency])},
                {"sanitisation": marks_pb2.SANITISATION_SOURCE_PROTECTED},
                {},
            )
        ):
            made = await submitted(place, OFFICER, number, about(**own))
            for path, request in (
                (GET, getting(made.record_id)),
                (SEARCH, searching(entity=QUINCE)),
                (VERSIONS, listing(made.record_id)),
            ):
                refused = await refusal(place, path, request, LIAISON)
                assert (refused.status, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
            assert (await ask(place, GET, getting(made.record_id), OFFICER)).message.report.report.title


async def test_hits_outlive_a_kill_and_are_told_whichever_worker_is_asked(tmp_path: Path) -> None:
    """Two workers, each of which answers a look; then kill -9, right after the answers."""
    with live_broker(tmp_path / "network", workers=2) as live:
        exchanges = set()
        remote = Remote(live)
        silent = submission(sample_report(1))
        about(reach=marks_pb2.REACH_SILENT)(silent.report)
        record_id = (await ask(remote, SUBMIT, silent, OFFICER)).message.record_id
        await remote.close()
        async with remote_to_each(live, LIAISON) as found:
            for at in found.values():
                looked = await ask(at, SEARCH, searching(entity=QUINCE), LIAISON)
                assert not looked.message.reports
                exchanges.add(looked.exchange_id)
            # The supervisor first: it would start them again.
            live.kill()
            for line in live.said("worker_serving"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(line["pid"], signal.SIGKILL)
        live.start()
        async with remote_to_each(live, OFFICER) as found:
            for at in found.values():
                told: set[str] = set()
                # What another worker wrote is told once it is published, within a second or two.
                for _ in range(100):
                    hits = (await ask(at, HITS, asking(), OFFICER)).message.hits
                    told = {one.exchange_id for one in hits}
                    if told == exchanges:
                        break
                    await asyncio.sleep(0.1)
                assert told == exchanges
                assert {tuple(one.record_ids) for one in hits} == {(record_id,)}
