"""`hits`, in both colours and from the command line, against the fake broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from entente.common.v1 import exchange_pb2
from entente.report.v1 import hit_service_pb2 as wire
from entente_sdk import Justification
from entente_sdk.errors import ConfigurationError
from tests.clients.conftest import Colour, Run
from tests.support.fake_broker import FakeBroker

LIST = "/entente.report.v1.HitService/ListHits"
RECORD = "ab" * 16
WHY = Justification("INVESTIGATION")


def hit(number: int) -> wire.Hit:
    made = wire.Hit(
        record_ids=[RECORD],
        agency="justitie.example/haven-police",
        purpose=exchange_pb2.PURPOSE_FRAUD,
        exchange_id=f"{number:032x}",
        contact="desk@haven.example\x1b[2J",
    )
    made.look_time.FromDatetime(datetime(2026, 11, 23, 8, 0, number, tzinfo=UTC))
    return made


class Book:
    """Answers pages of two, newest first, and keeps what was asked."""

    def __init__(self, count: int) -> None:
        self.hits = [hit(number) for number in range(count)]
        self.asked: list[wire.ListHitsRequest] = []

    def __call__(self, request: Any) -> wire.ListHitsResponse:
        asked = request if isinstance(request, wire.ListHitsRequest) else wire.ListHitsRequest.FromString(request)
        self.asked.append(asked)
        start = asked.start_time.seconds
        found = [one for one in reversed(self.hits) if one.look_time.seconds >= start]
        at = int(asked.page_token or 0)
        token = str(at + 2) if len(found) > at + 2 else None
        return wire.ListHitsResponse(hits=found[at : at + 2], next_page_token=token)


@pytest.fixture
def book(broker: FakeBroker) -> Book:
    made = Book(5)
    broker.answers[LIST] = made
    return made


async def test_all_pages_are_read_with_the_same_conditions(colour: Colour, broker: FakeBroker, book: Book) -> None:
    client = colour.client(broker)
    since = datetime(2026, 11, 23, 8, 0, 1, tzinfo=UTC)
    found = await colour.all(client.hits.list(record_id=RECORD, since=since, page_size=2, justification=WHY))
    assert [one.exchange_id for one in found] == [f"{number:032x}" for number in (4, 3, 2, 1)]
    assert {(one.record_id, one.page_size, one.start_time.seconds) for one in book.asked} == {
        (RECORD, 2, int(since.timestamp()))
    }
    with pytest.raises(ConfigurationError, match="time zone"):
        client.hits.list(since=datetime(2026, 11, 23), justification=WHY)
    await colour.run(client.close)


def test_hits_are_listed_page_by_page(run: Run, book: Book) -> None:
    first = run("hits", "--purpose", "INVESTIGATION")
    assert first.exit_code == 0
    assert "2 found; there are more: --all" in first.stdout
    assert "justitie.example/haven-police" in first.stdout
    assert "fraud" in first.stdout
    assert "\x1b[2J" not in first.stdout
    every = json.loads(run("hits", "--all", "--purpose", "INVESTIGATION", "--output", "json").stdout)
    assert [one["exchange_id"] for one in every["hits"]] == [f"{number:032x}" for number in (4, 3, 2, 1, 0)]
    assert (every["more"], len(every["receipts"])) == (False, 3)


def test_watching_prints_each_hit_once_the_oldest_first(run: Run, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """One comes while it waits; one that another worker served turns up later than newer ones."""
    late = book.hits.pop(2)
    coming = [hit(5), late]

    def wait(_: float) -> None:
        book.hits.append(coming.pop(0))
        book.hits.sort(key=lambda one: one.look_time.seconds)

    monkeypatch.setattr("entente_sdk.cli.hits.time.sleep", wait)
    watched = run(
        *("hits", "--watch", "--since", "2026-11-23T08:00:01Z", "--count", "5"),
        *("--purpose", "INVESTIGATION", "--output", "json"),
    )
    shown = [json.loads(line)["exchange_id"] for line in watched.stdout.splitlines()]
    assert shown == [f"{number:032x}" for number in (1, 3, 4, 5, 2)]
