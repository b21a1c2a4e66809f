"""Rules 10 and 13 of the pipeline: the right to listen is looked at again and again, and nobody is sent ahead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from broker import link, stream
from broker.identify.roots import anchors_from_pem
from certs.authority import Authority
from tests.support.exchanges import (
    GET,
    OFFICER,
    REGIONAL,
    Follower,
    ShiftedClock,
    acknowledging,
    ask,
    checked_refusal,
    getting,
    refusal,
    rehoused,
    starting,
)
from tests.support.house import House, reason_of, submitted

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
THIRTY_ONE_DAYS_S = 31 * 86_400.0
SIX_MINUTES_S = 360.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A broker with enough reports for four batches."""
    async with rehoused(tmp_path_factory.mktemp("full") / "network") as made:
        for first in range(0, 230, 23):
            await asyncio.gather(*(submitted(made, OFFICER, number) for number in range(first, first + 23)))
        yield made


@pytest.mark.parametrize(
    ("ahead_s", "reason"), [(THIRTY_ONE_DAYS_S, "CERTIFICATE_EXPIRED"), (SIX_MINUTES_S, "TOKEN_EXPIRED")]
)
async def test_a_right_that_expires_ends_calls_on_an_open_connection(
    tmp_path: Path, ahead_s: float, reason: str
) -> None:
    """pipeline rule 10: the certificate (and token) is checked at each call, not at the handshake alone."""
    clock = ShiftedClock()
    async with rehoused(tmp_path / "network", clock=clock) as place:
        target, metadata = await submitted(place, OFFICER), place.metadata(OFFICER)
        await ask(place, GET, getting(target.record_id), metadata=metadata)
        clock.ahead_s = ahead_s
        refused = await refusal(place, GET, getting(target.record_id), metadata=metadata)
        assert (refused.status, refused.reason) == (UNAUTHENTICATED, reason)


@pytest.mark.parametrize(
    ("ahead_s", "reason"), [(THIRTY_ONE_DAYS_S, "CERTIFICATE_EXPIRED"), (SIX_MINUTES_S, "TOKEN_EXPIRED")]
)
async def test_a_right_that_expires_ends_an_open_stream(tmp_path: Path, ahead_s: float, reason: str) -> None:
    """pipeline rule 10: a stream outlives neither certificate nor token, and nothing is handed over after."""
    clock = ShiftedClock()
    async with rehoused(tmp_path / "network", clock=clock) as place:
        await submitted(place, OFFICER)
        async with Follower(place, REGIONAL) as follower:
            batch = await follower.batch()
            await follower.acknowledge(batch)
            clock.ahead_s = ahead_s
            released = len(released_batches(place, batch.exchange_id))
            started = time.monotonic()
            refused = await follower.refused()
            assert (refused.status, refused.reason) == (UNAUTHENTICATED, reason)
            assert time.monotonic() - started < stream.RECHECK_SECONDS + 1.0
            assert len(released_batches(place, batch.exchange_id)) == released


def released_batches(place: House, exchange_id: str) -> list[dict[str, Any]]:
    """The batches of a stream that are on record as released."""
    return [leaf for leaf in place.leaves() if leaf["exchange_id"] == exchange_id and leaf["outcome"] == "allowed"]


async def test_a_right_that_ends_while_the_ledger_is_awaited_releases_nothing(tmp_path: Path) -> None:
    """pipeline rule 10: the certificate is looked at once more between the entry and the bytes."""
    clock = ShiftedClock()
    async with rehoused(tmp_path / "network", clock=clock) as place:
        await submitted(place, OFFICER)
        genuine = place.broker.recorder.released

        async def slow(*arguments: Any) -> bytes:
            message = await genuine(*arguments)
            clock.ahead_s = THIRTY_ONE_DAYS_S
            return message

        place.broker.recorder.released = slow  # type: ignore[method-assign]
        async with Follower(place, REGIONAL) as follower:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await follower.batch()
        assert reason_of(caught.value).reason == "CERTIFICATE_EXPIRED"


async def test_rotated_roots_end_open_connections(tmp_path: Path) -> None:
    """pipeline rule 10: the current roots count, for a call and for a stream that TLS once let in."""
    async with rehoused(tmp_path / "network") as place:
        target = await submitted(place, OFFICER)
        stranger = Authority.create(tmp_path / "other")
        async with Follower(place, OFFICER) as follower:
            await follower.acknowledge(await follower.batch())
            place.broker.pipeline.identifier._profile._roots.replace(anchors_from_pem(stranger.root.read_bytes()))
            assert (await follower.refused()).reason == "CERTIFICATE_INVALID"
        assert (await refusal(place, GET, getting(target.record_id))).reason == "CERTIFICATE_INVALID"


async def test_the_agency_comes_from_the_certificate_alone(full: House) -> None:
    """pipeline rule 10: a token of one agency over a connection of another is refused."""
    refused = await refusal(full, GET, getting("0" * 32), REGIONAL, metadata=full.metadata(OFFICER))
    assert (refused.status, refused.reason) == (UNAUTHENTICATED, "ISSUER_NOT_ALLOWED")
    assert refused.receipt is not None
    assert refused.receipt.leaf["actor"]["agency"] == REGIONAL.agency


