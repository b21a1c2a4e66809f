"""Every method against everything that can happen to a call: which answer, which entries, and nothing that leaks.

Generated from the descriptors: the methods, their requests, the type of their entries. `reason` of a Retract or Revoke
shares its name with an audit filter, so that one field is set by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.app import SERVICES
from broker.audit.files import Files
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.catalogue import Catalogue, MethodRule
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import EngineAnswer
from broker.domain.answer import Call
from broker.domain.errors import UnavailableError
from entente_tlog.receipt import LogKey, split_receipt, verify_receipt
from tests.support import enrolments
from tests.support.house import House, Target, house, reason_of, refusal_details, sample_request, submitted
from tests.support.live import party_named

CATALOGUE = Catalogue.from_descriptors(SERVICES)
RULES = tuple(CATALOGUE)
OFFICER = party_named["neighbourhood"]
INSPECTOR = party_named["auditor"]
REGISTRAR = party_named["registrar"]
SECRET_WORDS = (b"Courier movements", b"S-0", b"PC Rowan Ash", b"Ana ")

pytestmark = pytest.mark.asyncio(loop_scope="module")


class BreakableEngine(EmbeddedEngine):
    """The real engine, until it is told to be gone."""

    broken = False

    async def method(self, question: bytes) -> EngineAnswer:
        if self.broken:
            raise UnavailableError("POLICY_UNAVAILABLE", "policy cannot be asked; try again later")
        return await super().method(question)

    async def grant(self, question: bytes) -> EngineAnswer:
        if self.broken:
            raise UnavailableError("POLICY_UNAVAILABLE", "policy cannot be asked; try again later")
        return await super().grant(question)


class BreakableFiles(Files):
    """The real files, until the disk is told to fail."""

    broken = False

    def fdatasync(self, fd: int) -> None:
        if self.broken:
            raise OSError(5, "injected")
        super().fdatasync(fd)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("contract") / "network") as made:
        yield made


def by_whom(rule: MethodRule) -> Any:
    if rule.path.startswith(enrolments.SERVICE):
        return enrolments.by_whom(rule)
    if rule.permission in ("REVOKE", "REGISTRY_READ"):
        return REGISTRAR
    return INSPECTOR if rule.permission == "AUDIT_READ" else OFFICER


def request_for(rule: MethodRule, target: Target) -> bytes:
    request: Any = sample_request(rule, target, by_whom(rule).purpose)
    if rule.path.endswith(("/RetractReport", "/Revoke", "/WithdrawAgreement")):
        request.reason = "entered in error"
    return bytes(request.SerializeToString())


async def valid_request(place: House, rule: MethodRule) -> bytes:
    if rule.path.startswith(enrolments.SERVICE):
        return bytes((await enrolments.prepared_request(place, rule)).SerializeToString())
    return request_for(rule, await submitted(place, OFFICER))


async def call(place: House, rule: MethodRule, request: bytes, **options: Any) -> bytes:
    """One call of any method; of a stream, its first answer."""
    if not rule.server_streaming:
        return await place.unary(rule.path, request, by_whom(rule), **options)
    metadata = options.get("metadata")
    stream = place.channel(by_whom(rule)).stream_stream(rule.path)(
        metadata=place.metadata(by_whom(rule)) if metadata is None else metadata, timeout=options.get("timeout", 20.0)
    )
    try:
        await stream.write(request)
        answer = await stream.read()
        if answer is grpc.aio.EOF:
            raise AssertionError("the stream ended without an answer")
        return bytes(answer)
    finally:
        stream.cancel()


async def refused(place: House, rule: MethodRule, request: bytes, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(place, rule, request, **options)
    return caught.value


async def prepared(place: House, rule: MethodRule) -> tuple[bytes, int]:
    """A request whose target exists, and the ledger's size before it is sent."""
    return await valid_request(place, rule), len(place.broker.ledger)


