"""Rule 12 of the pipeline: by whichever method it is asked for, a report is one and the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from certs.network import Party
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    AMEND,
    GET,
    NATIONAL,
    OFFICER,
    READERS,
    REGIONAL,
    SEARCH,
    VERSIONS,
    Follower,
    amendment,
    ask,
    getting,
    listing,
    refusal,
    rehoused,
    searching,
    starting,
)
from tests.support.house import House
from tests.support.restricted import nested, only_for, portions, restricted, share

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def seen(place: House, party: Party, purpose: str = "INVESTIGATION") -> dict[str, dict[str, bytes]]:
    """Every report that the party is given, by method, as the bytes of its DisclosedReport."""
    found: dict[str, dict[str, bytes]] = {"search": {}, "stream": {}, "get": {}, "versions": {}}
    token = None
    while True:
        page = await ask(place, SEARCH, searching(purpose, page_size=7, page_token=token), party)
        found["search"].update((record_id(raw), raw) for raw in nested(page.raw, 1))
        token = page.message.next_page_token or None
        if token is None:
            break
    async with Follower(place, party, start=starting(purpose)) as follower:
        while True:
            batch = await follower.batch()
            await follower.acknowledge(batch)
            for change in nested(batch.raw, 1):
                (raw,) = nested(change, 2)
                found["stream"][record_id(raw)] = raw
            if batch.message.up_to_date:
                break
    return found


def record_id(disclosed: bytes) -> str:
    message = report_pb2.DisclosedReport.FromString(disclosed)
    return message.report.header.record_id or message.pointer.record_id


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A broker whose stored bytes a test may change."""
    async with rehoused(tmp_path_factory.mktemp("own") / "network") as made:
        yield made


def odd_report(number: int, party: Party) -> report_pb2.Report:
    """A report with marks of all kinds, on the record and on its portions."""
    chance = random.Random(number)
    report = sample_report(1000 + number)
    named = [reader.agency for reader in READERS if chance.random() < 0.6]
    marks = report.header.marks
    if chance.random() < 0.3:
        marks.CopyFrom(only_for(*named))
    if chance.random() < 0.2:
        marks.fallback = marks_pb2.FALLBACK_POINTER
    for portion in portions(report):
        kind = chance.randrange(6)
        if kind == 0:
            portion.marks.classification = marks_pb2.CLASSIFICATION_SECRET
        elif kind == 1:
            portion.marks.releasable_to.agencies.extend(chance.sample(named, k=len(named) // 2))
            portion.marks.releasable_to.SetInParent()
        elif kind == 2:
            portion.marks.sanitisation = marks_pb2.SANITISATION_SOURCE_PROTECTED
        elif kind == 3 and party is NATIONAL:
            portion.marks.compartments.append("op-lantern")
        elif kind == 4:
            portion.marks.tlp = marks_pb2.TLP_RED
    return report


@pytest.mark.parametrize("purpose", ["INVESTIGATION", "THREAT_TO_LIFE"])
async def test_every_method_releases_the_same_bytes(own: House, purpose: str) -> None:
    """pipeline rule 12: Get, Search, ListVersions and the stream give a party one and the same report, or none."""
    everything = []
    for number in range(18):
        party = (OFFICER, REGIONAL, NATIONAL)[number % 3]
        everything.append((await share(own, odd_report(number, party), party)).record_id)
    views: set[bytes] = set()
    for party in READERS:
        found = await seen(own, party, purpose)
        for one in everything:
            expected = found["stream"].get(one)
            if expected is None:
                assert one not in found["search"]
                assert (await refusal(own, GET, getting(one, purpose), party)).reason == "NOT_FOUND"
                assert (await refusal(own, VERSIONS, listing(one, purpose), party)).reason == "NOT_FOUND"
                continue
            views.add(expected)
            assert found["search"].get(one, expected) == expected
            got = await ask(own, GET, getting(one, purpose), party)
            assert nested(got.raw, 1) == [expected]
            history = await ask(own, VERSIONS, listing(one, purpose), party)
            assert [nested(version, 2) for version in nested(history.raw, 1)] == [[expected]]
            if report_pb2.DisclosedReport.FromString(expected).HasField("report"):
                assert one in found["search"]
    assert len(views) > 3 * len(everything) // 2


async def test_a_read_is_of_one_moment(own: House) -> None:
    """pipeline rule 12: marks that change while others read: nobody is given the new text under the old marks."""
    taken = await share(own, sample_report(50))
    etag, stop = taken.etag, asyncio.Event()
    leaked: list[str] = []

    async def read() -> None:
        while not stop.is_set():
            for disclosed in (await ask(own, SEARCH, searching(text="Courier movements 50"), REGIONAL)).message.reports:
                if "zzsecret" in disclosed.report.tear_line:
                    leaked.append(disclosed.report.header.record_id)

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for number in range(10):
        report = restricted(50) if number % 2 == 0 else sample_report(50)
        report.tear_line = "zzsecret" if number % 2 == 0 else "A courier is active in the north."
        change = amendment(taken.record_id, etag, "header.marks", "tear_line")
        change.report.header.marks.CopyFrom(report.header.marks)
        change.report.tear_line = report.tear_line
        etag = (await ask(own, AMEND, change, NATIONAL)).message.etag
    stop.set()
    await asyncio.gather(*readers)
    assert leaked == []
