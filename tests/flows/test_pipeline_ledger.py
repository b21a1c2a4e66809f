"""Rule 3 of the pipeline: on record, durably, before a byte leaves; and what a crash cut off is resolved."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from broker.domain.errors import UnavailableError
from certs.authority import Authority
from tests.support.exchanges import (
    GET,
    OFFICER,
    SUBMIT,
    Follower,
    ask,
    getting,
    given,
    refusal,
    rehoused,
    submission,
)
from tests.support.house import House, submitted, until
from tests.support.live import CHANNEL_OPTIONS
from tests.support.watched_files import WatchedFiles


async def test_no_answer_precedes_its_durable_entry(tmp_path: Path) -> None:
    """pipeline rule 3: under load, every answer and refusal arrives after the fdatasync of its release entry."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        target = await submitted(place, OFFICER)

        async def call(number: int) -> None:
            kinds: list[Callable[[], Any]] = [
                lambda: ask(place, SUBMIT, submission()),
                lambda: ask(place, GET, getting(target.record_id)),
                lambda: refusal(place, GET, getting("0" * 32)),
            ]
            files.happened.append(((await kinds[number % 3]()).exchange_id, "received"))

        await asyncio.gather(*(call(number) for number in range(60)))
        received = [exchange for exchange, phase in files.happened if phase == "received"]
        assert len(received) == 60
        for exchange in received:
            assert files.happened.index((exchange, "release")) < files.happened.index((exchange, "received"))


