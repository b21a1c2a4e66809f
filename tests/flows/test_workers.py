"""Two workers on one port over real TLS: one broker to its callers, a log each, whatever becomes of a process."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from certs.network import BROKER_NAME
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
    Remote,
    ask,
    getting,
    searching,
    starting,
    submission,
)
from tests.support.house import until
from tests.support.live import ROOT, LiveBroker, live_broker
from tests.support.workers import remote_to_each

FIRST, SECOND = BROKER_NAME, f"{BROKER_NAME}/1"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    with live_broker(tmp_path_factory.mktemp("workers") / "network", workers=2) as broker:
        yield broker


@pytest_asyncio.fixture(loop_scope="module")
async def both(live: LiveBroker) -> AsyncIterator[tuple[Remote, Remote]]:
    """A caller of each worker, as the officer."""
    async with remote_to_each(live) as found:
        yield found[FIRST], found[SECOND]


def pid_at(live: LiveBroker, slot: int) -> int:
    """The process that holds a slot now."""
    return int([line["pid"] for line in live.said("worker_serving") if line["slot"] == slot][-1])


def every_log_holds(live: LiveBroker) -> dict[str, int]:
    """Each log verifies under its own key, and nothing in it is left open; sizes by folder."""
    sizes: dict[str, int] = {}
    for folder, key in live.network.logs.items():
        if folder.exists():
            verified = verify_directory(folder, key)
            assert verified.ok, (folder, verified.problems)
            assert verified.indeterminate == []
            sizes[folder.name] = verified.size
    return sizes


async def test_each_worker_answers_with_receipts_of_its_own_log(both: tuple[Remote, Remote]) -> None:
    """`ask` verifies each receipt; here the entry's own words are looked at: who wrote it, in which run."""
    answers = [await ask(remote, SEARCH, searching(page_size=1)) for remote in both]
    assert [one.receipt.origin for one in answers] == [FIRST, SECOND]
    assert [one.receipt.leaf["node"] for one in answers] == [FIRST, SECOND]
    assert len({one.receipt.leaf["boot_id"] for one in answers}) == 2


async def test_what_one_worker_wrote_the_other_gives_at_once(both: tuple[Remote, Remote]) -> None:
    """Also under marks that were never used before: they end the grants of both."""
    for number, (writer, reader) in enumerate((both, both[::-1])):
        report = sample_report(number)
        report.header.marks.releasable_to.agencies.append((NATIONAL, REGIONAL)[number].agency)
        written = await ask(writer, SUBMIT, submission(report))
        found = await ask(reader, GET, getting(written.message.record_id))
        assert found.message.report.report.title == report.title
        newest = await ask(reader, SEARCH, searching(page_size=1))
        assert newest.message.reports[0].report.header.record_id == written.message.record_id


async def test_a_repeated_write_happens_once_whoever_gets_it(both: tuple[Remote, Remote]) -> None:
    """A client whose connection broke sends the same key to another worker, here to both at the same moment."""
    request = submission(sample_report(3))
    answers = await asyncio.gather(*(ask(remote, SUBMIT, request) for remote in (*both, *both)))
    assert len({one.message.record_id for one in answers}) == 1


async def test_a_page_token_of_one_worker_leads_on_at_the_other(both: tuple[Remote, Remote]) -> None:
    first = await ask(both[0], SEARCH, searching(page_size=1))
    assert first.message.next_page_token
    second = await ask(both[1], SEARCH, searching(page_size=1, page_token=first.message.next_page_token))
    assert second.message.reports[0] != first.message.reports[0]


async def test_a_follower_of_one_worker_is_woken_by_a_write_at_the_other(both: tuple[Remote, Remote]) -> None:
    waits = []
    async with Follower(both[1], OFFICER, start=starting(from_now=True)) as stream:
        await stream.acknowledge(await stream.batch())
        for number in range(5):
            began = time.monotonic()
            written = await ask(both[0], SUBMIT, submission(sample_report(10 + number)))
            batch = await stream.batch()
            waits.append(time.monotonic() - began)
            await stream.acknowledge(batch)
            assert [one.report.report.header.record_id for one in batch.message.changes] == [written.message.record_id]
    print(f"from a write at one worker to a follower at the other: {[round(wait * 1000) for wait in waits]} ms")


async def test_writers_at_both_workers_lose_nothing(live: LiveBroker, both: tuple[Remote, Remote]) -> None:
    """One file, two processes that write: who must wait waits, or is told UNAVAILABLE and may ask again."""
    before = len(await all_records(both[0]))
    refused = 0

    async def write(remote: Remote, number: int) -> str:
        nonlocal refused
        request = submission(sample_report(number))
        while True:
            try:
                return str((await ask(remote, SUBMIT, request)).message.record_id)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                refused += 1

    began = time.monotonic()
    written = await asyncio.gather(*(write(both[number % 2], 100 + number) for number in range(200)))
    print(f"200 writes at two workers in {time.monotonic() - began:.1f} s, {refused} refused and asked again")
    found = [await all_records(remote) for remote in both]
    assert found[0] == found[1]
    assert set(written) <= set(found[0])
    assert len(found[0]) == before + len(set(written)) == before + 200


