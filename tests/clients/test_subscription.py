"""A subscription survives its connection: it resumes after the last acknowledged batch."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk import AsyncEntente, LimitError, ReceiptError, UnavailableError
from tests.clients.conftest import Colour
from tests.support.fake_broker import SUBSCRIBE, FakeBroker, Refuse

Code = grpc.StatusCode
LOST = Refuse(Code.UNAVAILABLE, "SHUTTING_DOWN")


def batch(title: str) -> reports.SubscribeReportsResponse:
    report = report_pb2.DisclosedReport(report=report_pb2.Report(title=title))
    change = reports.ReportChange(kind=report_pb2.CHANGE_KIND_SUBMITTED, report=report)
    return reports.SubscribeReportsResponse(changes=[change])


def title(found: Any) -> str:
    return str(found.changes[0].report.report.title)


def cursors(broker: FakeBroker) -> list[str]:
    """Where each connection started."""
    starts = [call.request for call in broker.calls if call.path == SUBSCRIBE]
    return [reports.SubscribeReportsRequest.FromString(raw).start.cursor for raw in starts]


@pytest.fixture
def stream(broker: FakeBroker) -> FakeBroker:
    broker.batches = [batch("one"), batch("two"), batch("three")]
    return broker


async def test_batches_come_in_order_and_are_acknowledged(colour: Colour, stream: FakeBroker) -> None:
    client = colour.client(stream)
    subscription = client.reports.subscribe()
    for expected in ("one", "two", "three"):
        found = await colour.next(subscription)
        assert title(found) == expected
        assert found.answer.receipt.exchange_id
        await colour.run(found.acknowledge)
        await colour.run(found.acknowledge)
    assert subscription.cursor == "3"
    await colour.run(subscription.close)
    await colour.run(client.close)
    assert stream.acknowledged[:2] == ["1", "2"]
    assert stream.acknowledged.count("2") == 1


async def test_a_lost_connection_resumes_after_the_last_acknowledged(colour: Colour, stream: FakeBroker) -> None:
    stream.breaks = [(1, LOST)]
    client = colour.client(stream)
    subscription = client.reports.subscribe()
    first = await colour.next(subscription)
    await colour.run(first.acknowledge)
    second = await colour.next(subscription)
    assert title(second) == "two"
    await colour.run(subscription.close)
    await colour.run(client.close)
    assert cursors(stream) == ["", "1"]


@pytest.mark.parametrize("end", [LOST, Refuse(Code.INTERNAL, bare=True)], ids=["told", "not told"])
async def test_what_was_not_acknowledged_comes_again(colour: Colour, stream: FakeBroker, end: Refuse) -> None:
    stream.breaks = [(0, end), (0, end)]
    client = colour.client(stream)
    subscription = client.reports.subscribe(cursor="1")
    found = await colour.next(subscription)
    assert title(found) == "two"
    assert cursors(stream) == ["1", "1", "1"]
    await colour.run(subscription.close)
    await colour.run(client.close)


async def test_an_expired_right_is_renewed_with_a_fresh_token(colour: Colour, stream: FakeBroker) -> None:
    stream.breaks = [(1, Refuse(Code.UNAUTHENTICATED, "STREAM_EXPIRED"))]
    client = colour.client(stream)
    subscription = client.reports.subscribe()
    await colour.run((await colour.next(subscription)).acknowledge)
    stream.token_file()
    assert title(await colour.next(subscription)) == "two"
    await colour.run(subscription.close)
    await colour.run(client.close)
    tokens = {call.token for call in stream.calls}
    assert len(tokens) == 2


async def test_a_stream_that_always_fails_ends(colour: Colour, stream: FakeBroker) -> None:
    stream.breaks = [(0, LOST)] * 9
    client = colour.client(stream)
    with pytest.raises(UnavailableError):
        await colour.next(client.reports.subscribe())
    await colour.run(client.close)
    assert len(cursors(stream)) == 3


async def test_a_limit_with_a_time_to_come_back_is_waited_for(colour: Colour, stream: FakeBroker) -> None:
    stream.breaks = [(1, Refuse(Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", retry_after_s=0.2))]
    client = colour.client(stream)
    subscription = client.reports.subscribe()
    await colour.run((await colour.next(subscription)).acknowledge)
    started = time.monotonic()
    assert title(await colour.next(subscription)) == "two"
    assert time.monotonic() - started >= 0.2
    await colour.run(subscription.close)
    await colour.run(client.close)


async def test_another_refusal_ends_the_stream(colour: Colour, stream: FakeBroker) -> None:
    stream.breaks = [(0, Refuse(Code.RESOURCE_EXHAUSTED, "ACKNOWLEDGEMENT_OVERDUE"))]
    client = colour.client(stream)
    with pytest.raises(LimitError) as caught:
        await colour.next(client.reports.subscribe())
    await colour.run(client.close)
    assert caught.value.receipt is not None


async def test_a_tampered_batch_is_not_handed_over(colour: Colour, stream: FakeBroker) -> None:
    stream.tamper = lambda path, request, raw: raw.replace(b"one", b"0ne")
    client = colour.client(stream)
    with pytest.raises(ReceiptError):
        await colour.next(client.reports.subscribe())
    await colour.run(client.close)


async def test_an_empty_batch_holds_the_place_of_a_stream_from_now(colour: Colour, broker: FakeBroker) -> None:
    broker.batches = [batch("old"), reports.SubscribeReportsResponse(up_to_date=True), batch("new")]
    client = colour.client(broker)
    subscription = client.reports.subscribe(cursor="1")
    empty = await colour.next(subscription)
    assert empty.up_to_date
    assert not empty.changes
    assert subscription.cursor == "2"
    assert title(await colour.next(subscription)) == "new"
    await colour.run(subscription.close)
    await colour.run(client.close)
    assert broker.acknowledged[:1] == ["2"]


async def test_the_with_block_ends_the_stream(broker: FakeBroker) -> None:
    broker.batches = [batch("one")]
    colour = Colour(AsyncEntente)
    async with colour.client(broker) as client, client.reports.subscribe() as subscription:
        async for found in subscription:
            assert title(found) == "one"
            break
