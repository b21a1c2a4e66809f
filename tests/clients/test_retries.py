"""What may be repeated is, with the same bytes; nothing else is."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from entente.report.v1 import report_service_pb2 as reports
from entente_sdk import (
    ConflictError,
    LimitError,
    RetryPolicy,
    UnavailableError,
    parse_report,
)
from entente_sdk.retries import Budget
from tests.clients.conftest import Colour
from tests.support.fake_broker import FakeBroker, Refuse

Code = grpc.StatusCode
SUBMIT = "/entente.report.v1.ReportService/SubmitReport"
REPORT = parse_report({"title": "x", "header": {"marks": {"classification": "OFFICIAL", "handling_code": "P"}}})


def accepted(_: bytes) -> reports.SubmitReportResponse:
    return reports.SubmitReportResponse(record_id="a" * 32, version=1, etag="e")


async def submit(colour: Colour, broker: FakeBroker, **options: Any) -> Any:
    client = colour.client(broker)
    try:
        return await colour.run(client.reports.submit, REPORT, **options)
    finally:
        await colour.run(client.close)


@pytest.mark.parametrize(
    "step",
    [
        Refuse(Code.UNAVAILABLE, "SHUTTING_DOWN"),
        Refuse(Code.UNAVAILABLE, bare=True),
        Refuse(Code.CANCELLED, bare=True),
    ],
    ids=["shutting down", "transport", "cancelled by the other side"],
)
async def test_a_repeated_write_keeps_its_idempotency_key(colour: Colour, broker: FakeBroker, step: Refuse) -> None:
    broker.script[SUBMIT] = [step, step]
    broker.answers[SUBMIT] = accepted
    answer = await submit(colour, broker)
    assert answer.message.record_id == "a" * 32
    assert len(broker.calls) == 3
    assert len({call.request for call in broker.calls}) == 1


async def test_two_writes_have_two_keys(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[SUBMIT] = accepted
    await submit(colour, broker)
    await submit(colour, broker)
    keys = {reports.SubmitReportRequest.FromString(call.request).idempotency_key for call in broker.calls}
    assert len(keys) == 2


async def test_a_key_of_ones_own_is_kept(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[SUBMIT] = accepted
    key = "7d0f8a54-0f3f-4be2-8ad5-3b2b4b7d7a11"
    await submit(colour, broker, idempotency_key=key)
    assert reports.SubmitReportRequest.FromString(broker.calls[0].request).idempotency_key == key


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Refuse(Code.ABORTED, "WRITE_IN_PROGRESS"), ConflictError),
        (Refuse(Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED"), LimitError),
    ],
)
async def test_other_refusals_are_not_repeated(colour: Colour, broker: FakeBroker, step: Refuse, kind: Any) -> None:
    broker.script[SUBMIT] = [step]
    with pytest.raises(kind):
        await submit(colour, broker)
    assert len(broker.calls) == 1


async def test_attempts_are_bounded(colour: Colour, broker: FakeBroker) -> None:
    broker.script[SUBMIT] = [Refuse(Code.UNAVAILABLE, "STORE_UNAVAILABLE")] * 9
    with pytest.raises(UnavailableError):
        await submit(colour, broker)
    assert len(broker.calls) == 3


async def test_a_wait_does_not_outlast_the_deadline(colour: Colour, broker: FakeBroker) -> None:
    broker.script[SUBMIT] = [Refuse(Code.UNAVAILABLE, "STORE_UNAVAILABLE")] * 9
    patient = RetryPolicy(attempts=9, first_wait_seconds=60, longest_wait_seconds=60)
    client = colour.client(broker, retry=patient)
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        await colour.run(client.reports.submit, REPORT, seconds=2.0)
    await colour.run(client.close)
    assert time.monotonic() - started < 2


async def test_a_broker_that_says_when_to_come_back_is_obeyed(colour: Colour, broker: FakeBroker) -> None:
    broker.script[SUBMIT] = [Refuse(Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", retry_after_s=0.3)]
    broker.answers[SUBMIT] = accepted
    started = time.monotonic()
    await submit(colour, broker)
    assert time.monotonic() - started >= 0.3
    assert len({call.request for call in broker.calls}) == 1


async def test_a_time_beyond_the_deadline_is_handed_to_the_caller(colour: Colour, broker: FakeBroker) -> None:
    broker.script[SUBMIT] = [Refuse(Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", retry_after_s=90)]
    with pytest.raises(LimitError) as caught:
        await submit(colour, broker, seconds=5.0)
    assert caught.value.retry_after_s == 90
    assert "Wait at least 90 s" in caught.value.diagnostics()
    assert len(broker.calls) == 1


def test_waits_grow_and_are_spread() -> None:
    policy = RetryPolicy(first_wait_seconds=1, longest_wait_seconds=4)
    for made, longest in ((1, 1), (2, 2), (3, 4), (4, 4)):
        waits = {policy.wait_seconds(made) for _ in range(20)}
        assert len(waits) > 1
        assert all(longest / 2 <= wait <= longest for wait in waits)


def test_a_hint_is_a_lower_bound_and_spread() -> None:
    waits = {Budget(RetryPolicy(), 30).next_wait(Code.RESOURCE_EXHAUSTED, 2.0) for _ in range(20)}
    assert len(waits) > 1
    assert all(wait is not None and 2.0 < wait <= 2.1 for wait in waits)


def test_a_budget_refuses_what_may_not_be_repeated() -> None:
    assert Budget(RetryPolicy(), 30).next_wait(Code.INTERNAL) is None
    assert Budget(RetryPolicy(attempts=1), 30).next_wait(Code.UNAVAILABLE) is None
    assert Budget(RetryPolicy(), 30).next_wait(Code.UNAVAILABLE) is not None
