"""The suite itself: whatever does not hold is called so. A judge that cannot say no would be worth nothing."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from tests.attacks.suite import health
from tests.attacks.suite.case import ACCEPTED, CORE, HANDSHAKE, Case, End, Expected, Observed, Result, refused
from tests.attacks.suite.report import Report
from tests.attacks.suite.runner import attempt
from tests.attacks.suite.target import Target
from tests.attacks.suite.wire import _observed, _Stream

TARGET = Target("127.0.0.1:1", b"", (), frozenset())
INVALID = refused("TOKEN_INVALID")


def case(expected: Expected, ends: Callable[[], Any], **settings: Any) -> Case:
    """A case whose attempt does this."""

    async def attempted(_: Target) -> Observed:
        found = ends()
        return await found if asyncio.iscoroutine(found) else found

    return Case("made", "up", expected, attempted, **settings)


async def judged(expected: Expected, ends: Callable[[], Any], **settings: Any) -> Result:
    return await attempt(TARGET, case(expected, ends, **settings))


def report(*results: Result) -> Report:
    return Report(results, Counter())


@pytest.mark.parametrize("expected", [INVALID, HANDSHAKE, CORE], ids=str)
async def test_what_is_accepted_though_bad_is_called_so(expected: Expected) -> None:
    found = report(await judged(expected, lambda: Observed(End.ACCEPTED, "OK")))
    assert (found.accepted_though_bad, found.good) == (1, False)
    assert "ACCEPTED THOUGH BAD" in str(found)


@pytest.mark.parametrize("end", [End.REFUSED, End.HANDSHAKE, End.CORE, End.HANG, End.CRASH])
async def test_a_good_caller_that_is_not_served_is_a_failure(end: End) -> None:
    assert not report(await judged(ACCEPTED, lambda: Observed(end))).good


@pytest.mark.parametrize(
    "observed",
    [
        Observed(End.REFUSED, "UNAUTHENTICATED", "TOKEN_MALFORMED"),
        Observed(End.REFUSED, "PERMISSION_DENIED", "TOKEN_INVALID"),
        Observed(End.HANDSHAKE),
        Observed(End.CORE, "UNAUTHENTICATED"),
    ],
    ids=str,
)
async def test_a_refusal_for_another_reason_is_a_failure(observed: Observed) -> None:
    assert not report(await judged(INVALID, lambda: observed, in_process=True)).good


async def test_an_exception_is_a_crash() -> None:
    def fall() -> Observed:
        raise KeyError("nobody thought of it")

    found = report(await judged(INVALID, fall))
    assert (found.crashes, found.good) == (1, False)


async def test_what_takes_too_long_is_a_hang() -> None:
    async def late() -> Observed:
        await asyncio.sleep(0.02)
        return Observed(End.HANDSHAKE)

    found = report(await judged(HANDSHAKE, late, seconds=0.01))
    assert (found.hangs, found.good) == (1, False)


async def test_a_refusal_without_an_entry_is_a_failure() -> None:
    found = report(await judged(INVALID, lambda: Observed(End.REFUSED, "UNAUTHENTICATED", "TOKEN_INVALID", "1f")))
    assert (found.without_entry, found.good) == (1, False)
    damaged = Observed(End.REFUSED, "UNAUTHENTICATED", "TOKEN_INVALID", "1f", receipt=b"\x0a\x02{}")
    assert report(await judged(INVALID, lambda: damaged)).without_entry == 1


def test_too_few_cases_are_a_fault() -> None:
    found = report()
    found.require_counts()
    assert len(found.faults) == 2


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (health.Health(0, 0, 0), "a process is gone"),
        (health.Health(1, 100, 100), "files were left open"),
        (health.Health(1, 10, 1 << 30), "memory grew"),
        (health.Health(1, 12, 200), ""),
    ],
)
def test_a_process_that_suffered_is_a_fault(after: health.Health, fault: str) -> None:
    found = health.fault(health.Health(1, 10, 100), after)
    assert fault in found
    assert bool(found) is bool(fault)


def stream(status: bytes, *details: any_pb2.Any) -> _Stream:
    encoded = base64.b64encode(status_pb2.Status(details=details).SerializeToString())
    return _Stream({b"grpc-status": status, b"grpc-status-details-bin": encoded})


def test_a_status_without_the_brokers_details_is_the_cores() -> None:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="TOKEN_INVALID", domain="entente", metadata={"exchange_id": "1f"}))
    foreign = any_pb2.Any()
    foreign.Pack(error_details_pb2.ErrorInfo(reason="TOKEN_INVALID", domain="elsewhere"))
    assert _observed(stream(b"16", packed), "").end is End.REFUSED
    assert _observed(stream(b"16", foreign), "").end is End.CORE
    assert _observed(stream(b"16"), "").end is End.CORE
    assert _observed(stream(b"0"), "").end is End.ACCEPTED
    assert _observed(_Stream(), "gone").end is End.CORE
