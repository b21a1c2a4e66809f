"""kill -9 under load, again and again: nothing that was acknowledged is lost, nothing was given off the record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from entente.report.v1 import report_service_pb2 as reports
from entente_tlog import tiles
from entente_tlog.verify import verify_directory
from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    GET,
    NATIONAL,
    OFFICER,
    REGIONAL,
    SEARCH,
    SUBMIT,
    Follower,
    Given,
    Remote,
    ask,
    getting,
    searching,
    starting,
    submission,
)
from tests.support.live import LiveBroker, live_broker

ROUNDS = 5
WRITERS, READERS = 5, 4
LOST = (grpc.aio.AioRpcError, asyncio.CancelledError, AssertionError)


@dataclass
class Known:
    """What the clients know across all crashes."""

    requests: dict[str, reports.SubmitReportRequest] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    answers: list[Given] = field(default_factory=list)
    cursor: str | None = None
    followed: list[str] = field(default_factory=list)

    @property
    def unanswered(self) -> list[str]:
        return [key for key in self.requests if key not in self.written]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveBroker]:
    with live_broker(tmp_path / "network") as broker:
        yield broker


async def write(remote: Remote, known: Known, key: str) -> None:
    answer = await ask(remote, SUBMIT, known.requests[key])
    known.answers.append(answer)
    known.written[key] = answer.message.record_id


async def writer(remote: Remote, known: Known) -> None:
    while True:
        request = submission(sample_report(len(known.requests)))
        known.requests[request.idempotency_key] = request
        await write(remote, known, request.idempotency_key)


async def reader(remote: Remote, known: Known, chance: random.Random) -> None:
    while True:
        if known.written:
            one = chance.choice(list(known.written.values()))
            known.answers.append(await ask(remote, GET, getting(one), NATIONAL))
        known.answers.append(await ask(remote, SEARCH, searching(page_size=5), REGIONAL))


async def follower(remote: Remote, known: Known, *, to_the_end: bool = False) -> None:
    """Handles and acknowledges each batch; goes on from the last one that it handled."""
    async with Follower(remote, NATIONAL, start=starting(cursor=known.cursor)) as stream:
        while True:
            batch = await stream.batch()
            known.answers.append(batch)
            known.followed += [change.report.report.header.record_id for change in batch.message.changes]
            known.cursor = batch.message.cursor
            await stream.acknowledge(batch)
            if to_the_end and batch.message.up_to_date:
                return


async def until_killed(live: LiveBroker, known: Known, chance: random.Random) -> None:
    """Load from all sides, and the kill in the middle of it."""
    remote = Remote(live)
    work = [writer(remote, known) for _ in range(WRITERS)]
    work += [reader(remote, known, chance) for _ in range(READERS)]
    tasks = [asyncio.create_task(one) for one in (*work, follower(remote, known))]
    await asyncio.sleep(chance.uniform(0.3, 0.9))
    assert not [task for task in tasks if task.done()], "the load broke before the kill"
    live.kill()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, LOST) for one in done), done
    await remote.close()


async def test_kill_nine_loses_nothing_and_hides_nothing(live: LiveBroker) -> None:
    """Every acknowledged write is there, every answer is on the ledger, which verifies; the feed has no gap."""
    known, chance = Known(), random.Random(20)
    restarts = []
    for _ in range(ROUNDS):
        await until_killed(live, known, chance)
        started = time.monotonic()
        live.start()
        restarts.append(round(time.monotonic() - started, 2))
        remote = Remote(live)
        for key in known.unanswered:
            await write(remote, known, key)
        await remote.close()
    print(f"restarts {restarts} s, {len(known.written)} writes, {len(known.answers)} answers")
    remote = Remote(live)
    await every_write_is_there(remote, known)
    await follower(remote, known, to_the_end=True)
    await remote.close()
    assert Counter(known.followed) == Counter(known.written.values())
    live.stop()
    the_ledger_holds(live, known)


async def every_write_is_there(remote: Remote, known: Known) -> None:
    """Once each: also those that were cut off and sent again under their key."""
    assert len(known.written) > 20
    found: list[str] = []
    token: str | None = None
    while token != "":
        page = await ask(remote, SEARCH, searching(page_size=200, page_token=token))
        found += [one.report.header.record_id for one in page.message.reports]
        token = page.message.next_page_token
    assert Counter(found) == Counter(known.written.values())
    for key, record_id in list(known.written.items())[::7]:
        report = (await ask(remote, GET, getting(record_id))).message.report.report
        assert report.title == known.requests[key].report.title


def the_ledger_holds(live: LiveBroker, known: Known) -> None:
    """It verifies offline, holds the leaf of each answer at its index, and leaves no exchange open."""
    verified = verify_directory(live.network.ledger, live.network.log_key)
    assert verified.ok, verified.problems
    leaves = all_leaves(live, verified.size)
    assert len(known.answers) > 60
    for answer in known.answers:
        assert leaves[answer.receipt.index] == answer.receipt.leaf_bytes
        assert answer.receipt.size <= verified.size
    assert verified.indeterminate == []
    parsed = [json.loads(leaf) for leaf in leaves]
    assert len({leaf["boot_id"] for leaf in parsed}) == ROUNDS + 1
    closed = {leaf["exchange_id"] for leaf in parsed if leaf["phase"] == "release"}
    closed |= {row[0] for leaf in parsed for row in leaf.get("outcomes", ())}
    assert {leaf["exchange_id"] for leaf in parsed if leaf["phase"] == "intent"} <= closed


def all_leaves(live: LiveBroker, size: int) -> list[bytes]:
    """The published entries, in order."""
    found: list[bytes] = []
    while len(found) < size:
        number = len(found) // tiles.WIDTH
        bundle = tiles.read_tile(live.network.ledger, tiles.ENTRIES, number, min(tiles.WIDTH, size - len(found)))
        assert bundle is not None
        found += tiles.unpack_bundle(bundle)[0][: size - len(found)]
    return found


async def test_a_torn_tail_is_dropped_and_nothing_else(live: LiveBroker) -> None:
    """What a crash left half written after the last whole frame is no entry; what was acknowledged before it is."""
    remote, known = Remote(live), Known()
    with contextlib.closing(known_writes(known, 5)) as keys:
        for key in keys:
            await write(remote, known, key)
    await remote.close()
    live.kill()
    (*_, last) = sorted((live.network.ledger / "journal").glob("*.wal"))
    with last.open("ab") as segment:
        segment.write(b"EnF1\x00\x00\x10\x00torn")
    live.start()
    remote = Remote(live)
    for record_id in known.written.values():
        await ask(remote, GET, getting(record_id), OFFICER)
    await remote.close()
    live.stop()
    verified = verify_directory(live.network.ledger, live.network.log_key)
    assert verified.ok, verified.problems
    leaves = all_leaves(live, verified.size)
    assert all(leaves[answer.receipt.index] == answer.receipt.leaf_bytes for answer in known.answers)


def known_writes(known: Known, count: int) -> Any:
    """New requests, one after the other."""
    for number in range(count):
        request = submission(sample_report(number))
        known.requests[request.idempotency_key] = request
        yield request.idempotency_key