def blocking(place: House, path: str, request: bytes) -> Callable[[], bytes]:
    """The call on a thread of its own: the gate may hold the broker's loop."""
    files = Authority.open(place.directory / "authority").agency(*OFFICER.agency.split("/"))
    credentials = grpc.ssl_channel_credentials(
        files.root.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    metadata = place.metadata(OFFICER)

    def call() -> bytes:
        with grpc.secure_channel(place.broker.address, credentials, CHANNEL_OPTIONS) as channel:
            return bytes(channel.unary_unary(path)(request, metadata=metadata, timeout=10))

    return call


def unanswered(call: Future[bytes], files: WatchedFiles) -> None:
    """The entry waits for its fdatasync; so does the answer."""
    assert files.waiting.acquire(timeout=5), "no fdatasync was asked for"
    time.sleep(0.25)
    assert not call.done()


async def test_an_answer_waits_for_fdatasync(tmp_path: Path) -> None:
    """pipeline rule 3: while fdatasync has not returned, not one byte of a read, its disclosure or receipt is out."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        target = await submitted(place, OFFICER)
        sent = getting(target.record_id).SerializeToString()
        call = blocking(place, GET, sent)

        def held() -> bytes:
            with ThreadPoolExecutor(1) as pool:
                files.gated = True
                answer = pool.submit(call)
                unanswered(answer, files)
                files.gated = False
                files.go.release()
                return answer.result(10)

        assert given(place, GET, sent, await asyncio.to_thread(held)).message.report.report.title


async def test_a_write_is_intended_on_record_before_it_is_done(tmp_path: Path) -> None:
    """pipeline rule 3: intent durable, then the work, then the release entry durable, then the answer."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        await submitted(place, OFFICER)
        call = blocking(place, SUBMIT, submission().SerializeToString())
        store = place.broker.config.broker.data / "store.db"

        def changes() -> int:
            with sqlite3.connect(store) as connection:
                return int(connection.execute("select count(*) from change").fetchone()[0])

        def held() -> list[int]:
            counted = [changes()]
            with ThreadPoolExecutor(1) as pool:
                files.gated = True
                answer = pool.submit(call)
                for _ in ("intent", "release"):
                    unanswered(answer, files)
                    counted.append(changes())
                    files.go.release()
                files.gated = False
                answer.result(10)
            return counted

        before, at_intent, at_release = await asyncio.to_thread(held)
        assert (at_intent - before, at_release - before) == (0, 1)
        (first, intent), (second, release) = [one for one in files.happened if one[1] != "outcome"][-2:]
        assert (first, intent, release) == (second, "intent", "release")


async def test_a_batch_is_recorded_before_it_is_sent(tmp_path: Path) -> None:
    """pipeline rule 3: each streamed batch has its own release entry, durable first."""
    files = WatchedFiles()
    async with rehoused(tmp_path / "network", files=files) as place:
        await submitted(place, OFFICER)
        async with Follower(place) as follower:
            for number in range(3):
                batch = await follower.batch()
                phases = [phase for exchange, phase in files.happened if exchange == batch.exchange_id]
                assert phases.count("release") == number + 1
                await follower.acknowledge(batch)
                await submitted(place, OFFICER)


async def outcomes_of(place: House, exchange_id: str, *, at_least: int = 1) -> list[str]:
    """What the ledger says of how an exchange ended, once it says so many things or ten seconds have passed."""
    found: list[list[str]] = []
    for _ in range(1000):
        leaves = place.broker.ledger.entries(0, len(place.broker.ledger))
        found = [row for leaf in map(json.loads, leaves) for row in leaf.get("outcomes", ()) if row[0] == exchange_id]
        if len(found) >= at_least:
            break
        await asyncio.sleep(0.01)
    return [row[1] for row in found]


async def test_a_write_cut_off_after_its_work_is_resolved_from_its_change_row(tmp_path: Path) -> None:
    """pipeline rule 3: no release entry, but a change row: after the restart the ledger says that it was written."""
    async with rehoused(tmp_path / "network") as place:

        async def cut_off(*_: Any) -> Any:
            raise UnavailableError("LEDGER_UNAVAILABLE", "cut off here")

        place.broker.recorder.released = cut_off  # type: ignore[method-assign]
        place.broker.recorder.refused = cut_off  # type: ignore[method-assign]
        with pytest.raises(grpc.aio.AioRpcError):
            await place.unary(SUBMIT, submission().SerializeToString(), OFFICER)
        (intent,) = [leaf for leaf in place.leaves() if leaf["phase"] == "intent"]
    async with rehoused(tmp_path / "network") as place:
        assert await outcomes_of(place, intent["exchange_id"]) == ["allowed"]


async def test_a_write_cut_off_before_its_work_shows_as_indeterminate(tmp_path: Path) -> None:
    """pipeline rule 3: an intent without a change row is never silently dropped."""
    async with rehoused(tmp_path / "network") as place:
        place.broker.recorder.aborted = lambda _: None  # type: ignore[method-assign]
        handlers: Any = place.broker.pipeline.handlers
        genuine = handlers[SUBMIT]
        handlers[SUBMIT] = lambda _: asyncio.sleep(60)
        call = asyncio.create_task(place.unary(SUBMIT, submission().SerializeToString(), OFFICER))
        (intent,) = await place.settled(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        handlers[SUBMIT] = genuine
    async with rehoused(tmp_path / "network") as place:
        assert await outcomes_of(place, intent["exchange_id"]) == ["indeterminate"]


async def test_a_batch_cut_off_after_an_acknowledged_one_shows_as_indeterminate(tmp_path: Path) -> None:
    """pipeline rule 3: an outcome closes what came before it alone; a stream's next batch is open again."""
    async with rehoused(tmp_path / "network") as place:
        await submitted(place, OFFICER)
        async with Follower(place) as follower:
            first = await follower.batch()
            await follower.acknowledge(first)
            assert await outcomes_of(place, first.exchange_id) == ["allowed"]
            # Cut off, as by a crash: nothing is said of what follows.
            place.broker.recorder.handed_over = lambda *_: None  # type: ignore[method-assign]
            place.broker.recorder.aborted = lambda *_: None  # type: ignore[method-assign]
            await submitted(place, OFFICER)
            second = await follower.batch()
            assert second.exchange_id == first.exchange_id
        await until(lambda: not place.broker.streams._links)
    async with rehoused(tmp_path / "network") as place:
        assert await outcomes_of(place, first.exchange_id, at_least=2) == ["allowed", "indeterminate"]


async def test_a_stream_with_two_endings_in_one_leaf_does_not_stop_the_auditors(tmp_path: Path) -> None:
    """pipeline rule 3: a batch acknowledged and the next one cut off at once: one outcome leaf, found and restarted."""
    async with rehoused(tmp_path / "network") as place:
        await submitted(place, OFFICER)
        async with Follower(place) as follower:
            first = await follower.batch()
            await follower.acknowledge(first)
            await submitted(place, OFFICER)
            await follower.batch()
        assert sorted(await outcomes_of(place, first.exchange_id)) == ["aborted", "allowed"]
        await place.broker.projection.caught_up(len(place.broker.ledger))
    async with rehoused(tmp_path / "network") as place:
        await submitted(place, OFFICER)
