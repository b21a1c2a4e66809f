"""A whole broker in the test's own process, over real TLS, with places where a test can break it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from broker.app import Broker
from broker.audit.files import Files
from broker.config import load
from broker.decide.catalogue import MethodRule
from broker.decide.engine import PolicyEngine
from certs import network
from certs.authority import Authority
from certs.network import APPOINTED, APPOINTMENTS, PARTIES, Party
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import enrolment_pb2, revocation_service_pb2
from entente.report.v1 import report_service_pb2
from tests.bench.seed import report as sample_report
from tests.support.live import CHANNEL_OPTIONS, party_named

SET_UP_ATTEMPTS = 3


@dataclass
class House:
    """The broker and raw callers of it."""

    broker: Broker
    directory: Path
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    def channel(self, party: Party) -> grpc.aio.Channel:
        """A connection as this party's agency; one each."""
        found = self.channels.get(party.agency)
        if found is None:
            files = Authority.open(self.directory / "authority").agency(*party.agency.split("/"))
            credentials = grpc.ssl_channel_credentials(
                files.root.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
            )
            found = grpc.aio.secure_channel(self.broker.address, credentials, CHANNEL_OPTIONS)
            self.channels[party.agency] = found
        return found

    def metadata(self, party: Party, **claims: Any) -> tuple[tuple[str, str], ...]:
        """A token for this party, with claims of the test's choosing."""
        files = Authority.open(self.directory / "authority").agency(*party.agency.split("/"))
        values: dict[str, Any] = {
            "roles": party.roles,
            "clearance": party.clearance,
            "purposes": party.purposes,
            "nationalities": (party.country,),
        }
        return (("authorization", f"Bearer {files.token_issuer().mint(party.user, **{**values, **claims})}"),)

    async def unary(
        self,
        path: str,
        request: bytes,
        party: Party,
        *,
        metadata: Sequence[tuple[str, str]] | None = None,
        timeout: float = 20.0,
    ) -> bytes:
        """One raw call. Raises grpc.aio.AioRpcError."""
        call = self.channel(party).unary_unary(path)
        given = self.metadata(party) if metadata is None else metadata
        reply: bytes = await call(request, metadata=tuple(given), timeout=timeout)
        return reply

    def leaves(self, since: int = 0) -> list[dict[str, Any]]:
        """The ledger's entries from an index on, outcomes left out."""
        found = [json.loads(leaf) for leaf in self.broker.ledger.entries(since, len(self.broker.ledger))]
        return [leaf for leaf in found if leaf["type"] != "outcome"]

    async def leaves_of(self, exchange_id: str) -> list[dict[str, Any]]:
        """An exchange's entries."""
        return [leaf for leaf in self.leaves() if leaf["exchange_id"] == exchange_id]

    async def settled(self, since: int, *, at_least: int = 1) -> list[dict[str, Any]]:
        """Entries from an index on, once there are so many or two seconds have passed."""
        for _ in range(200):
            if len(self.leaves(since)) >= at_least:
                break
            await asyncio.sleep(0.01)
        return self.leaves(since)


@contextlib.asynccontextmanager
async def house(
    directory: Path, *, engine: PolicyEngine | None = None, files: Files | None = None
) -> AsyncIterator[House]:
    """A fresh network in `directory` and its broker, in this loop."""
    net = network.create(directory, "127.0.0.1:0")
    appoint_everybody(directory)
    broker = await Broker.start(load(net.broker_config), engine=engine, files=files)
    made = House(broker, directory)
    try:
        yield made
    finally:
        for channel in made.channels.values():
            await channel.close()
        await broker.stop()


def appoint_everybody(directory: Path) -> None:
    """Each party's person may hold every role that counts by appointment: these tests ask what a role may do, not who
    may hold it (`test_enrolment_*` do)."""
    path = directory / "directory.toml"
    people = [(party.agency, party.user, role) for party in PARTIES for role in APPOINTED]
    entries = [
        f'[[appointments]]\nagency = "{agency}"\nuser = "{user}"\nrole = "{role}"\n'
        for agency, user, role in people
        if (agency, user, role) not in APPOINTMENTS
    ]
    path.write_text("\n".join([path.read_text(encoding="utf-8"), *entries]), encoding="utf-8")


