"""Calls as flows make them: receipts are verified before answers are used, refusals checked against the ledger."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from broker.app import SERVICES, SUBSCRIBE, Broker
from broker.audit.files import Files
from broker.config import load
from broker.decide.catalogue import Catalogue
from broker.decide.engine import PolicyEngine
from broker.domain.clock import SystemClock
from certs import network
from certs.network import Party
from entente.common.v1 import exchange_pb2
from entente.error.v1 import error_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_tlog import proof
from entente_tlog.receipt import LogKey, VerifiedReceipt, parse_receipt, verify_receipt, verify_refusal
from tests.bench.seed import report as sample_report
from tests.support.house import House, appoint_everybody, reason_of, refusal_details
from tests.support.live import LiveBroker, party_named

REPORT = "/entente.report.v1.ReportService/"
SUBMIT, GET, SEARCH = f"{REPORT}SubmitReport", f"{REPORT}GetReport", f"{REPORT}SearchReports"
AMEND, RETRACT, VERSIONS = f"{REPORT}AmendReport", f"{REPORT}RetractReport", f"{REPORT}ListReportVersions"
WHO_AM_I = "/entente.directory.v1.DirectoryService/WhoAmI"

OFFICER, REGIONAL, NATIONAL = (party_named[name] for name in ("neighbourhood", "regional", "national"))
LIAISON, INSPECTOR = party_named["liaison"], party_named["auditor"]
READERS = (OFFICER, REGIONAL, NATIONAL, LIAISON)

CATALOGUE = Catalogue.from_descriptors(SERVICES)


class ShiftedClock(SystemClock):
    """The machine's clock, moved by as much as the test says."""

    ahead_s: float = 0.0

    def now_us(self) -> int:
        return super().now_us() + int(self.ahead_s * 1_000_000)

    def monotonic_us(self) -> int:
        return super().monotonic_us() + int(self.ahead_s * 1_000_000)


@contextlib.asynccontextmanager
async def rehoused(
    directory: Path,
    *,
    engine: PolicyEngine | None = None,
    clock: SystemClock | None = None,
    files: Files | None = None,
    limits: Mapping[str, int] | None = None,
) -> AsyncIterator[House]:
    """A broker on the network in `directory`, which is made when it is not there: it can be stopped and started."""
    if not (directory / "broker.toml").exists():
        network.create(directory, "127.0.0.1:0", limits=limits)
        appoint_everybody(directory)
    broker = await Broker.start(load(directory / "broker.toml"), engine=engine, clock=clock, files=files)
    made = House(broker, directory)
    try:
        yield made
    finally:
        for channel in made.channels.values():
            await channel.close()
        await broker.stop()


class Remote:
    """A broker in its own process, to be called like a House. What lies in its memory is not to be had."""

    def __init__(self, live: LiveBroker) -> None:
        self.live = live
        self.directory = live.network.directory
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, party: Party) -> grpc.aio.Channel:
        if party.agency not in self._channels:
            self._channels[party.agency] = self.live.aio_channel(party)
        return self._channels[party.agency]

    def metadata(self, party: Party) -> tuple[tuple[str, str], ...]:
        return self.live.metadata(party)

    async def unary(self, path: str, request: bytes, party: Party, *, timeout: float = 20.0) -> bytes:
        call = self.channel(party).unary_unary(path)
        reply: bytes = await call(request, metadata=self.metadata(party), timeout=timeout)
        return reply

    async def close(self) -> None:
        """End the connections; the next call makes new ones."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()


Place = House | Remote


def justified(request: Any, purpose: str = "INVESTIGATION") -> Any:
    """The request, with a justification."""
    request.justification.purpose = exchange_pb2.Purpose.Value(f"PURPOSE_{purpose}")
    request.justification.case_reference = "OP LANTERN"
    return request


def submission(report: report_pb2.Report | None = None, key: str = "") -> reports.SubmitReportRequest:
    """A request that shares a report."""
    made = reports.SubmitReportRequest(idempotency_key=key or str(uuid.uuid4()), report=report or sample_report(1))
    justified(made)
    return made


def amendment(record_id: str, etag: str, *paths: str, **values: Any) -> reports.AmendReportRequest:
    """A request that changes a report's `paths`."""
    made = reports.AmendReportRequest(
        idempotency_key=str(uuid.uuid4()), record_id=record_id, etag=etag, report=report_pb2.Report(**values)
    )
    made.update_mask.paths.extend(paths or tuple(values))
    justified(made)
    return made


def retraction(record_id: str, etag: str, reason: str = "entered in error") -> reports.RetractReportRequest:
    """A request that withdraws a report."""
    made = reports.RetractReportRequest(
        idempotency_key=str(uuid.uuid4()), record_id=record_id, etag=etag, reason=reason
    )
    justified(made)
    return made


def getting(record_id: str, purpose: str = "INVESTIGATION") -> reports.GetReportRequest:
    made = reports.GetReportRequest(record_id=record_id)
    justified(made, purpose)
    return made


def searching(purpose: str = "INVESTIGATION", **conditions: Any) -> reports.SearchReportsRequest:
    made = reports.SearchReportsRequest(**conditions)
    justified(made, purpose)
    return made


def listing(record_id: str, purpose: str = "INVESTIGATION") -> reports.ListReportVersionsRequest:
    made = reports.ListReportVersionsRequest(record_id=record_id)
    justified(made, purpose)
    return made


def starting(purpose: str = "INVESTIGATION", **where: Any) -> reports.SubscribeReportsRequest:
    made = reports.SubscribeReportsRequest(start=reports.SubscribeStart(**where))
    justified(made.start, purpose)
    return made


