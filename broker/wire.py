"""What the transport brings: one call's certificate, metadata and messages. The only view of gRPC that stages get."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from broker.domain.errors import LimitError, RequestError

MAX_REQUEST_BYTES = 1 << 20
# A caller that opens a call and does not speak holds a slot; it gets this long.
FIRST_MESSAGE_SECONDS = 10.0


class Wire:
    """One call on the transport. Methods are raw: bytes in, bytes out; nothing is parsed here."""

    __slots__ = ("_auth", "_context", "address")

    def __init__(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._context = context
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
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The call's metadata, in order, duplicates kept."""
        given: Any = self._context.invocation_metadata() or ()
        return given if isinstance(given, tuple) else tuple(given)

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
            async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
                message = checked(await self._context.read())
                return message, await self._context.read() if messages == 2 else None
        except TimeoutError:
            raise RequestError(
                "REQUEST_MALFORMED", "the request did not come, or did not end, within 10 s; send it and half-close"
            ) from None

    async def next_message(self) -> bytes | None:
        """The next message of a stream, or None when the client has ended its side."""
        message: Any = await self._context.read()
        return None if message is grpc.aio.EOF else checked(message)


def checked(message: Any) -> bytes:
    """The message, if there is one and it is not too large."""
    if message is grpc.aio.EOF:
        raise RequestError("REQUEST_MALFORMED", "the call ended without a message; send the request")
    if len(message) > MAX_REQUEST_BYTES:
        raise LimitError("REQUEST_TOO_LARGE", "a request holds at most 1 MiB; split it")
    return bytes(message)