async def all_records(remote: Remote) -> list[str]:
    found: list[str] = []
    token: str | None = None
    while token != "":
        page = await ask(remote, SEARCH, searching(page_size=100, page_token=token))
        found += [one.report.header.record_id for one in page.message.reports]
        token = page.message.next_page_token
    return found


async def test_a_second_broker_on_the_same_data_is_refused(live: LiveBroker) -> None:
    """With workers and without: it says why, and harms nobody."""
    for more in ([], ["--workers", "2"]):
        command = [sys.executable, "-m", "broker", "--config", str(live.network.broker_config), *more]
        second = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert "another `entente serve` uses" in second.stderr
        assert "serving" not in second.stdout
    async with remote_to_each(live):
        pass


async def test_a_killed_worker_is_started_again_and_its_log_goes_on(live: LiveBroker) -> None:
    """The other worker serves meanwhile; what the killed one acknowledged is there, and its log verifies at the end."""
    starts = len(live.said("worker_serving"))
    async with remote_to_each(live) as found:
        before = await ask(found[SECOND], SUBMIT, submission(sample_report(50)))
        os.kill(pid_at(live, 1), signal.SIGKILL)
        await ask(found[FIRST], GET, getting(before.message.record_id))
    await until(lambda: len(live.said("worker_serving")) > starts, 60)
    assert live.said("worker_ended")[-1]["status"] == -signal.SIGKILL
    async with remote_to_each(live) as found:
        after = await ask(found[SECOND], GET, getting(before.message.record_id))
    assert after.receipt.index > before.receipt.index
    assert after.receipt.leaf["boot_id"] != before.receipt.leaf["boot_id"]


async def test_a_worker_whose_log_has_failed_starts_again(live: LiveBroker) -> None:
    """The log is poisoned by a write that the system refuses. Starting again recovers it, and nobody has to do it."""
    starts = len(live.said("worker_serving"))
    async with remote_to_each(live) as found:
        before = await ask(found[SECOND], SEARCH, searching(page_size=1))
        resource.prlimit(pid_at(live, 1), resource.RLIMIT_FSIZE, (1, 1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(found[SECOND], SEARCH, searching(page_size=1))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        await ask(found[FIRST], SEARCH, searching(page_size=1))
    await until(lambda: len(live.said("worker_serving")) > starts, 60)
    assert [line["slot"] for line in live.said("log_poisoned")] == [1]
    assert live.said("worker_ended")[-1]["status"] == 1
    async with remote_to_each(live) as found:
        after = await ask(found[SECOND], SEARCH, searching(page_size=1))
    assert after.receipt.index > before.receipt.index


async def test_a_worker_ends_with_its_supervisor(live: LiveBroker) -> None:
    """kill -9 of the supervisor, in the middle of writes: worker 0 stops by itself, gracefully. Worker 1 is killed too.

    One process takes over the data: what slot 1 left open gets its outcome at once, although nobody holds that slot.
    """
    pid = pid_at(live, 0)
    async with remote_to_each(live) as found:
        before = await ask(found[SECOND], SEARCH, searching(page_size=1))
        remotes = [*found.values()] * 10
        writes = [asyncio.create_task(write(remote, 60 + number)) for number, remote in enumerate(remotes)]
        await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        os.kill(pid_at(live, 1), signal.SIGKILL)
        live.kill()
        await until(lambda: not is_alive(pid), 30)
        assert not is_alive(pid)
        ended = await asyncio.gather(*writes, return_exceptions=True)
    assert all(one is None or isinstance(one, grpc.aio.AioRpcError) for one in ended), ended
    verified = verify_directory(live.network.ledger, live.network.log_key)
    assert (verified.problems, verified.indeterminate) == ([], [])
    live.workers = 1
    live.start()
    assert [line["slot"] for line in live.said("slot_recovered")] == [1]
    assert live.stop() == 0
    sizes = every_log_holds(live)
    last = leaves(live, "ledger-1", sizes["ledger-1"])[-1]
    assert last["type"] == "outcome"
    assert last["boot_id"] != before.receipt.leaf["boot_id"], "not by the worker that was killed"


async def write(remote: Remote, number: int) -> None:
    await ask(remote, SUBMIT, submission(sample_report(number)))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(zombie)" not in Path(f"/proc/{pid}/status").read_text().partition("State:")[2].partition("\n")[0]


async def test_a_graceful_stop_leaves_whole_logs(live: LiveBroker) -> None:
    live.workers = 2
    live.start()
    async with remote_to_each(live) as found:
        for remote in found.values():
            await write(remote, 91)
    assert live.stop() == 0
    assert set(every_log_holds(live)) == {"ledger", "ledger-1"}


def leaves(live: LiveBroker, folder: str, size: int) -> list[dict[str, Any]]:
    """A log's published entries."""
    found: list[bytes] = []
    while len(found) < size:
        width = min(tiles.WIDTH, size - len(found))
        where = live.network.ledger.with_name(folder)
        bundle = tiles.read_tile(where, tiles.ENTRIES, len(found) // tiles.WIDTH, width)
        assert bundle is not None
        found += tiles.unpack_bundle(bundle)[0][:width]
    return [json.loads(leaf) for leaf in found]