def acknowledging(cursor: str) -> reports.SubscribeReportsRequest:
    return reports.SubscribeReportsRequest(acknowledgement=reports.SubscribeAcknowledgement(cursor=cursor))


@dataclass(frozen=True)
class Given:
    """An answer whose receipt holds."""

    request: bytes
    raw: bytes
    message: Any
    receipt: VerifiedReceipt

    @property
    def exchange_id(self) -> str:
        return str(self.receipt.leaf["exchange_id"])


@dataclass(frozen=True)
class Refused:
    """A refusal: typed, with a public reason, and on the ledger (or without a receipt)."""

    status: grpc.StatusCode
    reason: str
    message: str
    exchange_id: str
    details: list[Message]
    receipt: VerifiedReceipt | None
    error: grpc.aio.AioRpcError


def keys_of(place: Place) -> list[LogKey]:
    """The keys of the logs, as clients pin them."""
    return [LogKey.parse(path.read_text().strip()) for path in sorted((place.directory / "data").glob("log*.vkey"))]


def given(place: Place, path: str, request: bytes, raw: bytes) -> Given:
    """The answer, its receipt verified."""
    rule = CATALOGUE.find(path)
    assert rule is not None
    verified = verify_receipt(request=request, response=raw, keys=keys_of(place))
    return Given(request, raw, rule.response_type.FromString(raw), verified)


async def ask(place: Place, path: str, request: Message, party: Party = OFFICER, **options: Any) -> Given:
    """One unary call that is granted."""
    sent = request.SerializeToString()
    return given(place, path, sent, await place.unary(path, sent, party, **options))


async def refusal(place: House, path: str, request: Message | bytes, party: Party = OFFICER, **options: Any) -> Refused:
    """One unary call that is refused: with a reason of the protos, an exchange id and a receipt, once on the ledger."""
    sent = request if isinstance(request, bytes) else request.SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place.unary(path, sent, party, **options)
    return checked_refusal(place, caught.value, sent)


def checked_refusal(place: House, error: grpc.aio.AioRpcError, sent: bytes) -> Refused:
    """The refusal, after it was found to be typed, explained and on the ledger."""
    info = reason_of(error)
    assert info.domain == "entente"
    assert f"REASON_{info.reason}" in error_pb2.Reason.keys()  # noqa: SIM118 - an enum wrapper is no mapping
    assert error.details(), "a refusal says what to do"
    exchange_id = info.metadata["exchange_id"]
    found = refusal_details(error)
    receipt = next((one for one in found if isinstance(one, exchange_pb2.Receipt)), None)
    verified = None if receipt is None else _verified(place, receipt.SerializeToString(), sent)
    if verified is not None:
        assert verified.leaf["exchange_id"] == exchange_id
        assert verified.leaf["outcome"] in ("denied", "indeterminate")
        assert verified.leaf["reason"] == info.reason
        assert place.broker.ledger.entry(verified.index) == verified.leaf_bytes
    return Refused(error.code(), info.reason, error.details() or "", exchange_id, found, verified, error)


def _verified(place: House, receipt: bytes, sent: bytes) -> VerifiedReceipt:
    """A refusal before the request was read binds no request: its leaf and proof are checked alone."""
    parts = parse_receipt(receipt)
    if b'"request_hash"' in parts.leaf:
        return verify_refusal(request=sent, receipt=receipt, keys=keys_of(place))
    parsed = proof.parse(parts.proof)
    checkpoint = proof.verify(parsed, parts.leaf, [key.verifier for key in keys_of(place)])
    leaf = json.loads(parts.leaf)
    return VerifiedReceipt(
        leaf, parts.leaf, parts.salt, parsed.index, checkpoint.origin, checkpoint.size, checkpoint.root, b""
    )


@dataclass
class Follower:
    """A raw subscription. Nothing is acknowledged unless the test does."""

    place: Place
    party: Party = OFFICER
    metadata: Sequence[tuple[str, str]] | None = None
    start: reports.SubscribeReportsRequest = field(default_factory=starting)

    async def __aenter__(self) -> Follower:
        self.sent = self.start.SerializeToString()
        given_metadata = self.place.metadata(self.party) if self.metadata is None else self.metadata
        self.call = self.place.channel(self.party).stream_stream(SUBSCRIBE)(metadata=tuple(given_metadata), timeout=60)
        await self.call.write(self.sent)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()

    async def batch(self) -> Given:
        """The next batch. Raises AssertionError at the end, AioRpcError at a refusal."""
        raw = await self.call.read()
        assert raw is not grpc.aio.EOF, "the stream has ended"
        return given(self.place, SUBSCRIBE, self.sent, bytes(raw))

    async def acknowledge(self, batch: Given) -> None:
        await self.call.write(acknowledging(batch.message.cursor).SerializeToString())

    async def refused(self) -> Refused:
        """How the stream was refused; whatever came before is read and dropped."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self._drain()
        assert isinstance(self.place, House)
        return checked_refusal(self.place, caught.value, self.sent)

    async def _drain(self) -> None:
        while await self.call.read() is not grpc.aio.EOF:
            pass
        raise AssertionError(f"the stream ended with {await self.call.code()}")

    async def all(self) -> list[Any]:
        """The changes up to the present, each batch acknowledged."""
        changes: list[Any] = []
        while True:
            batch = await self.batch()
            await self.acknowledge(batch)
            changes += batch.message.changes
            if batch.message.up_to_date:
                return changes
