"""What differs between the colours, and cannot be generated: waiting, blocking work, the channel. Asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from entente_sdk import _channel
from entente_sdk._material import Material
from entente_sdk.answers import Answer
from entente_sdk.profile import Profile

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Fetch = Callable[[str], Awaitable[Answer[M]]]
"""Page token -> page; the first token is empty."""

Metadata = tuple[tuple[str, str], ...]

sleep = asyncio.sleep


async def blocking(work: Callable[[], T]) -> T:
    """Run what blocks (a token command, a TLS probe) off the event loop."""
    return await asyncio.to_thread(work)


class Duplex:
    """A bidirectional stream of bytes."""

    def __init__(self, call: aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call

    async def send(self, message: bytes) -> None:
        """Write one message. A stream that has ended says why in `receive`, not here."""
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return

    async def receive(self) -> bytes | None:
        """The next message, or None at the stream's regular end. Raises grpc.RpcError."""
        found: Any = await self._call.read()
        return None if found is aio.EOF else bytes(found)

    async def close(self) -> None:
        """End it now, whatever its state."""
        self._call.cancel()


class Transport:
    """The secure channel: bytes in, bytes out, so that a receipt is checked on what was received."""

    def __init__(self, profile: Profile, material: Material) -> None:
        self._channel = aio.secure_channel(
            profile.endpoint, _channel.credentials(material), options=_channel.options(profile)
        )

    async def unary(self, path: str, request: bytes, metadata: Metadata, seconds: float) -> bytes:
        """One call. Raises grpc.RpcError."""
        call: Any = self._channel.unary_unary(path)
        answer: bytes = await call(request, metadata=metadata, timeout=seconds)
        return answer

    def duplex(self, path: str, metadata: Metadata) -> Duplex:
        """A stream without a deadline."""
        call: Any = self._channel.stream_stream(path)
        return Duplex(call(metadata=metadata))

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close()
