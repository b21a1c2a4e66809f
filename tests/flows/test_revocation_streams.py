"""How streams end: what may still arrive, what the log says of it, and what happens when the feed is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from broker import link
from broker.identify.standing import OLDEST_SECONDS
from certs import network
from entente_tlog.receipt import verify_receipt
from tests.flows.test_revocation import REGISTRAR, REVOKE, lifted, person, revoking
from tests.support.exchanges import (
    GET,
    OFFICER,
    REGIONAL,
    SUBSCRIBE,
    Follower,
    ask,
    getting,
    keys_of,
    refusal,
    rehoused,
    starting,
)
from tests.support.house import House, submitted, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def large(report: Any) -> None:
    """About 64 KiB, so that three fill a batch."""
    for line in report.lines:
        line.information = "x" * 32_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A broker with enough for four batches."""
    directory = tmp_path_factory.mktemp("streams") / "network"
    network.create(directory, "127.0.0.1:0")
    async with rehoused(directory) as made:
        for number in range(12):
            await submitted(made, OFFICER, number, large)
        yield made


def last_of(place: House, exchange_id: str) -> dict[str, Any]:
    """The last entry of an exchange."""
    return [leaf for leaf in place.leaves() if leaf["exchange_id"] == exchange_id][-1]


def open_links() -> list[Any]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "acknowledgements"]


async def test_at_most_two_batches_arrive_and_the_log_names_them(full: House) -> None:
    """stream MUST 4: a client that reads and never acknowledges has two batches, and the last entry names both."""
    async with Follower(full, REGIONAL) as follower:
        batches = [await follower.batch(), await follower.batch()]
        given = await ask(full, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR)
        with pytest.raises(grpc.aio.AioRpcError):
            await follower.batch()
    entry = last_of(full, batches[0].exchange_id)
    assert (entry["type"], entry["outcome"], entry["reason"]) == ("denial", "denied", "USER_REVOKED")
    assert entry["unacknowledged"] == [batch.receipt.index for batch in batches]
    await lifted(full, given)


async def test_what_was_acknowledged_is_not_named(full: House) -> None:
    """stream MUST 4: exactly those of which nobody knows."""
    async with Follower(full, REGIONAL) as follower:
        first, second = await follower.batch(), await follower.batch()
        await follower.acknowledge(first)
        third = await follower.batch()
        given = await ask(full, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR)
        await follower.refused()
    assert last_of(full, first.exchange_id)["unacknowledged"] == [second.receipt.index, third.receipt.index]
    await lifted(full, given)


async def test_a_stream_without_open_batches_names_none(full: House) -> None:
    """stream MUST 4: everything acknowledged, nothing to name."""
    async with Follower(full, REGIONAL) as follower:
        await follower.all()
        given = await ask(full, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR)
        refused = await follower.refused()
    assert "unacknowledged" not in last_of(full, refused.exchange_id)
    await lifted(full, given)


async def test_who_leaves_is_on_record_with_what_may_have_arrived(full: House) -> None:
    """stream MUST 4: a client that cancels, likewise."""
    async with Follower(full, REGIONAL) as follower:
        batches = [await follower.batch(), await follower.batch()]
    await until(lambda: last_of(full, batches[0].exchange_id)["outcome"] == "aborted")
    assert last_of(full, batches[0].exchange_id)["unacknowledged"] == [batch.receipt.index for batch in batches]


async def test_a_client_that_does_not_read_is_cut_off(full: House) -> None:
    """link MUST 3: gRPC holds a write when the caller is revoked; the call ends all the same, and what the client reads
    long after are at most the batches that the log names."""
    sent = starting().SerializeToString()
    call = full.channel(REGIONAL).stream_stream(SUBSCRIBE)(metadata=full.metadata(REGIONAL), timeout=60)
    await call.write(sent)
    since = len(full.broker.ledger)
    await until(lambda: bool(full.leaves(since)))
    await asyncio.sleep(0.2)
    given = await ask(full, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR)
    started = time.monotonic()
    await until(lambda: not open_links(), 3.0)
    assert not open_links()
    assert time.monotonic() - started < link.GRACE_SECONDS + 1.0
    mine = [leaf for leaf in full.leaves(since) if leaf.get("actor", {}).get("user") == REGIONAL.user]
    assert (mine[-1]["outcome"], mine[-1]["reason"]) == ("denied", "USER_REVOKED")
    arrived = []
    try:
        while (raw := await call.read()) is not grpc.aio.EOF:
            arrived.append(verify_receipt(request=sent, response=bytes(raw), keys=keys_of(full)).index)
    except grpc.aio.AioRpcError:
        pass
    assert len(arrived) <= link.MAX_UNACKNOWLEDGED
    assert set(arrived) <= set(mine[-1]["unacknowledged"])
    await lifted(full, given)


async def test_a_revocation_between_entry_and_bytes_hands_nothing_over(full: House) -> None:
    """link MUST 1: a batch whose entry was being written when its caller was revoked does not leave."""
    genuine = full.broker.recorder.released
    made = []

    async def meanwhile(*arguments: Any) -> bytes:
        message = await genuine(*arguments)
        if arguments[0].known_caller.user == REGIONAL.user:
            full.broker.recorder.released = genuine  # type: ignore[method-assign]
            made.append(await ask(full, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR))
        return message

    full.broker.recorder.released = meanwhile  # type: ignore[method-assign]
    async with Follower(full, REGIONAL) as follower:
        with pytest.raises(grpc.aio.AioRpcError):
            await follower.batch()
    mine = [leaf for leaf in full.leaves() if leaf.get("reason") == "USER_REVOKED"]
    assert "unacknowledged" not in mine[-1]
    await lifted(full, made[0])


async def test_a_lost_feed_serves_nobody_and_comes_back(tmp_path: Path) -> None:
    """standing MUST 2, watch MUST 2: the database is gone from its place. After five seconds everybody is refused, the
    streams have ended and health says so; it is put back, and all goes on by itself."""
    directory = tmp_path / "network"
    async with rehoused(directory) as place:
        target = await submitted(place, OFFICER)
        stub = health_pb2_grpc.HealthStub(place.channel(OFFICER))
        await ask(place, GET, getting(target.record_id))
        async with Follower(place, REGIONAL) as follower:
            await follower.acknowledge(await follower.batch())
            (directory / "data/store.db").rename(directory / "data/elsewhere.db")
            lost = time.monotonic()
            ended = await follower.refused()
            took = time.monotonic() - lost
        assert (ended.status, ended.reason) == (grpc.StatusCode.UNAVAILABLE, "REVOCATIONS_UNAVAILABLE")
        print(f"\nthe feed lost: the last stream ended after {took:.2f} s")
        assert OLDEST_SECONDS - 0.5 < took < 2 * OLDEST_SECONDS
        refused = await refusal(place, GET, getting(target.record_id))
        assert (refused.status, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "REVOCATIONS_UNAVAILABLE")
        serving = health_pb2.HealthCheckResponse
        assert await told(stub, serving.NOT_SERVING)
        (directory / "data/elsewhere.db").rename(directory / "data/store.db")
        await until(lambda: place.broker.standing.is_current)
        await ask(place, GET, getting(target.record_id))
        assert await told(stub, serving.SERVING)


async def told(stub: health_pb2_grpc.HealthStub, status: int) -> bool:
    """Whether health comes to say so: a stream may end a moment before the watch's next turn."""
    for _ in range(250):
        if (await stub.Check(health_pb2.HealthCheckRequest())).status == status:
            return True
        await asyncio.sleep(0.02)
    return False
