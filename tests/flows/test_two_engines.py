"""One flow on two engines: the embedded one and a real OPA server release the same, and OPA may come and go."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.embedded import EmbeddedEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.domain.clock import SystemClock
from certs.network import Party
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    GET,
    INSPECTOR,
    LIAISON,
    NATIONAL,
    OFFICER,
    READERS,
    REGIONAL,
    SEARCH,
    SUBMIT,
    ask,
    checked_refusal,
    getting,
    refusal,
    rehoused,
    searching,
    submission,
)
from tests.support.house import House
from tests.support.opa import running_opa

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUNDLE = PolicyBundle.load(policy_folder())
# Tests share their machine: agreement is asked for here, haste in tests/policy.
PATIENT_S = 10.0
PURPOSES = ("INVESTIGATION", "THREAT_TO_LIFE", "CRIME_PREVENTION", "FRAUD", "BORDER_SECURITY", "AUDIT")


def shared_reports() -> list[tuple[Party, report_pb2.Report]]:
    """One report for each kind of restriction."""
    plain = sample_report(1)
    named = sample_report(2)
    named.header.marks.releasable_to.agencies.append(NATIONAL.agency)
    conditions = sample_report(3)
    conditions.header.marks.handling_code = marks_pb2.HANDLING_CODE_C
    conditions.header.marks.handling_conditions.extend(
        [marks_pb2.HANDLING_CONDITION_A1, marks_pb2.HANDLING_CONDITION_A2]
    )
    portions = sample_report(4)
    portions.lines[0].marks.classification = marks_pb2.CLASSIFICATION_SECRET
    portions.lines[1].marks.sanitisation = marks_pb2.SANITISATION_SOURCE_PROTECTED
    portions.entities[0].marks.tlp = marks_pb2.TLP_RED
    pointer = sample_report(5)
    pointer.header.marks.compartments.append("op-lantern")
    pointer.header.marks.fallback = marks_pb2.FALLBACK_POINTER
    return [(OFFICER, plain), (REGIONAL, named), (OFFICER, conditions), (NATIONAL, portions), (NATIONAL, pointer)]


async def released(place: House) -> list[Any]:
    """Each report as each party is given it for each purpose: the refusal's reason, or fields and disclosure."""
    taken = [(await ask(place, SUBMIT, submission(report), party)).message for party, report in shared_reports()]
    found: list[Any] = []
    for party in (*READERS, INSPECTOR):
        for purpose in PURPOSES:
            for one in taken:
                found.append((party.profile, purpose, await given_to(place, party, purpose, one.record_id)))
    return found


async def given_to(place: House, party: Party, purpose: str, record_id: str) -> Any:
    sent = getting(record_id, purpose).SerializeToString()
    try:
        raw = await place.unary(GET, sent, party)
    except grpc.aio.AioRpcError as error:
        return checked_refusal(place, error, sent).reason
    return without_chance(raw)


def without_chance(raw: bytes) -> str:
    """The answer without ids, times and random keys."""
    disclosed = reports.GetReportResponse.FromString(raw).report
    report = disclosed.report
    keys = {portion.key: f"p{n}" for n, portion in enumerate((*report.lines, *report.entities, *report.links))}
    for portion in (*report.lines, *report.entities, *report.links):
        portion.key = keys[portion.key]
    for link in report.links:
        link.from_key, link.to_key = keys[link.from_key], keys[link.to_key]
    for entry in (*disclosed.disclosure.withheld, *disclosed.disclosure.generalised):
        entry.portions[:] = [keys[key] for key in entry.portions]
    for name in ("record_id", "etag", "exchange_id", "create_time", "update_time"):
        report.header.ClearField(name)
    if disclosed.HasField("pointer"):
        disclosed.pointer.ClearField("record_id")
    return str(disclosed)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def with_opa(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("opa")
    BUNDLE.write(folder / "bundle")
    with running_opa(folder / "bundle") as url:
        engine = OpaEngine(BUNDLE, OpaAddress(url), SystemClock(), deadline_s=PATIENT_S)
        async with rehoused(folder / "network", engine=engine) as place:
            yield place


async def test_both_engines_release_the_same(tmp_path: Path, with_opa: House) -> None:
    """Field by field, rule by rule, refusal by refusal."""
    async with rehoused(tmp_path / "network", engine=EmbeddedEngine(BUNDLE)) as embedded:
        ours = await released(embedded)
    theirs = await released(with_opa)
    assert ours == theirs
    answers = [answer for _, _, answer in ours]
    assert {"NOT_FOUND", "PURPOSE_NOT_PERMITTED", "METHOD_NOT_PERMITTED"} <= set(answers)
    assert len({answer for answer in answers if "\n" in answer}) > 12


async def test_the_ledger_names_the_engine(with_opa: House) -> None:
    """Whose decision it was stands on record, with the bundle that both engines share."""
    answer = await ask(with_opa, SEARCH, searching(), OFFICER)
    assert answer.receipt.leaf["policy"]["engine"] == "opa"
    assert BUNDLE.revision in answer.receipt.leaf["policy"].values()


class OpaThatComesAndGoes:
    """OPA on a socket: at the same address after a stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "opa.sock"
        self._running = contextlib.ExitStack()

    def start(self) -> str:
        self._socket.unlink(missing_ok=True)
        return self._running.enter_context(running_opa(self._folder / "bundle", socket_path=self._socket))

    def stop(self) -> None:
        self._running.close()


async def ask_anew(place: House, number: int) -> grpc.aio.AioRpcError | None:
    """A question that nobody has asked before, so that no kept answer serves it."""
    metadata = place.metadata(LIAISON, nationalities=("NL", chr(65 + number // 26) + chr(65 + number % 26)))
    try:
        await place.unary(SEARCH, searching().SerializeToString(), LIAISON, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_opa_may_come_and_go(tmp_path: Path) -> None:
    """Gone: every new question is refused, on record and at once. Back: the broker answers within 2 s."""
    BUNDLE.write(tmp_path / "bundle")
    opa = OpaThatComesAndGoes(tmp_path)
    engine = OpaEngine(BUNDLE, OpaAddress(await asyncio.to_thread(opa.start)), SystemClock(), deadline_s=PATIENT_S)
    try:
        async with rehoused(tmp_path / "network", engine=engine) as place:
            assert await ask_anew(place, 0) is None
            await asyncio.to_thread(opa.stop)
            took, sent = [], searching().SerializeToString()
            for number in range(1, 101):
                started = time.monotonic()
                error = await ask_anew(place, number)
                took.append(time.monotonic() - started)
                assert error is not None
                assert checked_refusal(place, error, sent).reason == "POLICY_UNAVAILABLE"
            p99 = statistics.quantiles(took, n=100)[98]
            await asyncio.to_thread(opa.start)
            back = time.monotonic()
            number = 101
            while await ask_anew(place, number) is not None:
                assert time.monotonic() - back < 5.0, "not recovered"
                number += 1
                await asyncio.sleep(0.05)
            recovered = time.monotonic() - back
            print(f"OPA gone: p99 of a refusal {p99 * 1000:.0f} ms; back: answered after {recovered:.2f} s")
            assert p99 < 1.0
            assert recovered < 2.5
            assert (await refusal(place, GET, getting("0" * 32), NATIONAL)).reason == "NOT_FOUND"
    finally:
        opa.stop()
