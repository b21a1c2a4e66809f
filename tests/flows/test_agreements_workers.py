"""Over two workers: a withdrawal at one ends the streams at both, and no worker answers under it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.flows.test_agreements import PURPOSE, official
from tests.support.agreements import concluded, sample, withdrawn
from tests.support.exchanges import (
    LIAISON,
    OFFICER,
    SEARCH,
    SUBMIT,
    Follower,
    ask,
    searching,
    starting,
    submission,
)
from tests.support.house import reason_of
from tests.support.live import live_broker
from tests.support.workers import remote_to_each

ROUNDS = 4
GOAL_MAX_MS = 1000.0


async def ended_at(follower: Follower) -> tuple[str, float]:
    """Why a stream ended, and when."""
    try:
        while await follower.call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return reason_of(error).reason, time.monotonic()
    raise AssertionError("the stream ended without a reason")


async def test_a_withdrawal_ends_streams_at_every_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """watch MUST 1, link MUST 4: each stream ends with the reason, and after the answer no worker finds a thing."""
    lags: list[float] = []
    with live_broker(tmp_path / "network", workers=2) as live:
        async with remote_to_each(live, LIAISON) as places:
            anywhere = next(iter(places.values()))
            report = submission()
            official(report.report)
            await ask(anywhere, SUBMIT, report, OFFICER)
            for number in range(ROUNDS):
                await concluded(anywhere, sample(f"trial-{number}"))
                lags += await one_round(list(places.values()), f"trial-{number}")
    with capsys.disabled():
        print(f"\nwithdrawn, {len(lags)} streams on two workers: ended after {min(lags):.0f} to {max(lags):.0f} ms")
    assert max(lags) < GOAL_MAX_MS


async def one_round(places: list[Any], agreement_id: str) -> list[float]:
    """Milliseconds from the withdrawal's answer to each stream's end; negative: before the answer came."""
    async with AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(Follower(place, LIAISON, start=starting(PURPOSE))) for place in places
        ]
        for follower in followers:
            assert len(await follower.all()) == 1
        ends = [asyncio.create_task(ended_at(follower)) for follower in followers]
        await withdrawn(places[0], agreement_id)
        answered = time.monotonic()
        for place in places:
            # The store's own revision is asked in each read: whoever asks after the answer gets nothing, anywhere.
            found = await ask(place, SEARCH, searching(PURPOSE), LIAISON)
            assert not found.message.reports
        told = await asyncio.gather(*ends)
    assert [reason for reason, _ in told] == ["AGREEMENT_ENDED"] * len(places)
    return [(moment - answered) * 1000 for _, moment in told]
