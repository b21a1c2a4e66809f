"""One caller, one call: what it may cost everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.admit import parse
from broker.app import SUBSCRIBE
from broker.domain import normal
from broker.domain.errors import RequestError
from certs.authority import Authority
from entente.common.v1 import entity_pb2, grading_pb2, marks_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    GET,
    NATIONAL,
    OFFICER,
    REGIONAL,
    SEARCH,
    SUBMIT,
    Follower,
    ask,
    getting,
    refusal,
    rehoused,
    searching,
    starting,
    submission,
)
from tests.support.house import House, reason_of, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with rehoused(tmp_path_factory.mktemp("exhaustion") / "network") as made:
        yield made


async def test_accents_in_a_hostile_order_do_not_stop_the_clock() -> None:
    """Putting 32,000 combining marks in order took four seconds, with every other call waiting."""
    text = "a" + "\u0301" * 16_000 + "\u0316" * 16_000 + " quay"
    started = time.monotonic()
    assert normal.words(text) == {"a", "quay"}
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("text", ["a\u0301\u0316" * 300, "é" * 255 + "\u0316\u0301z", "ﬁ" * 400, "\u0345" * 300])
async def test_a_text_in_pieces_has_the_words_of_the_whole(text: str) -> None:
    whole = normal._folded(text).translate(normal._STROKES)
    assert normal.words(text) == {word[: normal.MAX_WORD] for word in "".join(map(normal._kept, whole)).split()}


def many_faults() -> report_service_pb2.SubmitReportRequest:
    """A megabyte of entities, each of which breaks a rule twice."""
    request = report_service_pb2.SubmitReportRequest()
    request.report.MergeFromString(b"\x2a\x00" * 400_000)
    return request


async def test_a_request_of_nothing_but_faults_is_refused_at_once() -> None:
    """Naming each of a million faults took the event loop most of a minute."""
    raw = many_faults().SerializeToString()
    started = time.monotonic()
    with pytest.raises(RequestError) as caught:
        parse(report_service_pb2.SubmitReportRequest, raw)
    assert time.monotonic() - started < 3
    assert caught.value.fields


async def test_others_are_answered_while_a_request_of_faults_is_refused(place: House) -> None:
    """One caller's malformed megabyte must not hold up everybody else's calls."""
    shared = (await ask(place, SUBMIT, submission())).message.record_id
    bad = asyncio.create_task(refusal(place, SUBMIT, many_faults()))
    started = time.monotonic()
    await ask(place, GET, getting(shared), REGIONAL)
    assert time.monotonic() - started < 3
    assert (await bad).reason == "REQUEST_INVALID"


async def test_a_refusal_with_many_faults_still_reaches_its_caller(place: House) -> None:
    """Two hundred named faults are more trailing metadata than a client takes: it saw RESOURCE_EXHAUSTED instead."""
    report = sample_report(1)
    del report.entities[:], report.links[:], report.lines[1:]
    report.header.marks.classification = marks_pb2.CLASSIFICATION_SECRET
    loose = report.lines.pop()
    loose.marks.classification = marks_pb2.CLASSIFICATION_OFFICIAL
    for number in range(200):
        loose.key = f"l{number}"
        report.lines.append(loose)
    refused = await refusal(place, SUBMIT, submission(report))
    assert (refused.status, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MARKS_TOO_LOOSE")
    assert refused.receipt is not None


def conditioned(number: int, conditions: Any) -> entity_pb2.Entity:
    """A person under handling code C."""
    made = entity_pb2.Entity(key=f"e{number}", person=entity_pb2.Person(name=f"Ash Lark {number}"))
    made.marks.handling_code = marks_pb2.HANDLING_CODE_C
    made.marks.handling_conditions.extend(conditions)
    return made


async def test_a_report_with_many_deviating_portions_can_be_read(place: House) -> None:
    """Its leaf named each withheld portion and grew above its limit: nobody else could ever read the report."""
    report = sample_report(2)
    del report.entities[:], report.links[:]
    report.entities.extend(conditioned(n, [1, 2, 5]) for n in range(500))
    record_id = (await ask(place, SUBMIT, submission(report))).message.record_id
    given = await ask(place, GET, getting(record_id, "CRIME_PREVENTION"), REGIONAL)
    assert len(given.message.report.report.entities) == 500
    (group,) = given.receipt.leaf["disclosures"]
    assert sorted(group) == ["fields", "level", "plan", "records"]
    detail = place.broker.reader.detail(given.receipt.index)
    assert detail["disclosures"][0]["withheld"]


async def test_reports_that_differ_in_their_disclosures_do_not_end_a_stream(place: House) -> None:
    """Sixty-four shapes in one batch were too much for one leaf: each resumption failed at the same place."""
    conditions = [c for size in range(1, 5) for c in itertools.combinations((1, 2, 3, 5), size)]
    for chosen in itertools.islice(itertools.combinations(conditions, 3), 0, 384, 6):
        report = sample_report(1)
        del report.entities[:], report.links[:], report.lines[:]
        report.entities.extend(conditioned(number, one) for number, one in enumerate(chosen))
        await ask(place, SUBMIT, submission(report))
    async with Follower(place, REGIONAL, start=starting("CRIME_PREVENTION")) as follower:
        assert len(await follower.all()) >= 64
    page = await ask(place, SEARCH, searching("CRIME_PREVENTION", page_size=64), REGIONAL)
    assert len(page.message.reports) == 64
    assert "fields" in page.receipt.leaf["disclosures"][0]


HANDSHAKE_S = 2


@contextlib.asynccontextmanager
async def half_open(place: House, count: int, *, tls: bool) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that say nothing: not one byte, or nothing after the TLS handshake."""
    host, _, port = place.broker.address.rpartition(":")
    context = None
    if tls:
        files = Authority.open(place.directory / "authority").agency(*NATIONAL.agency.split("/"))
        context = ssl.create_default_context(cafile=str(files.root))
        context.load_cert_chain(files.certificate, files.key)
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
    opened = [await asyncio.open_connection(host, int(port), ssl=context) for _ in range(count)]
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_half_open_connections_end_and_hinder_nobody(tmp_path: Path, *, tls: bool) -> None:
    """Eight of them starved a server with eight threads; here they cost a file each, for as long as configured."""
    async with rehoused(tmp_path / "network", limits={"handshake_seconds": HANDSHAKE_S}) as house:
        record_id = (await ask(house, SUBMIT, submission())).message.record_id
        async with half_open(house, 60, tls=tls) as readers:
            started = time.monotonic()
            await ask(house, GET, getting(record_id), REGIONAL)
            assert time.monotonic() - started < HANDSHAKE_S
            ends = (ended(reader) for reader in readers)
            await asyncio.wait_for(asyncio.gather(*ends), HANDSHAKE_S + 8)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait until the other side closes; a server's settings may come first."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(4096):
            pass


