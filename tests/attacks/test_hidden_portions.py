"""What a caller cannot see: not widened by it, not weighed in its pages, not released after its right has ended."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from broker.config import ConfigError, load
from broker.decide.claims import says
from broker.domain.answer import StoredItem
from broker.handle.report.size import DISCLOSURE_BYTES, fitting
from certs import network
from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    AMEND,
    GET,
    OFFICER,
    REGIONAL,
    SUBMIT,
    Follower,
    amendment,
    ask,
    getting,
    rehoused,
    starting,
    submission,
)
from tests.support.grants import grant_all
from tests.support.house import submitted
from tests.support.reports import line, open_store, person
from tests.support.reports import link as a_link

NOBODY = marks_pb2.ReleasableTo()


async def test_who_cannot_see_a_line_cannot_widen_its_release(tmp_path: Path) -> None:
    """A SECRET line kept its recipients only by inheritance: an officer below SECRET lifted them unseen."""
    async with rehoused(tmp_path / "network") as place:
        report = sample_report(1)
        del report.entities[:], report.links[:], report.lines[1:]
        report.header.marks.releasable_to.SetInParent()
        (hidden,) = report.lines
        hidden.information = "the quay at four"
        hidden.ClearField("marks")
        hidden.marks.classification = marks_pb2.CLASSIFICATION_SECRET
        made = (await ask(place, SUBMIT, submission(report))).message
        loosened = amendment(made.record_id, made.etag, "header.marks")
        loosened.report.header.marks.CopyFrom(report.header.marks)
        loosened.report.header.marks.ClearField("releasable_to")
        low = place.metadata(OFFICER, clearance="OFFICIAL")
        seen = await ask(place, GET, getting(made.record_id), metadata=low)
        assert not seen.message.report.report.lines
        await ask(place, AMEND, loosened, metadata=low)
        others = (await ask(place, GET, getting(made.record_id), REGIONAL)).message.report.report
        assert others.title == report.title
        assert not others.lines
        own = (await ask(place, GET, getting(made.record_id))).message.report.report
        assert [one.information for one in own.lines] == ["the quay at four"]
        assert own.lines[0].marks.HasField("releasable_to")


async def test_an_agreement_that_ends_while_a_stream_waits_releases_nothing_more(tmp_path: Path) -> None:
    """The grant was looked at before the wait, and the change read with it up to a second after its end."""
    async with rehoused(tmp_path / "network") as place:
        store, clock = place.broker.store, place.broker._clock
        await submitted(place, OFFICER)
        facts = store.facts(OFFICER.agency)
        regional = store.facts(REGIONAL.agency)
        assert facts is not None
        assert regional is not None
        agencies = store.agencies("", 100)
        # Decided just before the end, then waiting across it.
        until_us = clock.now_us() + 2_600_000
        ending = [
            replace(one, valid_until_us=until_us) if REGIONAL.agency in one.parties else one
            for one in {a.agreement_id: a for a in (*facts.agreements, *regional.agreements)}.values()
        ]
        await asyncio.to_thread(store.load_directory, agencies, ending)
        async with Follower(place, REGIONAL, start=starting()) as follower:
            first = await follower.batch()
            assert len(first.message.changes) == 1
            await follower.acknowledge(first)
            await asyncio.sleep(max(0.0, (until_us - clock.now_us()) / 1e6) + 0.02)
            await submitted(place, OFFICER, 2)
            with pytest.raises(grpc.aio.AioRpcError, match="an agreement that this rested on has ended"):
                await follower.batch()


def item(report: report_pb2.Report, marks: tuple[int, ...]) -> StoredItem:
    report.header.record_id = uuid.uuid4().hex
    return StoredItem(report.header.record_id, 1, 1, report.SerializeToString(), marks)


async def test_a_page_is_not_cut_by_what_is_hidden(tmp_path: Path) -> None:
    """Small fields were weighed above what they take in store, so that weighing at all told that more was stored."""
    store = open_store(tmp_path / "store.db")
    grant = replace(grant_all(store), rows=0b10, watermark=2)
    plain = report_pb2.Report(title="t")
    plain.entities.extend(person(f"p{n}", "A", "B", "C") for n in range(40))
    hidden = report_pb2.Report()
    hidden.CopyFrom(plain)
    hidden.lines.append(line("h", "x" * 30_000))
    visible = tuple(1 for _ in plain.entities)
    world_a = [item(plain, visible), item(plain, visible)]
    world_b = [item(hidden, (2, *visible)), item(plain, visible)]
    for most in range(2 * DISCLOSURE_BYTES, 2 * DISCLOSURE_BYTES + 8_000, 50):
        assert fitting(world_a, grant, most) == fitting(world_b, grant, most)
    store.close()


async def test_a_link_to_a_hidden_entity_weighs_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    grant = replace(grant_all(store), rows=0b10, watermark=2)
    plain = report_pb2.Report(title="t" * 400, entities=[person("a", "Ash")])
    linked = report_pb2.Report()
    linked.CopyFrom(plain)
    linked.entities.append(person("b", "Birch"))
    linked.links.extend(a_link(f"l{n}", "a", "b") for n in range(200))
    world_a = [item(plain, (1,))] * 2
    world_b = [item(linked, (1, 2, *[1] * 200))] * 2
    for most in range(2 * DISCLOSURE_BYTES, 2 * DISCLOSURE_BYTES + 12_000, 50):
        assert fitting(world_a, grant, most) == fitting(world_b, grant, most)
    store.close()


@pytest.mark.parametrize(
    ("named", "somebody"), [("", False), (" ", False), ("\u200b\u00a0--", False), ("Supt. Alder", True), ("李", True)]
)
async def test_a_blank_authorises_nothing(named: str, somebody: bool) -> None:
    """A space in `authoriser` opened H3 and A3."""
    assert says(named) is somebody


async def test_blank_authoriser_opens_no_h3(tmp_path: Path) -> None:
    async with rehoused(tmp_path / "network") as place:
        report = sample_report(1)
        report.header.marks.europol_handling.append(marks_pb2.EUROPOL_HANDLING_H3)
        for portion in (*report.lines, *report.entities, *report.links):
            portion.ClearField("marks")
        made = (await ask(place, SUBMIT, submission(report))).message
        for authoriser, found in ((" \u200b", False), ("Supt. Alder", True)):
            request = getting(made.record_id)
            request.justification.authoriser = authoriser
            if found:
                assert (await ask(place, GET, request, REGIONAL)).message.report.report.title
            else:
                with pytest.raises(Exception, match="no such report"):
                    await place.unary(GET, request.SerializeToString(), REGIONAL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[broker]", '[broker]\nreflection = "false"'),
        ('trust_domains = ["', 'trust_domains = "police.example" #'),
        ('name = "broker', "name = 3 #"),
    ],
)
async def test_a_setting_of_the_wrong_type_is_refused(tmp_path: Path, old: str, new: str) -> None:
    """`reflection = "false"` turned reflection on, and a trust domain without brackets was a list of letters."""
    config = network.create(tmp_path / "network", "127.0.0.1:0").broker_config
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match="must be a"):
        load(config)