def summary(leaves: list[dict[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    return [(e["type"], e["phase"], e["outcome"], e["status"], e.get("reason", "")) for e in leaves]


def granted_type(rule: MethodRule) -> str:
    return rule.entry_type.lower().replace("_", "-")


def intent_of(rule: MethodRule) -> list[tuple[str, str, str, str, str]]:
    return [(granted_type(rule), "intent", "indeterminate", "OK", "")] if rule.write else []


def carries_no_secret(error: grpc.aio.AioRpcError) -> None:
    text = repr((error.details(), error.trailing_metadata(), error.initial_metadata())).encode()
    assert not [word for word in SECRET_WORDS if word in text]


def has_proof(place: House, request: bytes, error: grpc.aio.AioRpcError) -> None:
    """The refusal's receipt is that of this very request."""
    receipt = next(found for found in refusal_details(error) if found.DESCRIPTOR.name == "Receipt")
    raw = receipt.SerializeToString()
    framed = b"\x7a" + _varint(len(raw)) + raw
    key = LogKey.parse((place.directory / "data/log.vkey").read_text().strip())
    assert verify_receipt(request=request, response=framed, keys=[key]).leaf["outcome"] == "denied"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path.rpartition("/")[2])


@each
async def test_granted(place: House, rule: MethodRule) -> None:
    """ok: the answer's receipt verifies, and the entries are exactly intent (of a write) and release."""
    request, since = await prepared(place, rule)
    answer = await call(place, rule, request)
    key = LogKey.parse((place.directory / "data/log.vkey").read_text().strip())
    verified = verify_receipt(request=request, response=answer, keys=[key])
    mine = [e for e in place.leaves(since) if e["exchange_id"] == verified.leaf["exchange_id"]]
    assert summary(mine)[: 2 if rule.write else 1] == [
        *intent_of(rule),
        (granted_type(rule), "release", "allowed", "OK", ""),
    ]
    assert mine[-1]["actor"]["user"] == by_whom(rule).user
    assert split_receipt(answer)[0] == verified.response


@each
async def test_denied(place: House, rule: MethodRule) -> None:
    """denied: a caller without a role may not even ask who it is, and the refusal is on record."""
    request, since = await prepared(place, rule)
    error = await refused(place, rule, request, metadata=place.metadata(by_whom(rule), roles=()))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(error).reason == "METHOD_NOT_PERMITTED"
    assert summary(place.leaves(since)) == [
        ("denial", "release", "denied", "PERMISSION_DENIED", "METHOD_NOT_PERMITTED")
    ]
    carries_no_secret(error)
    has_proof(place, request, error)


@each
async def test_unidentified(place: House, rule: MethodRule) -> None:
    """No token: refused, and the entry names the agency of the certificate."""
    request, since = await prepared(place, rule)
    error = await refused(place, rule, request, metadata=())
    assert (error.code(), reason_of(error).reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    (entry,) = place.leaves(since)
    assert entry["actor"]["agency"] == by_whom(rule).agency
    assert "user" not in entry["actor"]


@each
async def test_malformed(place: House, rule: MethodRule) -> None:
    """malformed: bytes that are no message are a refusal like any other."""
    _, since = await prepared(place, rule)
    error = await refused(place, rule, b"\xff\xff\xff")
    assert (error.code(), reason_of(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")
    assert summary(place.leaves(since)) == [("denial", "release", "denied", "INVALID_ARGUMENT", "REQUEST_MALFORMED")]
    has_proof(place, b"\xff\xff\xff", error)


@each
async def test_unknown_field(place: House, rule: MethodRule) -> None:
    """A field that the broker cannot classify is refused, not kept."""
    request, since = await prepared(place, rule)
    error = await refused(place, rule, request + b"\xfa\x3f\x03abc")
    assert reason_of(error).reason == "FIELD_UNKNOWN"
    assert [e["reason"] for e in place.leaves(since)] == ["FIELD_UNKNOWN"]


@each
async def test_without_justification(place: House, rule: MethodRule) -> None:
    """pipeline rule 11: no justification, no answer, unless the method's rule exempts it."""
    if rule.justification_exempt:
        assert "justification" not in rule.request_type.DESCRIPTOR.fields_by_name
        return
    request: Any = rule.request_type.FromString(await valid_request(place, rule))
    (request.start if rule.client_streaming else request).ClearField("justification")
    error = await refused(place, rule, request.SerializeToString())
    assert reason_of(error).reason == "REQUEST_INVALID"


Replacement = Callable[[Call], Awaitable[Any]]


async def with_handler(place: House, rule: MethodRule, handler: Replacement, act: Callable[[], Awaitable[Any]]) -> Any:
    """Do something while the method's handler is another."""
    if rule.server_streaming:
        openers = place.broker.streams._openers

        class Opened:
            async def next_batch(self, call: Call, seconds: float) -> Any:
                return await handler(call)

        kept = openers[rule.path]
        openers[rule.path] = lambda _call, _start: Opened()
        try:
            return await act()
        finally:
            openers[rule.path] = kept
    handlers: Any = place.broker.pipeline.handlers
    kept = handlers[rule.path]
    handlers[rule.path] = handler
    try:
        return await act()
    finally:
        handlers[rule.path] = kept


@each
async def test_crash(place: House, rule: MethodRule) -> None:
    """crash: INTERNAL with the exchange id and nothing more; the detail is sealed."""
    request, since = await prepared(place, rule)

    async def crash(_: Call) -> Any:
        raise KeyError("Courier movements of S-0")

    error = await with_handler(place, rule, crash, lambda: refused(place, rule, request))
    assert (error.code(), reason_of(error).reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    outcome = "indeterminate" if rule.write else "denied"
    assert summary(place.leaves(since)) == [
        *intent_of(rule),
        ("denial", "release", outcome, "INTERNAL", "INTERNAL"),
    ]
    carries_no_secret(error)
    leaf = place.broker.ledger.entries(len(place.broker.ledger) - 1, len(place.broker.ledger))[0]
    assert b"Courier" not in leaf


class Hang:
    """A handler that never answers, and says when it was reached."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def __call__(self, _: Call) -> Any:
        self.reached.set()
        await asyncio.sleep(3600)


@each
async def test_cancelled(place: House, rule: MethodRule) -> None:
    """cancelled: the entry is there although nobody waits for it."""
    request, since = await prepared(place, rule)
    hang = Hang()

    async def act() -> None:
        task = asyncio.create_task(call(place, rule, request))
        await asyncio.wait_for(hang.reached.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        wanted = 2 if rule.write else 1
        assert summary(await place.settled(since, at_least=wanted)) == [
            *intent_of(rule),
            (granted_type(rule), "release", "indeterminate" if rule.write else "aborted", "CANCELLED", "CANCELLED"),
        ]

    await with_handler(place, rule, hang, act)


@each
async def test_deadline(place: House, rule: MethodRule) -> None:
    """deadline: the client's deadline ends the call, on record."""
    request, since = await prepared(place, rule)
    hang = Hang()

    async def act() -> None:
        # Long enough to reach the handler on a busy machine.
        error = await refused(place, rule, request, timeout=0.6)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        wanted = 2 if rule.write else 1
        assert summary(await place.settled(since, at_least=wanted)) == [
            *intent_of(rule),
            (granted_type(rule), "release", "indeterminate" if rule.write else "aborted", "CANCELLED", "CANCELLED"),
        ]

    await with_handler(place, rule, hang, act)


@each
async def test_ledger_down(tmp_path: Path, rule: MethodRule) -> None:
    """ledger down: UNAVAILABLE without a protected byte, and nothing more is ever appended."""
    files = BreakableFiles()
    async with house(tmp_path / "network", files=files) as place:
        request, _ = await prepared(place, rule)
        files.broken = True
        error = await refused(place, rule, request)
        assert (error.code(), reason_of(error).reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")
        carries_no_secret(error)
        size = len(place.broker.ledger)
        again = await refused(place, rule, request)
        assert reason_of(again).reason == "LEDGER_UNAVAILABLE"
        assert len(place.broker.ledger) == size


@each
async def test_engine_down(tmp_path: Path, rule: MethodRule) -> None:
    """engine down: refused, on record, with no protected byte."""
    engine = BreakableEngine(PolicyBundle.load(policy_folder()))
    async with house(tmp_path / "network", engine=engine) as place:
        request, since = await prepared(place, rule)
        engine.broken = True
        # A role that nobody has asked with yet: no kept answer can serve it.
        roles = (*by_whom(rule).roles, "liaison_officer")
        error = await refused(place, rule, request, metadata=place.metadata(by_whom(rule), roles=roles))
        assert (error.code(), reason_of(error).reason) == (grpc.StatusCode.UNAVAILABLE, "POLICY_UNAVAILABLE")
        assert summary(place.leaves(since)) == [("denial", "release", "denied", "UNAVAILABLE", "POLICY_UNAVAILABLE")]
        carries_no_secret(error)