async def test_connections_beyond_the_brokers_own_limit_are_closed_at_once(tmp_path: Path) -> None:
    """Files run out for everybody; connections run out before, and those that are there go on."""
    async with rehoused(tmp_path / "network", limits={"all_connections": 8}) as house:
        record_id = (await ask(house, SUBMIT, submission())).message.record_id
        async with half_open(house, 20, tls=False) as readers:
            closed = [asyncio.create_task(ended(reader)) for reader in readers]
            await until(lambda: sum(one.done() for one in closed) >= 13)
            assert sum(one.done() for one in closed) == 13
            await ask(house, GET, getting(record_id))
            for one in closed:
                one.cancel()


async def test_a_flood_of_streams_that_say_nothing_holds_its_own_agencys_places_alone(tmp_path: Path) -> None:
    """A stream that was opened and is silent holds a place until the first message's deadline."""
    limits = {"calls": 20, "first_message_seconds": 2}
    async with rehoused(tmp_path / "network", limits=limits) as house:
        metadata = house.metadata(REGIONAL)
        channel = house.channel(REGIONAL)
        silent = [channel.stream_stream(SUBSCRIBE)(metadata=metadata, timeout=30) for _ in range(60)]
        codes = asyncio.gather(*(one.code() for one in silent))
        await ask(house, SUBMIT, submission())
        seen = Counter(await asyncio.wait_for(codes, 20))
        # Those that came when the first had gone found a place, and lost it in the same way.
        assert set(seen) == {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT}
        assert seen[grpc.StatusCode.INVALID_ARGUMENT] >= limits["calls"]
        await ask(house, SEARCH, searching(), REGIONAL)


async def test_one_report_adds_few_mark_sets(place: House) -> None:
    """Each new mark set ends every grant of every agency and lengthens every bitmap for good."""
    report = report_pb2.Report(title="many lists")
    report.header.marks.classification = marks_pb2.CLASSIFICATION_OFFICIAL
    report.header.marks.handling_code = marks_pb2.HANDLING_CODE_P
    for number in range(200):
        line = report.lines.add(key=f"l{number}", information="x")
        line.grading.grading_3x5x2.source = grading_pb2.SOURCE_EVALUATION_RELIABLE
        line.grading.grading_3x5x2.assessment = grading_pb2.ASSESSMENT_KNOWN_DIRECTLY
        line.marks.releasable_to.agencies.append(f"police.example/{uuid.uuid4()}")
    before = len(place.broker.store.mark_sets(0))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await place.unary(SUBMIT, submission(report).SerializeToString(), OFFICER)
    assert reason_of(refused.value).reason == "LIMIT_EXCEEDED"
    assert len(place.broker.store.mark_sets(0)) == before
