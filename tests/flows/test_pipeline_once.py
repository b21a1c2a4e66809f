"""Rules 11 and 14 of the pipeline: a reason for each request, one write for each key, one clock for all."""

from __future__ import annotations

import ast
import asyncio
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.bench.seed import report as sample_report
from tests.support.exchanges import (
    AMEND,
    CATALOGUE,
    GET,
    OFFICER,
    REGIONAL,
    SUBMIT,
    WHO_AM_I,
    ShiftedClock,
    amendment,
    ask,
    getting,
    refusal,
    rehoused,
    submission,
)
from tests.support.house import House, submitted

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKER = Path(__file__).resolve().parents[2] / "broker"


async def test_only_the_named_methods_go_without_a_justification() -> None:
    """pipeline rule 11: who is exempt stands in the protos, and they are three."""
    exempt = {rule.path.rpartition("/")[2] for rule in CATALOGUE if rule.justification_exempt}
    assert exempt == {"WhoAmI", "GetCheckpoint", "GetInclusionProof"}


async def test_the_same_key_and_body_are_one_write(place: House) -> None:
    """pipeline rule 11: the first answer again, and one record."""
    stored = place.broker.store.newest_change()
    request = submission()
    first, second = await ask(place, SUBMIT, request), await ask(place, SUBMIT, request)
    assert first.receipt.response == second.receipt.response
    assert first.exchange_id != second.exchange_id
    assert place.broker.store.newest_change() == stored + 1


async def test_a_repeated_write_at_the_same_moment_is_one_write(place: House) -> None:
    """pipeline rule 11: the key is kept in the write's own transaction."""
    stored = place.broker.store.newest_change()
    request = submission()
    answers = await asyncio.gather(*(ask(place, SUBMIT, request) for _ in range(16)))
    assert len({answer.message.record_id for answer in answers}) == 1
    assert place.broker.store.newest_change() == stored + 1


async def test_the_same_key_with_another_body_is_aborted(place: House) -> None:
    """pipeline rule 11: ABORTED, and the first record stays as it is."""
    key = str(uuid.uuid4())
    first = await ask(place, SUBMIT, submission(sample_report(1), key))
    stored = place.broker.store.newest_change()
    refused = await refusal(place, SUBMIT, submission(sample_report(2), key))
    assert (refused.status, refused.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_KEY_REUSED")
    assert place.broker.store.newest_change() == stored
    found = await ask(place, GET, getting(first.message.record_id))
    assert found.message.report.report.title == "Courier movements 1"


async def test_a_key_is_private_to_agency_and_method(place: House) -> None:
    """pipeline rule 11: another agency's or another method's key is another key."""
    key = str(uuid.uuid4())
    mine = await ask(place, SUBMIT, submission(sample_report(1), key))
    theirs = await ask(place, SUBMIT, submission(sample_report(2), key), REGIONAL)
    assert mine.message.record_id != theirs.message.record_id
    change = amendment(mine.message.record_id, mine.message.etag, title="changed")
    change.idempotency_key = key
    assert (await ask(place, AMEND, change)).message.version == 2


async def test_a_repeated_answer_is_released_under_todays_policy(place: House) -> None:
    """pipeline rule 11: who may no longer see the record is not told that it was written."""

    def secret(report: Any) -> None:
        report.header.marks.classification = 2

    report = sample_report(3)
    secret(report)
    request = submission(report)
    await ask(place, SUBMIT, request)
    lowered = place.metadata(OFFICER, clearance="OFFICIAL")
    refused = await refusal(place, SUBMIT, request, metadata=lowered)
    assert (refused.status, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_token_may_be_used_again_within_its_life(place: House) -> None:
    """pipeline rule 11: a retry resends the same token; its `jti` is on record each time."""
    metadata = place.metadata(OFFICER)
    since = len(place.broker.ledger)
    for _ in range(2):
        await ask(place, WHO_AM_I, CATALOGUE.find(WHO_AM_I).request_type(), metadata=metadata)  # type: ignore[union-attr]
    used = {entry["actor"]["token"]["jti"] for entry in place.leaves(since)}
    assert len(used) == 1


async def test_nobody_looks_at_another_clock() -> None:
    """pipeline rule 14: the machine's clock is read in one file."""
    names = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "now", "utcnow", "today"}
    readers: set[str] = set()
    # A policy author's tools are no part of a call.
    for path in set(BROKER.rglob("*.py")) - set((BROKER / "authoring").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in names
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("time", "datetime", "date")
            ):
                readers.add(str(path.relative_to(BROKER)))
    assert readers == {"domain/clock.py"}


async def test_every_time_on_record_is_the_injected_clocks(tmp_path: Path) -> None:
    """pipeline rule 14: entries and record heads bear the clock that was injected; integers stay below 2^53."""
    clock = ShiftedClock()
    async with rehoused(tmp_path / "network", clock=clock) as place:
        clock.ahead_s = 120.0
        target = await submitted(place, OFFICER, 1)
        found = await ask(place, GET, getting(target.record_id))
        ahead = found.message.report.report.header.update_time.ToMicroseconds() - (clock.now_us() - 120_000_000)
        assert 100_000_000 < ahead <= 120_000_000
        for leaf in place.leaves():
            assert abs(leaf["monotonic_us"] - clock.monotonic_us()) < 60_000_000
            assert max(numbers(leaf)) < 2**53


def numbers(value: Any) -> list[int]:
    """Every integer in a leaf."""
    if isinstance(value, dict):
        return [number for child in value.values() for number in numbers(child)]
    if isinstance(value, list):
        return [number for child in value for number in numbers(child)]
    return [value] if isinstance(value, int) else []
