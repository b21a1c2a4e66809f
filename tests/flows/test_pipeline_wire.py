"""Rules 1 and 2 of the pipeline: what comes in, and what is on record of it."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from broker.server import Door
from broker.wire import MAX_REQUEST_BYTES
from tests.support.exchanges import (
    GET,
    OFFICER,
    SUBMIT,
    checked_refusal,
    getting,
    refusal,
    submission,
)
from tests.support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")


BROKER = Path(__file__).resolve().parents[2] / "broker"


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at any depth of the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


async def test_handlers_know_no_grpc() -> None:
    """pipeline rule 1: handlers never import grpc; only the transport's own files do."""
    users = {
        str(path.relative_to(BROKER))
        for path in BROKER.rglob("*.py")
        if any(name.split(".")[0] in ("grpc", "grpc_status") for name in imports(path))
    }
    assert users == {
        "app.py",
        "audit/recorder.py",
        "audit/visit.py",
        "identify/tls.py",
        "pipeline.py",
        "server.py",
        "status.py",
        "steady.py",
        "wire.py",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/entente.report.v1.ReportService/DropReports",
        "/entente.report.v2.ReportService/GetReport",
        "/entente.report.v1.ReportService/getReport",
        "/x/y",
        "/entente.report.v1.ReportService/GetReport/",
        "/grpc.health.v1.Health/Drop",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/Nothing",
    ],
)
async def test_an_unknown_method_is_refused_on_record(place: House, path: str) -> None:
    """pipeline rule 1: one generic handler answers every path, so that unknown methods leave an entry too."""
    since = len(place.broker.ledger)
    refused = await refusal(place, path, b"anything")
    assert (refused.status, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
    assert refused.receipt is not None
    (entry,) = place.leaves(since)
    assert entry["exchange_id"] == refused.exchange_id
    assert entry["method"] in (path, "unknown")


async def test_health_alone_is_not_on_record(place: House) -> None:
    """pipeline rule 1: the one unaudited service says whether the broker serves, and nothing else."""
    since = len(place.broker.ledger)
    assert await place.unary("/grpc.health.v1.Health/Check", b"", OFFICER, metadata=()) == b"\x08\x01"
    assert place.leaves(since) == []


async def test_malformed_bytes_are_a_refusal_like_any_other(place: House) -> None:
    """pipeline rule 2: the request is parsed inside the pipeline."""
    for sent in (b"\xff", b"\x0a\x05abc", getting("0" * 32).SerializeToString()[:-1]):
        since = len(place.broker.ledger)
        refused = await refusal(place, GET, sent)
        assert (refused.status, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")
        assert [entry["reason"] for entry in place.leaves(since)] == ["REQUEST_MALFORMED"]


async def test_a_request_over_one_mebibyte_is_refused_on_record(place: House) -> None:
    """pipeline rule 2: the pipeline itself refuses above 1 MiB, and not one byte earlier."""
    stored = place.broker.store.newest_change()
    too_large = await refusal(place, SUBMIT, b"\xff" * (MAX_REQUEST_BYTES + 1))
    assert (too_large.status, too_large.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    fits = await refusal(place, SUBMIT, b"\xff" * MAX_REQUEST_BYTES)
    assert fits.reason == "REQUEST_MALFORMED"
    almost = await refusal(place, SUBMIT, b"\xff" * (4 * MAX_REQUEST_BYTES))
    assert almost.reason == "REQUEST_TOO_LARGE"
    assert place.broker.store.newest_change() == stored


async def test_what_the_core_refuses_is_counted_or_aborted(place: House) -> None:
    """pipeline rule 2: over core's 4 MiB nothing reaches the parser, and the call is still on record."""
    since = len(place.broker.ledger)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place.unary(SUBMIT, b"\xff" * (4 * MAX_REQUEST_BYTES + 1), OFFICER)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    entries = await place.settled(since)
    assert [entry["outcome"] for entry in entries] in (["aborted"], ["denied"])
    assert entries[0]["method"] == SUBMIT


async def written(place: House, path: str, *messages: bytes) -> grpc.aio.AioRpcError:
    """A unary method called as a client stream."""
    call = place.channel(OFFICER).stream_unary(path)(metadata=place.metadata(OFFICER), timeout=20)
    for message in messages:
        await call.write(message)
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_second_message_to_a_unary_method_is_refused(place: House) -> None:
    """pipeline rule 2: one message is a request, two are not; nothing of either is stored."""
    stored = place.broker.store.newest_change()
    since = len(place.broker.ledger)
    sent = submission().SerializeToString()
    error = await written(place, SUBMIT, sent, sent)
    entries = await place.settled(since)
    assert [entry["reason"] for entry in entries] in (["TOO_MANY_MESSAGES"],)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert place.broker.store.newest_change() == stored


async def test_a_call_without_a_message_is_refused(place: House) -> None:
    """pipeline rule 2: a half-closed call without a request is on record."""
    refused = checked_refusal(place, await written(place, GET), b"")
    assert (refused.status, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")


async def test_calls_that_never_started_are_counted(place: House) -> None:
    """pipeline rule 2: a flood of calls that end before their handler is one entry with a count."""
    door = Door(place.broker.pipeline, place.broker.streams, place.broker.config.limits)
    since = len(place.broker.ledger)

    async def gone() -> None:
        assert door.service(SimpleNamespace(method=GET, invocation_metadata=())) is not None  # type: ignore[arg-type]

    for _ in range(7):
        await asyncio.create_task(gone())
    entries = await place.settled(since)
    assert [(e["method"], e["outcome"], e["count"], "actor" in e) for e in entries] == [(GET, "aborted", 7, False)]
    (raw,) = place.broker.ledger.entries(since, since + 1)
    assert json.loads(raw)["status"] == "CANCELLED"
