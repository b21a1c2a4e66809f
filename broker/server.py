"""The door: one generic handler answers every path, and hands each call to the pipeline.

MUSTs:
1. No handler is registered by name: a method that nobody wrote is refused on record like any other call.
2. Messages are raw bytes on both sides; parsing is the pipeline's work, so a malformed request is a refusal on record.
3. A call that ends before its handler ran is counted (`not_started`).
4. The one unaudited service is gRPC's health; it says nothing but whether the broker serves. It is registered before
   this door, as reflection is where it is turned on: what they do not answer is refused here, on record.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias, cast

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from broker.audit.visit import RefusedError, Visit
from broker.config import LimitsSection
from broker.domain.errors import LimitError, UnavailableError
from broker.pipeline import Pipeline
from broker.stream import StreamRunner
from broker.wire import MAX_REQUEST_BYTES, Deadlines, Wire
from entente.common.v1 import exchange_pb2

Context = grpc.aio.ServicerContext[bytes, bytes]
RawHandler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

ERROR_DOMAIN = "entente"
# A refusal travels in trailing metadata, of which clients take 8 KiB by default.
MOST_VIOLATIONS = 20

# A caller that ignores its limit and sends again at once would be refused as fast as the broker can: one of a flood
# waits for its refusal, and so sends no faster than its calls under way allow. Not all for the same time: what is
# refused in one moment comes back in one moment. So many may wait at once.
HOLD_SECONDS = (0.25, 0.75)
MOST_HELD = 2048

# Beyond its age a connection takes no new call; what it carries may end. A call lasts at most `longest_call_seconds`,
# a stream no longer than its token (five minutes, and the skew of two clocks).
STREAM_SECONDS = 360


def options(limits: LimitsSection, *, shared_port: bool) -> tuple[tuple[str, int], ...]:
    """How gRPC's core is set. `shared_port`: other workers of this broker listen on it too."""
    grace = max(limits.longest_call_seconds, STREAM_SECONDS)
    return (
        # Unless it is meant to be shared, a second server on a taken port must fail to start.
        ("grpc.so_reuseport", int(shared_port)),
        # Above our own limit, so that an oversize request is refused by the pipeline, with an entry.
        ("grpc.max_receive_message_length", 4 * MAX_REQUEST_BYTES),
        ("grpc.max_send_message_length", 32 * MAX_REQUEST_BYTES),
        ("grpc.max_concurrent_streams", 128),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.max_connection_age_ms", limits.connection_age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", grace * 1000),
        ("grpc.keepalive_time_ms", 60 * 1000),
        ("grpc.keepalive_timeout_ms", 20 * 1000),
        # Whose connection it is, nobody knows before its handshake has ended: it is given little time, and its number
        # is bounded, so that it runs out before the process's files do.
        ("grpc.server_handshake_timeout_ms", limits.handshake_seconds * 1000),
        ("grpc.max_connection_idle_ms", limits.connection_idle_seconds * 1000),
        ("grpc.max_allowed_incoming_connections", limits.all_connections),
    )


class Door(grpc.GenericRpcHandler):
    """Every path leads into the pipeline."""

    def __init__(self, pipeline: Pipeline, streams: StreamRunner, limits: LimitsSection) -> None:
        self._pipeline = pipeline
        self._streams = streams
        self._held = 0
        self._deadlines = Deadlines(limits.first_message_seconds, limits.longest_call_seconds)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> RawHandler:
        """gRPC asks who answers this path. Runs on the call's own task."""
        path = handler_call_details.method
        started: list[bool] = []
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: None if started else self._pipeline.recorder.outcomes.not_started(path))
        rule = self._pipeline.catalogue.find(path)
        if rule is not None and rule.server_streaming:
            return _raw(grpc.stream_stream_rpc_method_handler, self._stream(path, started))
        return _raw(grpc.stream_unary_rpc_method_handler, self._unary(path, started))

    def _unary(self, path: str, started: list[bool]) -> Callable[[Any, Context], Awaitable[bytes]]:
        async def behaviour(messages: Any, context: Context) -> bytes:
            started.append(True)
            try:
                return await self._pipeline.answer(path, self._wire(context), _closer(self._pipeline, context))
            except RefusedError as refusal:
                await self._refuse(context, refusal)
            finally:
                del messages, context

        return behaviour

    async def _refuse(self, context: Context, refusal: RefusedError) -> NoReturn:
        if refusal.counted and self._held < MOST_HELD:
            self._held += 1
            try:
                await asyncio.sleep(random.uniform(*HOLD_SECONDS))  # noqa: S311 - nothing is secret in it
            finally:
                self._held -= 1
        try:
            await refuse(context, refusal.with_traceback(None))
        finally:
            del context

    def _wire(self, context: Context) -> Wire:
        return Wire(context, self._deadlines)

    def _stream(self, path: str, started: list[bool]) -> Callable[[Any, Context], Awaitable[None]]:
        async def behaviour(messages: Any, context: Context) -> None:
            started.append(True)
            try:
                await self._streams.run(path, self._wire(context))
            except RefusedError as refusal:
                await self._refuse(context, refusal)
            finally:
                del messages, context

        return behaviour


def _raw(make: Any, behaviour: Any) -> RawHandler:
    """A handler that is given the bytes as they came."""
    handler: RawHandler = make(behaviour, request_deserializer=None, response_serializer=None)
    return handler


def _closer(pipeline: Pipeline, context: Context) -> Callable[[Visit, int], None]:
    """Called when an answer is released: its outcome is what gRPC says of it in the end."""

    def released(visit: Visit, size: int) -> None:
        def ended(_: Any) -> None:
            code = "CANCELLED" if call.cancelled() else "OK"
            pipeline.recorder.handed_over(visit, code, size)

        task, call = asyncio.current_task(), cast(Any, context)
        assert task is not None
        # Not the context's own callbacks: they and the context would hold one another (`Wire.on_end`).
        task.add_done_callback(ended)

    return released


async def refuse(context: Context, refusal: RefusedError) -> NoReturn:
    """End the call with the refusal's status, reason, exchange id and receipt (AIP-193).

    gRPC keeps the exception by which it aborts in the call's context, and the exception keeps the frames that it went
    through. Where one of these held the context, every refusal would be a ring that the garbage collector alone can
    undo, and a thousand of them would stop everybody's calls for a tenth of a second. So the frames on the way let go.
    """
    status = status_pb2.Status(
        code=refusal.status.value[0], message=refusal.error.message, details=[_packed(d) for d in details(refusal)]
    )
    rich = rpc_status.to_status(status)
    try:
        await context.abort(rich.code, rich.details, rich.trailing_metadata)
        raise AssertionError("abort always raises")
    finally:
        del context


def details(refusal: RefusedError) -> list[Any]:
    """What a refusal carries beside its status."""
    info = error_details_pb2.ErrorInfo(
        reason=refusal.error.reason, domain=ERROR_DOMAIN, metadata={"exchange_id": refusal.exchange_id}
    )
    found: list[Any] = [info]
    if refusal.error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=path, description=text)
            for path, text in refusal.error.fields[:MOST_VIOLATIONS]
        ]
        found.append(error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(refusal.error, LimitError | UnavailableError) and refusal.error.retry_after_s:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(refusal.error.retry_after_s * 1e9))
        found.append(retry)
    if refusal.receipt:
        found.append(exchange_pb2.Receipt.FromString(refusal.receipt))
    return found


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
