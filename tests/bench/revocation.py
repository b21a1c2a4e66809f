"""How long a revoked caller still receives: `python -m tests.bench.revocation`, or `measure_revocation` from a suite.

Over a live broker with its workers: streams and callers of one identity, spread over connections and so over workers,
while others write reports that the streams bring. Then the identity is revoked, by certificate, by user or by locking
its agency, and each stream and caller notes when it received its last data and when it was told the end.

It counts from two moments: the broker's own time in the revocation, taken in its transaction *before* the commit
reached the disk (so every figure from it is too long, never too short), and the arrival of the registrar's answer.
Client, load and workers share the machine's cores. The identity is the `regional` party's; its certificate is renewed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.identify.tls import require_tls13

require_tls13()

import grpc  # noqa: E402

from certs.authority import Authority  # noqa: E402
from certs.network import Party  # noqa: E402
from entente.common.v1 import exchange_pb2  # noqa: E402
from entente.directory.v1 import enrolment_pb2, revocation_service_pb2  # noqa: E402
from entente.directory.v1 import enrolment_service_pb2 as enrolment  # noqa: E402
from entente.report.v1 import report_service_pb2  # noqa: E402
from tests.bench.looks import look_costs  # noqa: E402
from tests.bench.seed import fill, report  # noqa: E402
from tests.support.house import reason_of  # noqa: E402
from tests.support.live import CHANNEL_OPTIONS, LiveBroker, live_broker, party_named  # noqa: E402

REPORTS = "/entente.report.v1.ReportService/"
REVOKE = "/entente.directory.v1.RevocationService/Revoke"
ENROLMENT = "/entente.directory.v1.EnrolmentService/"
GOAL_P99_MS, GOAL_MAX_MS = 250.0, 1000.0
WRITERS = 2
PAUSE_SECONDS = 0.005
EXPECTED = {"certificate": "CERTIFICATE_REVOKED", "user": "USER_REVOKED", "agency": "AGENCY_LOCKED"}


@dataclass
class Figures:
    """Milliseconds, one for each revoked stream or caller. Data: the last answer or batch; end: the refusal."""

    kind: str
    data_after_commit: list[float] = field(default_factory=list)
    data_after_answer: list[float] = field(default_factory=list)
    end_after_commit: list[float] = field(default_factory=list)
    end_after_answer: list[float] = field(default_factory=list)
    batches_open: int = 0
    wrong: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the printed table."""
        cells = [self.kind, str(len(self.end_after_commit))]
        for values in (self.data_after_commit, self.end_after_commit, self.end_after_answer):
            cells += [f"{percentile(values, share):.1f}" for share in (0.5, 0.99, 1.0)]
        return "| " + " | ".join([*cells, str(self.batches_open), str(len(self.wrong))]) + " |"


HEAD = (
    "| revoked | ends | last data after commit ms p50 | p99 | max | end after commit ms p50 | p99 | max "
    "| end after answer ms p50 | p99 | max | most open batches | wrong |\n" + "|---" * 13 + "|"
)


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies; the largest for 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass
class Victim:
    """One stream or caller: when it received data, when it was told the end, and why."""

    data_at: float = 0.0
    end_at: float = 0.0
    reason: str = ""
    unacknowledged: int = 0


async def measure_revocation(
    broker: LiveBroker,
    *,
    kinds: tuple[str, ...] = tuple(EXPECTED),
    rounds: int = 10,
    streams: int = 8,
    callers: int = 4,
) -> list[Figures]:
    """Revoke `rounds` times for each kind. Needs the party `regional` and two registrars."""
    ids = await fill(broker, 40)
    bench = _Bench(broker, ids)
    try:
        return [await bench.measure(kind, rounds, streams, callers) for kind in kinds]
    finally:
        await bench.close()


