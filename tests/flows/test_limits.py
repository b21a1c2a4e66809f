"""A noisy agency is told so, with a time to wait; the others are served, and the ledger counts every refusal."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2

from broker.audit.visit import RefusedError
from broker.domain.answer import Answer, Call
from broker.domain.caller import AgencyId, Peer
from broker.limits.limits import LEAST_WAIT_SECONDS
from broker.limits.tally import Cell
from broker.server import HOLD_SECONDS
from certs import network
from certs.network import Party
from tests.support.exchanges import (
    GET,
    NATIONAL,
    OFFICER,
    REGIONAL,
    SUBMIT,
    Follower,
    Refused,
    Remote,
    ask,
    checked_refusal,
    getting,
    refusal,
    rehoused,
    submission,
)
from tests.support.house import House, submitted, until
from tests.support.live import live_broker

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
BURST, RATE = 20, 5
LIMITS = {"requests_per_second": RATE, "burst": BURST, "streams": 2, "connections": 3, "calls": 12}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with rehoused(tmp_path_factory.mktemp("limits") / "network", limits=LIMITS) as made:
        yield made


async def flood(place: House | Remote, party: Party, count: int, request: bytes) -> Counter[str]:
    """Calls one after another; how many were served and refused."""
    seen: Counter[str] = Counter()
    for _ in range(count):
        try:
            await place.unary(GET, request, party)
            seen["OK"] += 1
        except grpc.aio.AioRpcError as error:
            seen[error.code().name] += 1
    return seen


async def together(place: House, party: Party, count: int, request: bytes) -> list[Refused]:
    """Calls at once; those that were refused."""
    found = await asyncio.gather(*(place.unary(GET, request, party) for _ in range(count)), return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    assert all(isinstance(one, grpc.aio.AioRpcError) for one in errors), errors
    return [checked_refusal(place, one, request) for one in errors if isinstance(one, grpc.aio.AioRpcError)]


async def rested(place: House, party: Party) -> None:
    """Wait until the agency has its burst again, and nothing under way."""

    def is_rested() -> bool:
        limits = place.broker.limits
        limits.look()
        _, account = limits._account(_peer(party).agency)
        return account.requests._level >= BURST and not held(place, party, Cell.CALLS)

    await until(is_rested, 20)


def _peer(party: Party) -> Peer:
    return Peer(AgencyId.parse(party.agency), "", b"", "", 0)


def held(place: House, party: Party, cell: Cell) -> int:
    """How many places an agency holds."""
    tally = place.broker.limits._tally
    return tally.held(tally.row(party.agency), cell)


def retry_s(details: Sequence[object]) -> float:
    """The seconds that a refusal says to wait."""
    (found,) = (one for one in details if isinstance(one, error_details_pb2.RetryInfo))
    return float(found.retry_delay.ToNanoseconds() / 1e9)


async def test_a_noisy_agency_is_refused_and_counted_and_the_others_are_served(place: House) -> None:
    record = (await submitted(place, OFFICER)).record_id
    request = getting(record).SerializeToString()
    await rested(place, NATIONAL)
    since = len(place.broker.ledger)
    # Each batch fits among the calls under way.
    waves, found = 12, []
    for _ in range(waves):
        found += await together(place, NATIONAL, 10, request)
        await ask(place, GET, getting(record), REGIONAL)
    assert len(found) > BURST
    assert {(one.status, one.reason) for one in found} == {(EXHAUSTED, "LIMIT_EXCEEDED")}
    assert all(retry_s(one.details) >= LEAST_WAIT_SECONDS for one in found)
    assert all("calls a second" in one.message for one in found)
    await asyncio.sleep(retry_s(found[-1].details))
    await ask(place, GET, getting(record), NATIONAL)
    await counted(place, since, found)


async def counted(place: House, since: int, found: list[Refused]) -> None:
    """Each refusal is on the ledger: by itself with a receipt, or in the count that its exchange id names."""
    own = {one.exchange_id for one in found if one.receipt is not None}
    others = Counter(one.exchange_id for one in found if one.receipt is None)

    def denials() -> list[dict[str, Any]]:
        return [leaf for leaf in place.leaves(since) if leaf["type"] == "denial"]

    await until(lambda: sum(leaf.get("count", 1) for leaf in denials()) >= len(found))
    counts = {leaf["exchange_id"]: leaf.get("count", 1) for leaf in denials()}
    assert counts == {**dict.fromkeys(own, 1), **others}
    assert {leaf["actor"]["agency"] for leaf in denials()} == {NATIONAL.agency}
    assert {leaf["method"] for leaf in denials()} == {GET}
    # One of each in a second.
    assert len(own) <= len(others) + 2
    assert others.total() > len(others)


async def test_who_ignores_the_time_to_wait_is_refused_no_faster_than_its_calls_allow(place: House) -> None:
    """A caller that sends again at once would otherwise be refused as fast as the broker can, at the others' cost."""
    callers, seconds, refused = 10, 2.0, 0
    request = getting("0" * 32).SerializeToString()
    began = time.monotonic()

    async def caller() -> None:
        nonlocal refused
        while time.monotonic() < began + seconds:
            refused += (await flood(place, NATIONAL, 1, request))["RESOURCE_EXHAUSTED"]

    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = time.monotonic() - began
    # The first of each second is not held.
    assert 0 < refused <= callers * (elapsed / HOLD_SECONDS[0] + 1) + elapsed + 2
    await rested(place, NATIONAL)


