"""Refusals become the SDK's tree: class by status, reason, exchange id, fields, and what to do."""

from __future__ import annotations

import grpc
import pytest

from entente.error.v1 import error_pb2
from entente_sdk import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    DecisionError,
    EntenteError,
    IdentityError,
    InternalError,
    Justification,
    LimitError,
    NotFoundError,
    PreconditionError,
    RequestError,
    UnavailableError,
)
from entente_sdk.advice import ADVICE
from tests.clients.conftest import Colour
from tests.support.fake_broker import FakeBroker, Refuse

Code = grpc.StatusCode
GET = "/entente.report.v1.ReportService/GetReport"
RECORD = "0" * 32

CASES: list[tuple[grpc.StatusCode, str, type[EntenteError]]] = [
    (Code.UNAUTHENTICATED, "TOKEN_NOT_BOUND", IdentityError),
    (Code.PERMISSION_DENIED, "PURPOSE_NOT_PERMITTED", DecisionError),
    (Code.NOT_FOUND, "NOT_FOUND", NotFoundError),
    (Code.INVALID_ARGUMENT, "REQUEST_INVALID", RequestError),
    (Code.UNIMPLEMENTED, "METHOD_UNKNOWN", RequestError),
    (Code.FAILED_PRECONDITION, "RECORD_RETRACTED", PreconditionError),
    (Code.ALREADY_EXISTS, "EXTERNAL_REFERENCE_EXISTS", AlreadyExistsError),
    (Code.ABORTED, "ETAG_STALE", ConflictError),
    (Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", LimitError),
    (Code.UNAVAILABLE, "POLICY_UNAVAILABLE", UnavailableError),
    (Code.INTERNAL, "INTERNAL", InternalError),
]


@pytest.mark.parametrize(("status", "reason", "kind"), CASES, ids=[case[1] for case in CASES])
async def test_each_refusal_has_its_class(
    colour: Colour, broker: FakeBroker, status: grpc.StatusCode, reason: str, kind: type[EntenteError]
) -> None:
    broker.script[GET] = [Refuse(status, reason, "Do this.", fields=(("record_id", "is wrong"),))] * 3
    client = colour.client(broker)
    with pytest.raises(EntenteError) as caught:
        await colour.run(client.reports.get, RECORD)
    await colour.run(client.close)
    error = caught.value
    assert type(error) is kind
    assert (error.reason, error.message, error.fields) == (reason, "Do this.", (("record_id", "is wrong"),))
    assert len(error.exchange_id) == 32
    said = error.diagnostics()
    assert reason in said
    assert error.exchange_id in said
    assert "record_id: is wrong" in said
    assert ADVICE[reason] in said


async def test_a_failure_without_details_still_has_a_class(colour: Colour, broker: FakeBroker) -> None:
    broker.script[GET] = [Refuse(Code.INTERNAL, message="stream reset", bare=True)]
    client = colour.client(broker)
    with pytest.raises(InternalError) as caught:
        await colour.run(client.reports.get, RECORD)
    await colour.run(client.close)
    assert (caught.value.reason, caught.value.exchange_id, caught.value.receipt) == ("INTERNAL", "", None)


async def test_a_deadline_is_unavailable_and_says_so(colour: Colour, broker: FakeBroker) -> None:
    client = colour.client(broker)
    broker.script[GET] = [Refuse(Code.DEADLINE_EXCEEDED, bare=True)]
    with pytest.raises(UnavailableError) as caught:
        await colour.run(client.reports.get, RECORD, seconds=5.0)
    await colour.run(client.close)
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert len(broker.calls) == 1


async def test_a_call_without_a_purpose_is_refused_before_it_leaves(colour: Colour, broker: FakeBroker) -> None:
    client = colour.client(broker, purpose=None)
    with pytest.raises(ConfigurationError) as caught:
        await colour.run(client.reports.get, RECORD)
    await colour.run(client.close)
    assert caught.value.reason == "PURPOSE_MISSING"
    assert not broker.calls


def test_there_is_advice_for_every_reason() -> None:
    reasons = {value.name.removeprefix("REASON_") for value in error_pb2.Reason.DESCRIPTOR.values if value.number}
    assert reasons <= ADVICE.keys()


def test_a_justification_takes_words() -> None:
    why = Justification("threat-to-life", case_reference="OP LANTERN").because("a child is missing")
    assert why.purpose == "THREAT_TO_LIFE"
    assert why.to_message().reason == "a child is missing"
    assert not why.to_message().HasField("authoriser")
    with pytest.raises(ConfigurationError, match="curiosity"):
        Justification("curiosity")
