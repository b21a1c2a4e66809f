"""A broker without policy, store or ledger on disk: real mutual TLS, real receipts, scripted answers.

It runs on a thread of its own, so that blocking and asynchronous clients and subprocesses can call it. Each path is
answered by the function in `answers`, unless `script` holds steps for it: those come first, one for each call.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from certs.authority import AgencyCredentials, Authority
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_service_pb2 as reports
from entente_sdk._material import thumbprint
from entente_sdk.profile import Profile
from entente_tlog import proof as proofs
from entente_tlog.checkpoint import Checkpoint
from entente_tlog.commitment import content_hash
from entente_tlog.merkle import Tree, leaf_hash
from entente_tlog.note import Signer

ORIGIN = "broker.example/log/0"
SUBSCRIBE = "/entente.report.v1.ReportService/SubscribeReports"


@dataclass(frozen=True)
class Refuse:
    """A refusal, with the details of a real one. `receipt` False: as if the ledger were down; `read` False: as if the
    caller were refused before the request was read; `bare`: as if the transport had failed."""

    status: grpc.StatusCode
    reason: str = ""
    message: str = "refused"
    fields: tuple[tuple[str, str], ...] = ()
    receipt: bool = True
    read: bool = True
    bare: bool = False
    retry_after_s: float | None = None


@dataclass
class Call:
    """What arrived."""

    path: str
    request: bytes
    token: str
    # The client's certificate, as tokens name it (RFC 8705).
    thumbprint: str = ""
    peer: str = ""


@dataclass
class Ledger:
    """Entries in memory, signed one by one."""

    signer: Signer
    tree: Tree = field(default_factory=Tree)
    clock_shift: timedelta = timedelta(0)

    def receipt(
        self, path: str, request: bytes | None, response: bytes, *, reason: str = "", status: str = "OK"
    ) -> tuple[exchange_pb2.Receipt, str]:
        """A receipt as the broker makes them, and the exchange id."""
        salt, exchange_id = secrets.token_bytes(32), secrets.token_hex(16)
        leaf = {
            "exchange_id": exchange_id,
            "method": path,
            "response_hash": content_hash(salt, response),
            "status": status,
            "time_utc": (datetime.now(UTC) + self.clock_shift).isoformat().replace("+00:00", "Z"),
            "type": "denial" if reason else "disclosure",
        }
        if request is not None:
            leaf["request_hash"] = content_hash(salt, request)
        if reason:
            leaf["reason"] = reason
        raw = json.dumps(leaf, sort_keys=True, separators=(",", ":")).encode()
        index = self.tree.append(leaf_hash(raw))
        size = len(self.tree)
        checkpoint = self.signer.sign(Checkpoint(ORIGIN, size, self.tree.root()).text())
        proof = proofs.encode(index, self.tree.inclusion_proof(index, size), checkpoint)
        return exchange_pb2.Receipt(leaf=raw, salt=salt, proof=proof.decode()), exchange_id


class FakeBroker:
    """Start with `with`. `tamper` sees the path, the request's and the response's bytes, and may change the latter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder / "authority")
        self.credentials = self.authority.issue_broker()
        self.agency: AgencyCredentials = self.authority.issue_agency("police.example", "northshire")
        self.signer = Signer.generate(ORIGIN)
        self.ledger = Ledger(self.signer)
        self.answers: dict[str, Callable[[bytes], Message]] = {}
        self.script: dict[str, list[Refuse | Callable[[bytes], Message]]] = defaultdict(list)
        self.tamper: Callable[[str, bytes, bytes], bytes] = lambda path, request, response: response
        self.calls: list[Call] = []
        # The stream: batches by cursor "1", "2", ...; a step of `breaks` ends the stream after so many batches.
        self.batches: list[reports.SubscribeReportsResponse] = []
        self.breaks: list[tuple[int, Refuse]] = []
        self.acknowledged: list[str] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> FakeBroker:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(0), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def profile(self, **changes: Any) -> Profile:
        """A profile of the enrolled agency."""
        values: dict[str, Any] = {
            "endpoint": f"127.0.0.1:{self.port}",
            "ca": self.authority.root,
            "certificate": self.agency.certificate,
            "key": self.agency.key,
            "token_file": self.token_file(),
            "log_keys": (str(self.signer.verifier),),
            "purpose": "INVESTIGATION",
        }
        return Profile(**{**values, **changes})

    def config(self, **changes: str) -> Path:
        """The same as a configuration file, for the command line."""
        profile = self.profile()
        values = {
            "endpoint": profile.endpoint,
            "ca": str(profile.ca),
            "certificate": str(profile.certificate),
            "key": str(profile.key),
            "token_file": str(profile.token_file),
            "log_key": profile.log_keys[0],
            "purpose": "INVESTIGATION",
            **changes,
        }
        path = self.folder / "config.toml"
        path.write_text("[profiles.north]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        return path

    def token_file(self) -> Path:
        """A token of the agency's own issuer."""
        path = self.folder / "token"
        path.write_text(self.agency.token_issuer().mint("o.reyes", roles=["analyst"], purposes=["INVESTIGATION"]))
        return path

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((_Door(self),))
        pair = (self.credentials.key.read_bytes(), self.credentials.certificate.read_bytes())
        tls = grpc.ssl_server_credentials([pair], self.authority.root.read_bytes(), require_client_auth=True)
        self.port = self._server.add_secure_port("127.0.0.1:0", tls)
        await self._server.start()

    def note(self, path: str, request: bytes, context: Any) -> None:
        """Remember a call."""
        token = dict(context.invocation_metadata()).get("authorization", "")
        (pem,) = context.auth_context().get("x509_pem_cert", [b""])
        bound_to = thumbprint(x509.load_pem_x509_certificate(pem)) if pem else ""
        self.calls.append(Call(path, request, token, bound_to, context.peer()))

    async def unary(self, path: str, request: bytes, context: Any) -> bytes:
        """The next scripted step, or the standing answer."""
        self.note(path, request, context)
        steps = self.script[path]
        step = steps.pop(0) if steps else self.answers.get(path)
        if step is None:
            step = Refuse(grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
        if isinstance(step, Refuse):
            await self.refuse(path, request, context, step)
        return self.sealed(path, request, step(request))

    def sealed(self, path: str, request: bytes, message: Message) -> bytes:
        """The response's bytes with their receipt."""
        body = message.SerializeToString()
        receipt, _ = self.ledger.receipt(path, request, body)
        wrapper = reports.GetReportResponse(receipt=receipt)
        return self.tamper(path, request, body + wrapper.SerializeToString())

    async def refuse(self, path: str, request: bytes, context: Any, step: Refuse) -> None:
        """End the call as the broker does (AIP-193)."""
        if step.bare:
            await context.abort(step.status, step.message)
        receipt, exchange_id = self.ledger.receipt(
            path, request if step.read else None, b"", reason=step.reason, status=step.status.name
        )
        details: list[Message] = [
            error_details_pb2.ErrorInfo(reason=step.reason, domain="entente", metadata={"exchange_id": exchange_id})
        ]
        if step.fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(field=path, description=text) for path, text in step.fields
            ]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if step.retry_after_s is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromNanoseconds(int(step.retry_after_s * 1e9))
            details.append(info)
        if step.receipt:
            raw = self.tamper(path, request, receipt.SerializeToString())
            details.append(exchange_pb2.Receipt.FromString(raw))
        packed = [any_pb2.Any() for _ in details]
        for box, detail in zip(packed, details, strict=True):
            box.Pack(detail)
        status = rpc_status.to_status(
            status_pb2.Status(code=step.status.value[0], message=step.message, details=packed)
        )
        await context.abort(status.code, status.details, status.trailing_metadata)

    async def stream(self, path: str, context: Any) -> AsyncIterator[bytes]:
        """Batches after the cursor, each sent when the one before is acknowledged."""
        raw = await context.read()
        self.note(path, raw, context)
        start = reports.SubscribeReportsRequest.FromString(raw).start
        position = int(start.cursor or (len(self.batches) if start.from_now else 0))
        sent = 0
        while True:
            if self.breaks and sent >= self.breaks[0][0]:
                await self.refuse(path, raw, context, self.breaks.pop(0)[1])
            if position < len(self.batches):
                position += 1
                batch = reports.SubscribeReportsResponse()
                batch.CopyFrom(self.batches[position - 1])
                batch.cursor = str(position)
                yield self.sealed(path, raw, batch)
                sent += 1
            message = await context.read()
            if message is grpc.aio.EOF:
                return
            self.acknowledged.append(reports.SubscribeReportsRequest.FromString(message).acknowledgement.cursor)


class _Door(grpc.GenericRpcHandler):
    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method

        async def unary(request: bytes, context: Any) -> bytes:
            return await self._broker.unary(path, request, context)

        async def stream(_: Any, context: Any) -> AsyncIterator[bytes]:
            async for message in self._broker.stream(path, context):
                yield message

        if path == SUBSCRIBE:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)
