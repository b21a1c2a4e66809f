"""Nothing is handed over that is not proven to be on the ledger, in either colour."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk import DecisionError, IdentityError, ReceiptError, UnavailableError
from entente_tlog.note import Signer
from tests.clients.conftest import Colour
from tests.support.fake_broker import ORIGIN, FakeBroker, Refuse

GET = "/entente.report.v1.ReportService/GetReport"
RECORD = "0123456789abcdef" * 2


def answer(_: bytes) -> reports.GetReportResponse:
    return reports.GetReportResponse(report=report_pb2.DisclosedReport(report=report_pb2.Report(title="Lanterns")))


async def get(colour: Colour, broker: FakeBroker, **changes: Any) -> Any:
    client = colour.client(broker, **changes)
    try:
        return await colour.run(client.reports.get, RECORD)
    finally:
        await colour.run(client.close)


async def test_an_answer_carries_message_receipt_and_raw_bytes(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    found = await get(colour, broker)
    assert found.message.report.report.title == "Lanterns"
    assert not found.message.HasField("receipt")
    assert (found.receipt.index, found.receipt.checkpoint.size) == (0, 1)
    assert found.receipt.checkpoint.origin == ORIGIN
    assert found.receipt.exchange_id == found.receipt.leaf["exchange_id"]
    assert found.request == broker.calls[0].request
    assert found.raw.startswith(answer(b"").SerializeToString())


def without_receipt(path: str, request: bytes, response: bytes) -> bytes:
    return answer(request).SerializeToString()


def flipped(path: str, request: bytes, response: bytes) -> bytes:
    return response.replace(b"Lanterns", b"Lantern5")


def appended(path: str, request: bytes, response: bytes) -> bytes:
    return response + b"\x08\x01"


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (without_receipt, "RECEIPT_MISSING"),
        (flipped, "RECEIPT_WRONG_CONTENT"),
        (appended, "RECEIPT_MALFORMED"),
    ],
)
async def test_a_tampered_answer_is_not_handed_over(
    colour: Colour, broker: FakeBroker, tamper: Any, reason: str
) -> None:
    broker.answers[GET] = answer
    broker.tamper = tamper
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker)
    assert caught.value.reason == reason
    assert "Lantern" not in str(caught.value)


async def test_a_byte_flipped_anywhere_is_found(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    client = colour.client(broker)
    length = len(answer(b"").SerializeToString())
    for at in range(length):
        broker.tamper = lambda path, request, raw, at=at: raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        with pytest.raises(ReceiptError):
            await colour.run(client.reports.get, RECORD)
    await colour.run(client.close)


async def test_the_receipt_of_another_request_is_refused(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    broker.tamper = lambda path, request, response: broker_other(broker, path, request + b"\x18\x01")
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker)
    assert caught.value.reason == "RECEIPT_WRONG_REQUEST"


def broker_other(broker: FakeBroker, path: str, request: bytes) -> bytes:
    broker.tamper = lambda path, request, response: response
    return broker.sealed(path, request, answer(request))


async def test_the_receipt_of_another_method_is_refused(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    broker.tamper = lambda path, request, response: broker_other(broker, path + "Other", request)
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker)
    assert caught.value.reason == "RECEIPT_WRONG_REQUEST"


async def test_a_refusals_receipt_does_not_prove_an_answer(colour: Colour, broker: FakeBroker) -> None:
    def sealed(path: str, request: bytes, response: bytes) -> bytes:
        receipt, _ = broker.ledger.receipt(path, request, b"", reason="NOT_FOUND", status="NOT_FOUND")
        return reports.GetReportResponse(receipt=receipt).SerializeToString()

    broker.answers[GET] = answer
    broker.tamper = sealed
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker)
    assert caught.value.reason == "RECEIPT_WRONG_CONTENT"


async def test_an_unknown_log_is_refused(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    stranger = Signer.generate("other.example/log")
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker, log_keys=(str(stranger.verifier),))
    assert caught.value.reason == "RECEIPT_UNKNOWN_LOG"


async def test_another_key_under_the_logs_name_is_refused(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    impostor = Signer.generate(ORIGIN)
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker, log_keys=(str(impostor.verifier),))
    assert caught.value.reason == "RECEIPT_BAD_PROOF"


async def test_an_old_answer_is_stale(colour: Colour, broker: FakeBroker) -> None:
    broker.answers[GET] = answer
    broker.ledger.clock_shift = -timedelta(minutes=10)
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker)
    assert caught.value.reason == "RECEIPT_STALE"
    assert "clock" in caught.value.diagnostics()


async def test_a_refusal_carries_its_verified_receipt(colour: Colour, broker: FakeBroker) -> None:
    broker.script[GET] = [Refuse(grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_PERMITTED")]
    with pytest.raises(DecisionError) as caught:
        await get(colour, broker)
    assert caught.value.receipt is not None
    assert caught.value.receipt.exchange_id == caught.value.exchange_id


async def test_a_refusal_before_the_request_was_read_is_verified_too(colour: Colour, broker: FakeBroker) -> None:
    broker.script[GET] = [Refuse(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED", read=False)] * 2
    with pytest.raises(IdentityError) as caught:
        await get(colour, broker)
    assert caught.value.receipt is not None


@pytest.mark.parametrize("read", [True, False])
async def test_a_refusal_with_a_tampered_receipt_is_a_receipt_error(
    colour: Colour, broker: FakeBroker, read: bool
) -> None:
    broker.script[GET] = [Refuse(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", read=read)]
    broker.tamper = lambda path, request, raw: raw.replace(b'"denial"', b'"deniaI"')
    with pytest.raises(ReceiptError) as caught:
        await get(colour, broker)
    assert caught.value.reason == "RECEIPT_BAD_PROOF"


async def test_a_ledger_that_is_down_refuses_without_a_receipt(colour: Colour, broker: FakeBroker) -> None:
    broker.script[GET] = [Refuse(grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE", receipt=False)] * 3
    with pytest.raises(UnavailableError) as caught:
        await get(colour, broker)
    assert caught.value.receipt is None
    assert caught.value.exchange_id
