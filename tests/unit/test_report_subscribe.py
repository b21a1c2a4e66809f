"""Subscribe: batches in order, a cursor that resumes, and silence about what is hidden."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from broker.domain.errors import RequestError
from broker.domain.grant import Grant, StaleGrantError
from broker.handle.report.subscription import Batch, Subscription
from broker.store.store import Store
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.grants import a_caller, grant_all, grant_rows
from tests.support.reports import NORTH, SOUTH, Desk, line, marks, open_store, report


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


START = report_service_pb2.SubscribeReportsRequest(start=report_service_pb2.SubscribeStart())


def subscribe(desk: Desk, grant: Grant | None = None, **start: object) -> Subscription:
    wanted = report_service_pb2.SubscribeStart(**start)  # type: ignore[arg-type]
    return desk.handlers.open_subscription(desk.call(START, grant), wanted)


async def take(desk: Desk, subscription: Subscription, grant: Grant | None = None, seconds: float = 0) -> Batch | None:
    return await subscription.next_batch(desk.call(START, grant), seconds)


def told(batch: Batch | None) -> tuple[list[tuple[str, int]], bool]:
    assert batch is not None
    frame = report_service_pb2.SubscribeReportsResponse.FromString(batch.answer.envelope)
    assert frame.cursor == batch.cursor
    kinds = [report_service_pb2.ReportChange.FromString(item.wrapper).kind for item in batch.answer.items]
    titles = [report_pb2.Report.FromString(item.payload).title for item in batch.answer.items]
    return list(zip(titles, kinds, strict=True)), frame.up_to_date


def secret(title: str) -> report_pb2.Report:
    return report(title, header=record_pb2.RecordHeader(marks=marks("SECRET")))


def low(store: Store) -> Grant:
    return grant_rows(store, [n for n, one in store.mark_sets(0) if one.classification == "OFFICIAL"])


async def test_changes_come_in_order_with_what_happened(desk: Desk) -> None:
    made = await desk.submit(report("one"))
    amended = await desk.amend(made.record_id, made.etag, ["title"], report("two"))
    await desk.submit(report("other"))
    await desk.retract(made.record_id, amended.etag)
    changes, up_to_date = told(await take(desk, subscribe(desk)))
    assert changes == [
        ("one", report_pb2.CHANGE_KIND_SUBMITTED),
        ("two", report_pb2.CHANGE_KIND_AMENDED),
        ("other", report_pb2.CHANGE_KIND_SUBMITTED),
        ("", report_pb2.CHANGE_KIND_RETRACTED),
    ]
    assert up_to_date
    others, _ = told(await take(Desk(desk.store, a_caller(SOUTH)), subscribe(Desk(desk.store, a_caller(SOUTH)))))
    assert others == [("other", report_pb2.CHANGE_KIND_SUBMITTED), ("", report_pb2.CHANGE_KIND_RETRACTED)]


async def test_the_first_batch_comes_at_once_and_then_only_news(desk: Desk) -> None:
    subscription = subscribe(desk)
    assert told(await take(desk, subscription)) == ([], True)
    assert await take(desk, subscription) is None
    await desk.submit(report("one"))
    assert told(await take(desk, subscription)) == ([("one", 1)], True)
    assert await take(desk, subscription) is None


async def test_a_commit_wakes_the_waiting(desk: Desk) -> None:
    await desk.submit(report("seed"))
    subscription = subscribe(desk, from_now=True)
    assert told(await take(desk, subscription)) == ([], True)
    waiting = asyncio.ensure_future(take(desk, subscription, seconds=30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await desk.submit(report("news"))
    async with asyncio.timeout(0.9):
        assert told(await waiting) == ([("news", 1)], True)


async def test_a_change_of_another_process_is_seen_without_a_bell(desk: Desk, tmp_path: Path) -> None:
    await desk.submit(report("seed"))
    subscription = subscribe(desk, from_now=True)
    await take(desk, subscription)
    other = open_store(tmp_path / "store.db")
    waiting = asyncio.ensure_future(take(desk, subscription, seconds=30))
    await asyncio.sleep(0)
    await Desk(other).submit(report("from elsewhere"))
    async with asyncio.timeout(5):
        assert told(await waiting) == ([("from elsewhere", 1)], True)
    other.close()


async def test_a_cursor_resumes_and_serves_nobody_else(desk: Desk) -> None:
    await desk.submit(report("one"))
    first = await take(desk, subscribe(desk))
    assert first is not None
    await desk.submit(report("two"))
    assert told(await take(desk, subscribe(desk, cursor=first.cursor))) == ([("two", 1)], True)
    south = Desk(desk.store, a_caller(SOUTH))
    for who, start in ((south, {}), (desk, {"originator": NORTH})):
        with pytest.raises(RequestError) as refusal:
            subscribe(who, cursor=first.cursor, **start)
        assert refusal.value.reason == "CURSOR_INVALID"
    with pytest.raises(RequestError) as refusal:
        subscribe(desk, cursor=first.cursor, from_now=True)
    assert refusal.value.reason == "REQUEST_INVALID"


async def test_hidden_changes_are_passed_in_silence(desk: Desk) -> None:
    await desk.submit(report("seed"))
    await desk.submit(secret("seed"))
    subscription = subscribe(desk, low(desk.store), from_now=True)
    assert told(await take(desk, subscription, low(desk.store))) == ([], True)
    for n in range(30):
        await desk.submit(secret(f"hidden {n}"))
    assert await take(desk, subscription, low(desk.store)) is None
    await desk.submit(report("seen"))
    await desk.submit(secret("hidden"))
    batch = await take(desk, subscription, low(desk.store))
    assert told(batch) == ([("seen", 1)], True)
    assert await take(desk, subscription, low(desk.store)) is None


async def test_batches_are_bounded_and_complete(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.store.changes.WINDOW", 50)
    await desk.submit(report("r"))
    await desk.submit(secret("s"))
    grant = grant_all(desk.store)
    sent = [secret(f"s{n}") if n % 3 else report(f"r{n}") for n in range(400)]
    await asyncio.gather(*(desk.submit(one, grant=grant) for one in sent))
    subscription = subscribe(desk)
    seen: list[str] = []
    while True:
        batch = await take(desk, subscription, low(desk.store))
        changes, up_to_date = told(batch)
        assert len(changes) <= 64
        assert batch is not None
        assert sum(len(item.payload) for item in batch.answer.items) <= 200_000
        seen += [title for title, _ in changes]
        if up_to_date:
            break
        assert changes
    assert seen == ["r", *(f"r{n}" for n in range(0, 400, 3))]


async def test_a_large_report_comes_alone_and_the_batch_before_it_is_cut(desk: Desk) -> None:
    large = report("large", lines=[line(str(n), "x" * 30_000) for n in range(10)])
    for sent in (report("first"), large, report("last")):
        await desk.submit(sent)
    subscription = subscribe(desk)
    batches = [told(await take(desk, subscription)) for _ in range(3)]
    assert batches == [([("first", 1)], False), ([("large", 1)], False), ([("last", 1)], True)]


async def test_a_stale_grant_loses_nothing(desk: Desk) -> None:
    await desk.submit(report("one"))
    old = grant_all(desk.store)
    subscription = subscribe(desk)
    await desk.submit(secret("two"))
    with pytest.raises(StaleGrantError):
        await take(desk, subscription, old)
    changes, _ = told(await take(desk, subscription))
    assert [title for title, _ in changes] == ["one", "two"]


async def test_only_one_originators_changes_where_asked_and_its_head_is_released(store: Store) -> None:
    north, south = Desk(store), Desk(store, a_caller(SOUTH))
    await north.submit(report("n"))
    await south.submit(report("s"))
    assert told(await take(north, subscribe(north, originator=SOUTH))) == ([("s", 1)], True)
    headless = grant_all(store, without=["HEADER"])
    assert told(await take(north, subscribe(north, headless, originator=SOUTH), headless)) == ([], True)


async def test_a_cancelled_wait_loses_nothing(desk: Desk) -> None:
    subscription = subscribe(desk)
    await take(desk, subscription)
    waiting = asyncio.ensure_future(take(desk, subscription, seconds=30))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0)
    await desk.submit(report("one"))
    assert told(await take(desk, subscription)) == ([("one", 1)], True)
