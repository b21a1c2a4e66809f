"""What the transport brings: one call's certificate, metadata and messages. The only view of gRPC that stages get."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from broker.domain.errors import DeadlineError, LimitError, RequestError
from broker.domain.exchange import Session

MAX_REQUEST_BYTES = 1 << 20
TLS_VERSION, TLS_GROUP = "ssl_tls_version", "ssl_negotiated_key_exchange_group"
LONGEST_NAME = 40

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What a call may take, whatever its client allows.

    A caller that opens a call and does not speak holds a place: `first_message_s` is for the whole request of a unary
    call, or the first message of a stream. `call_s` is for a unary call in all; a stream lasts as long as its token.
    """

    first_message_s: float
    call_s: float


class Wire:
    """One call on the transport. Methods are raw: bytes in, bytes out; nothing is parsed here."""

    __slots__ = ("_auth", "_context", "_deadlines", "address", "received")

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes], deadlines: Deadlines) -> None:
        self._context = context
        self._deadlines = deadlines
        self.received = 0
        self._auth: Mapping[str, Sequence[bytes]] | None = None
        self.address = context.peer()

    @property
    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """The TLS session's properties, the peer's certificate among them."""
        if self._auth is None:
            # A connection's session does not change; gRPC copies it out at every call.
            found: Any = self._context.auth_context()
            self._auth = found
        return self._auth

    @property
    def session(self) -> Session:
        """What TLS agreed on, for the record."""
        return Session(*(_word(self.auth_context.get(name, ())) for name in (TLS_VERSION, TLS_GROUP)))

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The call's metadata, in order, duplicates kept."""
        given: Any = self._context.invocation_metadata() or ()
        return given if isinstance(given, tuple) else tuple(given)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Have this called when the call has ended, whatever way."""
        task = asyncio.current_task()
        assert task is not None
        # Not the context's own callbacks: they and the context hold one another, for the garbage collector to undo.
        task.add_done_callback(lambda _: callback())

    async def within(self, work: Awaitable[T]) -> T:
        """The work of a unary call, ended when it lasts too long. Raises DeadlineError."""
        timer = asyncio.timeout(self._deadlines.call_s)
        try:
            async with timer:
                return await work
        except TimeoutError:
            if not timer.expired():
                raise
            raise DeadlineError(
                "CALL_TOO_LONG",
                f"The call took longer than {self._deadlines.call_s:g} s, which is what this broker allows. Ask for "
                "less; repeat a write with its idempotency key.",
            ) from None

    async def first_message(self) -> bytes:
        """The first message's bytes. Raises RequestError when none comes, LimitError over 1 MiB."""
        message, _ = await self._read(1)
        return message

    async def only_message(self) -> bytes:
        """The one message of a unary call; a second one is refused."""
        message, second = await self._read(2)
        if second is not grpc.aio.EOF:
            raise RequestError("TOO_MANY_MESSAGES", "this method takes one message; send one")
        return message

    async def _read(self, messages: int) -> tuple[bytes, Any]:
        """The first message, and what came as the second where one is read for. One deadline over both."""
        try:
            async with asyncio.timeout(self._deadlines.first_message_s):
                message = self._checked(await self._context.read())
                return message, await self._context.read() if messages == 2 else None
        except TimeoutError:
            seconds = f"{self._deadlines.first_message_s:g} s"
            raise RequestError(
                "REQUEST_MALFORMED",
                f"the request did not come, or did not end, within {seconds}; send it and half-close",
            ) from None

    async def send(self, message: bytes) -> None:
        """Give a message of a stream to gRPC, at once, and wait until it is taken. CancelledError: nobody is there."""
        try:
            await self._context.write(message)
        except grpc.aio.BaseError:
            # gRPC has no call any more to write to, and cancels this task too, sooner or later.
            raise asyncio.CancelledError from None

    async def next_message(self) -> bytes | None:
        """The next message of a stream, or None when the client has ended its side."""
        message: Any = await self._context.read()
        return None if message is grpc.aio.EOF else self._checked(message)

    def _checked(self, message: Any) -> bytes:
        """The message, counted, if there is one and it is not too large."""
        if message is grpc.aio.EOF:
            raise RequestError("REQUEST_MALFORMED", "the call ended without a message; send the request")
        self.received += len(message)
        if len(message) > MAX_REQUEST_BYTES:
            raise LimitError("REQUEST_TOO_LARGE", "a request holds at most 1 MiB; split it")
        return bytes(message)


def _word(values: Sequence[bytes]) -> str:
    """One of the library's names; empty where it gives none, or anything else."""
    text = values[0].decode("ascii", "replace") if len(values) == 1 else ""
    return text if len(text) <= LONGEST_NAME and text.isascii() and text.isprintable() else ""