async def test_at_most_two_batches_are_unacknowledged(full: House) -> None:
    """pipeline rule 13: the third batch is neither sent nor released before the first is acknowledged."""
    async with Follower(full) as follower:
        first, second = await follower.batch(), await follower.batch()
        third = asyncio.create_task(follower.batch())
        await asyncio.sleep(0.4)
        assert not third.done()
        assert len(released_batches(full, first.exchange_id)) == 2
        await follower.acknowledge(first)
        assert (await asyncio.wait_for(third, 5)).message.changes
        assert len(released_batches(full, first.exchange_id)) == 3
        assert second.message.cursor != first.message.cursor


async def test_the_stream_gives_everything_once_and_in_order(full: House) -> None:
    """pipeline rule 13: acknowledged to the end, each change comes once; each batch is below 256 KiB."""
    async with Follower(full) as follower:
        given: list[str] = []
        while True:
            batch = await follower.batch()
            assert len(batch.raw) <= 256 << 10
            await follower.acknowledge(batch)
            given += [change.report.report.header.record_id for change in batch.message.changes]
            if batch.message.up_to_date:
                break
    assert len(given) == len(set(given)) == 230


async def test_large_reports_make_smaller_batches(tmp_path: Path) -> None:
    """pipeline rule 13: a batch is cut by its bytes too."""
    async with rehoused(tmp_path / "network") as place:
        for number in range(8):
            await submitted(place, OFFICER, number, large)
        sizes = []
        async with Follower(place) as follower:
            while True:
                batch = await follower.batch()
                sizes.append(len(batch.raw))
                await follower.acknowledge(batch)
                if batch.message.up_to_date:
                    break
        assert len(sizes) >= 3
        assert max(sizes) <= 256 << 10


def large(report: Any) -> None:
    """About 64 KiB in two lines."""
    for line in report.lines:
        line.information = "quay night van " * 2_100


async def test_a_cursor_resumes_after_what_was_acknowledged(full: House) -> None:
    """pipeline rule 13: what was not acknowledged comes again, what was does not."""
    async with Follower(full) as follower:
        first, second = await follower.batch(), await follower.batch()
        await follower.acknowledge(first)
    async with Follower(full, start=starting(cursor=first.message.cursor)) as again:
        repeated = await again.batch()
    assert [one.SerializeToString() for one in repeated.message.changes] == [
        one.SerializeToString() for one in second.message.changes
    ]


async def test_an_overdue_acknowledgement_ends_the_stream(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """pipeline rule 13: a batch that is not acknowledged in time ends the stream, with a reason and on record."""
    monkeypatch.setattr(link, "ACKNOWLEDGE_SECONDS", 0.4)
    async with Follower(full) as follower:
        await follower.batch()
        started = time.monotonic()
        refused = await follower.refused()
        assert time.monotonic() - started < 1.5
    assert (refused.status, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ACKNOWLEDGEMENT_OVERDUE")


async def test_five_seconds_are_the_rule() -> None:
    """pipeline rule 13: overdue is five seconds, unacknowledged are two."""
    assert (link.ACKNOWLEDGE_SECONDS, link.MAX_UNACKNOWLEDGED) == (5.0, 2)


async def test_a_client_that_stops_reading_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pipeline rule 13: while gRPC holds a write for it; two batches were released, never a third."""
    monkeypatch.setattr(link, "ACKNOWLEDGE_SECONDS", 0.4)
    async with rehoused(tmp_path / "network") as place:
        for number in range(16):
            await submitted(place, OFFICER, number, large)
        since = len(place.broker.ledger)
        # With one message not read, and the window full of it, the next write waits in the broker's gRPC.
        async with Follower(place):
            await asyncio.sleep(2.5)
            entries = place.leaves(since)
            assert [entry["outcome"] for entry in entries if entry["phase"] == "release"].count("allowed") <= 2
            assert entries[-1]["outcome"] in ("denied", "aborted")
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "acknowledgements"]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (starting(), "REQUEST_INVALID"),
        (acknowledging("nonsense"), "CURSOR_INVALID"),
        (b"\xff", "REQUEST_MALFORMED"),
    ],
    ids=["a second start", "an unknown cursor", "no message"],
)
async def test_only_acknowledgements_follow_the_start(full: House, second: Message | bytes, reason: str) -> None:
    """pipeline rule 13: what follows the start acknowledges a batch that is waiting, or ends the stream on record."""
    async with Follower(full) as follower:
        await follower.batch()
        await follower.call.write(second if isinstance(second, bytes) else second.SerializeToString())
        assert (await follower.refused()).reason == reason


async def test_a_stream_begins_with_its_start(full: House) -> None:
    """pipeline rule 13: an acknowledgement comes after a start, never before."""
    call = full.channel(OFFICER).stream_stream("/entente.report.v1.ReportService/SubscribeReports")(
        metadata=full.metadata(OFFICER), timeout=20
    )
    sent = acknowledging("0").SerializeToString()
    await call.write(sent)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert checked_refusal(full, caught.value, sent).reason == "REQUEST_INVALID"


async def test_a_refused_stream_is_on_record_before_it_has_spoken(full: House) -> None:
    """pipeline rule 13: who leaves without a word cannot turn its refusal into a mere cancellation."""
    since = len(full.broker.ledger)
    stream = full.channel(OFFICER).stream_stream("/entente.report.v1.ReportService/SubscribeReports")(timeout=20)
    (entry,) = await full.settled(since)
    stream.cancel()
    assert entry["reason"] == "TOKEN_MISSING"