async def test_a_token_is_not_looked_at_for_a_call_over_the_limit(place: House) -> None:
    """The order is certificate, limit, token: a flood costs no signature."""
    garbage = (("authorization", "Bearer garbage"),)
    reasons: Counter[str] = Counter()
    for _ in range(BURST + 60):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(place.unary(GET, b"", NATIONAL, metadata=garbage), 20)
        reasons[checked_refusal(place, caught.value, b"").reason] += 1
        if reasons["LIMIT_EXCEEDED"] >= 3:
            break
    assert set(reasons) == {"TOKEN_MALFORMED", "LIMIT_EXCEEDED"}
    await rested(place, NATIONAL)


async def test_a_refused_call_leaves_nothing_to_the_garbage_collector(place: House) -> None:
    """A thousand refused calls that held one another stopped everybody's for a tenth of a second."""

    def refused() -> int:
        return sum(isinstance(one, RefusedError) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await refusal(place, GET, getting("0" * 32), OFFICER)
        await until(lambda: refused() <= 2)
        assert refused() <= 2, "not one for each call"
    finally:
        gc.enable()


async def test_an_answered_call_leaves_nothing_to_the_garbage_collector(place: House) -> None:
    """Each call's context holds what gRPC holds for the call."""
    made = await submitted(place, OFFICER)

    def contexts() -> int:
        return sum(type(one).__name__ == "_ServicerContext" for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = contexts()
        for _ in range(10):
            await ask(place, GET, getting(made.record_id), OFFICER)
        await until(lambda: contexts() <= before + 1)
        assert contexts() <= before + 1
    finally:
        gc.enable()
    await rested(place, OFFICER)
    await rested(place, REGIONAL)


async def test_open_streams_are_limited_and_a_place_comes_back(place: House) -> None:
    await submitted(place, OFFICER)
    async with Follower(place, REGIONAL) as first, Follower(place, REGIONAL) as second:
        for follower in (first, second):
            await follower.acknowledge(await follower.batch())
        async with Follower(place, REGIONAL) as third:
            refused = await third.refused()
        assert (refused.status, refused.reason) == (EXHAUSTED, "LIMIT_EXCEEDED")
        assert "2 open streams" in refused.message
        assert retry_s(refused.details) > 0
        async with Follower(place, OFFICER) as another:
            await another.batch()
    await rested(place, REGIONAL)
    async with Follower(place, REGIONAL) as again:
        await again.batch()


async def test_connections_are_limited_and_a_place_comes_back(place: House) -> None:
    """The kernel's list of connections tells which are gone."""
    await rested(place, NATIONAL)
    request = getting("0" * 32).SerializeToString()
    others = [House(place.broker, place.directory) for _ in range(LIMITS["connections"] + 1)]
    await forgotten(place, NATIONAL, 1)
    try:
        codes = [(await refusal(one, GET, request, NATIONAL)).status for one in others]
        # One connection of the earlier tests, and two of these.
        assert codes == [grpc.StatusCode.NOT_FOUND] * 2 + [EXHAUSTED] * 2
        last = await refusal(others[-1], GET, request, NATIONAL)
        assert "3 connections" in last.message
        await others[0].channel(NATIONAL).close()
        # The client's exceptions hold their calls, and a call its connection, until the collector comes by.
        gc.collect()
        await forgotten(place, NATIONAL, 2)
        assert (await refusal(others[-1], GET, request, NATIONAL)).status == grpc.StatusCode.NOT_FOUND
    finally:
        for one in others:
            await one.channel(NATIONAL).close()


async def forgotten(place: House, party: Party, left: int) -> None:
    """Wait until the broker counts so few connections of an agency."""
    await until(lambda: held(place, party, Cell.CONNECTIONS) <= left)


async def test_calls_under_way_are_limited(place: House) -> None:
    """Calls that send nothing hold a place until the first message's deadline, and their own agency alone waits."""
    await rested(place, REGIONAL)
    request = getting("0" * 32).SerializeToString()
    silent = [
        place.channel(REGIONAL).stream_unary(GET)(metadata=place.metadata(REGIONAL), timeout=30)
        for _ in range(LIMITS["calls"])
    ]
    await until(lambda: held(place, REGIONAL, Cell.CALLS) == LIMITS["calls"])
    refused = await refusal(place, GET, request, REGIONAL)
    assert (refused.status, refused.reason) == (EXHAUSTED, "LIMIT_EXCEEDED")
    assert "12 calls under way" in refused.message
    assert (await refusal(place, GET, request, OFFICER)).status == grpc.StatusCode.NOT_FOUND
    for call in silent:
        call.cancel()
    await until(lambda: held(place, REGIONAL, Cell.CALLS) == 0)
    assert (await refusal(place, GET, request, REGIONAL)).status == grpc.StatusCode.NOT_FOUND


async def test_bytes_are_limited_and_a_debt_is_paid_in_time(tmp_path: Path) -> None:
    """Two seconds' worth may go at once; what goes beyond is waited for."""
    async with rehoused(tmp_path / "network", limits={"bytes_per_second": 2000}) as place:
        record = (await submitted(place, OFFICER)).record_id
        refused = None
        for _ in range(20):
            try:
                await ask(place, GET, getting(record), REGIONAL)
            except grpc.aio.AioRpcError as error:
                refused = checked_refusal(place, error, getting(record).SerializeToString())
                break
        assert refused is not None
        assert refused.status == EXHAUSTED
        assert "2000 bytes a second" in refused.message
        await asyncio.sleep(retry_s(refused.details))
        await ask(place, GET, getting(record), REGIONAL)


async def test_a_stream_in_debt_goes_on_more_slowly(tmp_path: Path) -> None:
    """A follower is not ended for what it was sent; it waits for its next batch, and misses nothing."""
    net = network.create(tmp_path / "network", "127.0.0.1:0")
    own = f'\n[[limits.agencies]]\nname = "{REGIONAL.agency}"\nbytes_per_second = 2000\n'
    net.broker_config.write_text(net.broker_config.read_text() + own)
    async with rehoused(tmp_path / "network") as place:
        made = [(await submitted(place, OFFICER, number)).record_id for number in range(5)]
        async with Follower(place, REGIONAL) as follower:
            assert [one.report.report.header.record_id for one in await follower.all()] == made
            owed_s, began = place.broker.limits.debt_s(_peer(REGIONAL)), time.monotonic()
            assert owed_s > 0
            another = (await submitted(place, OFFICER, 5)).record_id
            assert [one.report.report.header.record_id for one in await follower.all()] == [another]
            assert time.monotonic() - began >= owed_s


async def test_a_call_ends_after_the_longest_time_whatever_its_client_allows(tmp_path: Path) -> None:
    """A typed refusal on record; of a write that was under way nobody says that it did not happen."""
    async with rehoused(tmp_path / "network", limits={"longest_call_seconds": 1}) as place:
        record = (await submitted(place, OFFICER)).record_id

        async def hang(_: Call) -> Answer:
            await asyncio.sleep(60)
            raise AssertionError("not reached")

        handlers: Any = place.broker.pipeline.handlers
        handlers[GET] = handlers[SUBMIT] = hang
        for path, request, outcome in ((GET, getting(record), "denied"), (SUBMIT, submission(), "indeterminate")):
            refused = await refusal(place, path, request, timeout=30)
            assert (refused.status, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CALL_TOO_LONG")
            assert "longer than 1 s" in refused.message
            assert refused.receipt is not None
            assert refused.receipt.leaf["outcome"] == outcome


async def test_a_silent_call_ends_after_the_first_messages_deadline(tmp_path: Path) -> None:
    async with rehoused(tmp_path / "network", limits={"first_message_seconds": 1}) as place:
        call = place.channel(OFFICER).stream_unary(GET)(metadata=place.metadata(OFFICER), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert checked_refusal(place, caught.value, b"").reason == "REQUEST_MALFORMED"


async def test_two_workers_share_an_agencys_quota(tmp_path: Path) -> None:
    """Each connection comes to either worker; together they let in what one would."""
    with live_broker(tmp_path / "network", workers=2, limits=LIMITS | {"connections": 64}) as live:
        request = getting("0" * 32).SerializeToString()
        remotes = [Remote(live) for _ in range(8)]
        try:
            seen: Counter[str] = Counter()
            for _ in range(12):
                for one in remotes:
                    seen += await flood(one, NATIONAL, 1, request)
                if seen["RESOURCE_EXHAUSTED"]:
                    break
            # A burst, and what the time of the calls gave: two bursts would be 40.
            assert BURST <= seen["NOT_FOUND"] < 2 * BURST
        finally:
            for one in remotes:
                await one.close()
