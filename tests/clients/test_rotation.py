"""Against a real broker: certificates are replaced under load, no call fails, nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs import network
from certs.authority import Authority
from entente_sdk import AsyncEntente, Entente, ReportQuery, load_profile, parse_report
from entente_sdk.profile import Profile
from tests.support.live import LiveBroker, live_broker, party_named

PARTY = party_named["regional"]
ROTATIONS = 4


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    with live_broker(tmp_path_factory.mktemp("live")) as running:
        yield running


def profile_of(live: LiveBroker) -> Profile:
    return load_profile(PARTY.profile, environ={"ENTENTE_CONFIG": str(live.network.client_config)})


def token(live: LiveBroker) -> str:
    return network.token(live.network.directory, PARTY)


def rotate(live: LiveBroker) -> None:
    Authority.open(live.network.directory / "authority").issue_agency(*PARTY.agency.split("/"))


def titled(title: str) -> Any:
    return parse_report({"title": title, "header": {"marks": {"classification": "OFFICIAL", "handling_code": "P"}}})


def thumbprints(client: Any) -> str:
    return str(client._calls.connection._lines[-1].material.thumbprint)


def test_calls_of_many_threads_go_on_while_the_certificate_is_replaced(live: LiveBroker) -> None:
    over, seen, failed = threading.Event(), set(), []
    made = itertools.count()
    with Entente(profile_of(live), token=lambda: token(live)) as client:

        def call() -> None:
            while not over.is_set():
                try:
                    client.directory.who_am_i()
                    next(made)
                    seen.add(thumbprints(client))
                except Exception as error:
                    failed.append(error)
                    return

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(ROTATIONS):
            deadline = time.monotonic() + 20
            while len(seen) <= number and time.monotonic() < deadline and not failed:
                time.sleep(0.02)
            rotate(live)
        deadline = time.monotonic() + 20
        while len(seen) <= ROTATIONS and time.monotonic() < deadline and not failed:
            time.sleep(0.02)
        over.set()
        for thread in threads:
            thread.join(30)
        lines = client._calls.connection._lines
        assert len(lines) == 1, "every old channel is closed"
    assert failed == []
    assert len(seen) == ROTATIONS + 1
    print(f"{next(made)} calls over {ROTATIONS} rotations, none failed")


async def test_a_follower_gets_everything_once_while_the_certificate_is_replaced(live: LiveBroker) -> None:
    titles = [f"rotation {number}" for number in range(12)]
    seen: list[str] = []
    lines = set()
    async with (
        AsyncEntente(profile_of(live), token=lambda: token(live)) as reader,
        AsyncEntente(profile_of(live), token=lambda: token(live)) as writer,
        reader.reports.subscribe(from_now=True) as subscription,
    ):
        first = await subscription.__anext__()
        assert first.up_to_date

        async def write() -> None:
            for number, title in enumerate(titles):
                await writer.reports.submit(titled(title))
                if number % 3 == 2:
                    rotate(live)
                    await asyncio.sleep(1.1)

        writing = asyncio.create_task(write())
        async with asyncio.timeout(90):
            async for batch in subscription:
                seen += [change.report.report.title for change in batch.changes]
                await batch.acknowledge()
                lines.add(thumbprints(reader))
                if len(seen) >= len(titles):
                    break
        await writing
    assert seen == titles
    assert len(lines) > 1


def test_a_query_outlives_a_replaced_certificate(live: LiveBroker) -> None:
    with Entente(profile_of(live), token=lambda: token(live)) as client:
        for number in range(3):
            client.reports.submit(titled(f"page {number}"))
        pages = iter(client.reports.search(ReportQuery(), page_size=1))
        next(pages)
        rotate(live)
        client._calls.connection.look()
        assert next(pages) is not None