async def until(claim: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds, however busy the machine is; the test's own assertion says what did not."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not claim() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)


def reason_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of a refusal."""
    return next(found for found in refusal_details(error) if isinstance(found, error_details_pb2.ErrorInfo))


def refusal_details(error: grpc.aio.AioRpcError) -> list[Message]:
    """All details of a refusal, unpacked."""
    status = rpc_status.from_call(_Refused(error))
    assert status is not None, f"no details: {error}"
    kinds: tuple[type[Message], ...] = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        exchange_pb2.Receipt,
    )
    found = []
    for packed in status.details:
        kind = next(kind for kind in kinds if packed.Is(kind.DESCRIPTOR))
        message = kind()
        packed.Unpack(message)
        found.append(message)
    return found


class _Refused:
    """grpc_status wants the blocking API's shape of an error."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def code(self) -> grpc.StatusCode:
        return self._error.code()

    def details(self) -> str | None:
        return self._error.details()

    def trailing_metadata(self) -> Any:
        return tuple(self._error.trailing_metadata())


@dataclass(frozen=True)
class Target:
    """A record that write and read requests can name."""

    record_id: str
    etag: str
    exchange_id: str = "0" * 32


async def submitted(house: House, party: Party, number: int = 0, change: Callable[[Any], None] | None = None) -> Target:
    """A sample report of this party."""
    request = report_service_pb2.SubmitReportRequest(idempotency_key=str(uuid.uuid4()), report=sample_report(number))
    request.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
    if change is not None:
        change(request.report)
    body = request.SerializeToString()
    for attempt in range(SET_UP_ATTEMPTS):
        try:
            raw = await house.unary("/entente.report.v1.ReportService/SubmitReport", body, party)
            break
        except grpc.aio.AioRpcError as error:
            # Set-up is not what a test is about: a disk that stalls for a second is asked again, under the same key.
            if error.code() != grpc.StatusCode.UNAVAILABLE or attempt + 1 == SET_UP_ATTEMPTS:
                raise
            await asyncio.sleep(0.2)
    reply = report_service_pb2.SubmitReportResponse.FromString(raw)
    return Target(reply.record_id, reply.etag, json.loads(reply.receipt.leaf)["exchange_id"])


def sample_request(rule: MethodRule, target: Target, purpose: str) -> Message:
    """A valid request of any method, made from its descriptor: a new method is covered the day that it is declared."""
    request = rule.request_type()
    whole = request.start if rule.client_streaming else request  # type: ignore[attr-defined]
    if rule.client_streaming:
        whole.SetInParent()
    own = OWN_VALUES.get(rule.path.rpartition("/")[2], {})
    for descriptor in whole.DESCRIPTOR.fields:
        value = own.get(descriptor.name) or VALUES.get(descriptor.name)
        if value is None:
            continue
        made = value(target)
        if isinstance(made, Message):
            getattr(whole, descriptor.name).CopyFrom(made)
        else:
            setattr(whole, descriptor.name, made)
    if "justification" in whole.DESCRIPTOR.fields_by_name:
        whole.justification.purpose = exchange_pb2.Purpose.Value(f"PURPOSE_{purpose}")
    return request


def _mask(_: Target) -> Message:
    request = report_service_pb2.AmendReportRequest()
    request.update_mask.paths.append("title")
    return request.update_mask


# By the field's name, which means the same thing in every request.
VALUES: dict[str, Callable[[Target], Any]] = {
    "idempotency_key": lambda _: str(uuid.uuid4()),
    "record_id": lambda target: target.record_id,
    "etag": lambda target: target.etag,
    "report": lambda _: sample_report(1),
    "update_mask": _mask,
    "name": lambda _: party_named["regional"].agency,
    "index": lambda _: 0,
    "proposal_id": lambda _: "0" * 32,
    # Withdrawn by some tests: few others rest on it.
    "agreement_id": lambda _: "haven-north",
    "issuer": lambda _: enrolment_pb2.IssuerRegistration(
        agency=party_named["regional"].agency, url="https://issuer.example", jwks="{}"
    ),
    "certificate": lambda _: "none",
    "change": lambda _: enrolment_pb2.RegistryChange(
        restore=enrolment_pb2.Restoration(revocation_id="0" * 32),
    ),
    # Of nobody: whoever else calls goes on.
    "target": lambda _: revocation_service_pb2.RevocationTarget(certificate=secrets.token_hex(32)),
}

# Of one method alone.
OWN_VALUES: dict[str, dict[str, Callable[[Target], Any]]] = {
    "ExplainExchange": {"exchange_id": lambda target: target.exchange_id},
}