class _Bench:
    def __init__(self, broker: LiveBroker, ids: list[str]) -> None:
        self._broker, self._ids = broker, ids
        self._holding = False
        self._party = party_named["regional"]
        self._authority = Authority.open(broker.network.directory / "authority")
        self._files = self._authority.agency(*self._party.agency.split("/"))
        self._registrars = broker.aio_channel(party_named["registrar"])
        self._officers = broker.aio_channel(party_named["neighbourhood"])

    async def close(self) -> None:
        await self._registrars.close()
        await self._officers.close()

    async def measure(self, kind: str, rounds: int, streams: int, callers: int) -> Figures:
        figures = Figures(kind)
        for number in range(rounds):
            user = f"officer.{kind}.{number}" if kind == "user" else self._party.user
            await self._round(figures, user, streams, callers)
            if kind == "certificate":
                self._authority.issue_agency(*self._party.agency.split("/"))
        return figures

    async def _round(self, figures: Figures, user: str, streams: int, callers: int) -> None:
        self._holding = False
        metadata = self._metadata(user)
        channels = [self._channel() for _ in range(streams + callers)]
        victims = [Victim() for _ in channels]
        work = [
            asyncio.create_task(
                (self._follow if place < streams else self._call)(channel, victim, metadata, hold=place % 2 == 0)
            )
            for place, (channel, victim) in enumerate(zip(channels, victims, strict=True))
        ]
        writers = [asyncio.create_task(self._write()) for _ in range(WRITERS)]
        try:
            await _began(victims)
            self._holding = True
            await asyncio.sleep(0.15)
            answer = await self._revoke(figures.kind, user)
            answered = time.time()
            await asyncio.wait_for(asyncio.gather(*work), 15)
        finally:
            for task in (*work, *writers):
                task.cancel()
            await asyncio.gather(*work, *writers, return_exceptions=True)
            for channel in channels:
                await channel.close()
        committed = answer.revocation.revoke_time.ToNanoseconds() / 1e9
        for victim in victims:
            figures.data_after_commit.append((victim.data_at - committed) * 1e3)
            figures.data_after_answer.append((victim.data_at - answered) * 1e3)
            figures.end_after_commit.append((victim.end_at - committed) * 1e3)
            figures.end_after_answer.append((victim.end_at - answered) * 1e3)
            figures.batches_open = max(figures.batches_open, victim.unacknowledged)
            if victim.reason != EXPECTED[figures.kind]:
                figures.wrong.append(victim.reason)
        if figures.kind == "agency":
            await self._lift(answer.revocation.revocation_id)

    async def _follow(self, channel: grpc.aio.Channel, victim: Victim, metadata: Any, *, hold: bool) -> None:
        """A stream, opened again where a busy broker could not serve it, or its end was lost on the way."""
        while not victim.reason:
            await self._follow_once(channel, victim, metadata, hold=hold)

    async def _follow_once(self, channel: grpc.aio.Channel, victim: Victim, metadata: Any, *, hold: bool) -> None:
        """Streams that `hold` stop acknowledging shortly before the revocation: two batches may be open."""
        start = report_service_pb2.SubscribeReportsRequest()
        start.start.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
        call = channel.stream_stream(f"{REPORTS}SubscribeReports")(metadata=metadata, timeout=60)
        victim.unacknowledged = 0
        try:
            await call.write(start.SerializeToString())
            while (raw := await call.read()) is not grpc.aio.EOF:
                victim.data_at = time.time()
                batch = report_service_pb2.SubscribeReportsResponse.FromString(raw)
                if hold and self._holding:
                    victim.unacknowledged += 1
                    continue
                message = report_service_pb2.SubscribeReportsRequest()
                message.acknowledgement.cursor = batch.cursor
                # A stream that has ended says why when it is read.
                with contextlib.suppress(asyncio.InvalidStateError):
                    await call.write(message.SerializeToString())
            victim.reason = "ended without a reason"
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE or _lost(error):
                return
            victim.reason = _reason(error)
        victim.end_at = time.time()

    async def _call(self, channel: grpc.aio.Channel, victim: Victim, metadata: Any, *, hold: bool) -> None:
        """A caller who asks again and again."""
        request = report_service_pb2.GetReportRequest(record_id=self._ids[int(hold)])
        request.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
        get, body = channel.unary_unary(f"{REPORTS}GetReport"), request.SerializeToString()
        while True:
            try:
                await get(body, metadata=metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    continue
                victim.end_at, victim.reason = time.time(), _reason(error)
                return
            victim.data_at = time.time()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _write(self) -> None:
        """Reports for the streams to bring."""
        submit = self._officers.unary_unary(f"{REPORTS}SubmitReport")
        number = 0
        while True:
            request = report_service_pb2.SubmitReportRequest(
                idempotency_key=str(uuid.uuid4()), report=report(number := number + 1)
            )
            request.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
            metadata = self._broker.metadata(party_named["neighbourhood"])
            # Where a busy broker cannot take it, the next one will do.
            with contextlib.suppress(grpc.aio.AioRpcError):
                await submit(request.SerializeToString(), metadata=metadata, timeout=20)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _revoke(self, kind: str, user: str) -> revocation_service_pb2.RevokeResponse:
        request = revocation_service_pb2.RevokeRequest(idempotency_key=str(uuid.uuid4()), reason="measured")
        request.justification.purpose = exchange_pb2.PURPOSE_ADMINISTRATION
        if kind == "certificate":
            request.target.certificate = self._files.thumbprint.hex()
        elif kind == "user":
            request.target.user.CopyFrom(enrolment_pb2.Person(agency=self._party.agency, user=user))
        else:
            request.target.agency = self._party.agency
        raw = await self._ask(REVOKE, request, party_named["registrar"])
        return revocation_service_pb2.RevokeResponse.FromString(raw)

    async def _lift(self, revocation_id: str) -> None:
        """One registrar proposes, the other approves; the workers follow as fast as with a revocation."""
        proposal = enrolment.ProposeChangeRequest(idempotency_key=str(uuid.uuid4()))
        proposal.justification.purpose = exchange_pb2.PURPOSE_ADMINISTRATION
        proposal.change.restore.revocation_id = revocation_id
        raw = await self._ask(f"{ENROLMENT}ProposeChange", proposal, party_named["registrar"])
        made = enrolment.ProposeChangeResponse.FromString(raw).proposal
        approval = enrolment.ApproveProposalRequest(idempotency_key=str(uuid.uuid4()), proposal_id=made.proposal_id)
        approval.justification.purpose = exchange_pb2.PURPOSE_ADMINISTRATION
        await self._ask(f"{ENROLMENT}ApproveProposal", approval, party_named["second-registrar"])
        await asyncio.sleep(0.2)

    async def _ask(self, path: str, request: Any, who: Party) -> bytes:
        """A registrar's call, repeated under its key as the SDK repeats it."""
        call = self._registrars.unary_unary(path)
        while True:
            try:
                raw: bytes = await call(request.SerializeToString(), metadata=self._broker.metadata(who), timeout=20)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return raw

    def _channel(self) -> grpc.aio.Channel:
        """A connection with the agency's present certificate."""
        files = self._files
        credentials = grpc.ssl_channel_credentials(
            files.root.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
        )
        return grpc.aio.secure_channel(self._broker.address, credentials, CHANNEL_OPTIONS)

    def _metadata(self, user: str) -> tuple[tuple[str, str], ...]:
        party = self._party
        token = self._files.token_issuer().mint(
            user,
            roles=party.roles,
            clearance=party.clearance,
            purposes=party.purposes,
            nationalities=(party.country,),
        )
        return (("authorization", f"Bearer {token}"),)


def _lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether gRPC's client forgot the status, as where an acknowledgement crosses with the end. To be asked again."""
    return error.code() == grpc.StatusCode.INTERNAL and (error.details() or "").startswith("Internal error from Core")


def _reason(error: grpc.aio.AioRpcError) -> str:
    try:
        return str(reason_of(error).reason)
    except (AssertionError, StopIteration):
        return error.code().name


async def _began(victims: list[Victim], seconds: float = 30.0) -> None:
    """Wait until each of them has received something. Raises TimeoutError, with why some have not."""
    deadline = time.monotonic() + seconds
    while not all(victim.data_at for victim in victims):
        if time.monotonic() > deadline or any(victim.reason for victim in victims):
            raise TimeoutError(f"not all began: {sorted(victim.reason for victim in victims)}")
        await asyncio.sleep(0.01)


def main() -> None:
    """Start a broker with its workers, measure, print."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m tests.bench.revocation")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--callers", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(uvloop.run(look_costs(Path(scratch))))
        with live_broker(Path(scratch) / "network", workers=arguments.workers) as broker:
            measured = uvloop.run(
                measure_revocation(
                    broker, rounds=arguments.rounds, streams=arguments.streams, callers=arguments.callers
                )
            )
    print(
        f"\n{arguments.workers} workers, {arguments.streams} streams and {arguments.callers} callers revoked each round"
    )
    print(HEAD)
    for figures in measured:
        print(figures.row(), *figures.wrong)
    print(f"goal: p99 below {GOAL_P99_MS:.0f} ms, never above {GOAL_MAX_MS:.0f} ms")


if __name__ == "__main__":
    main()
