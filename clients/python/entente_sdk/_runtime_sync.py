"""What differs between the colours, and cannot be generated: waiting, blocking work, the channel. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from entente_sdk import _channel
from entente_sdk._material import Material
from entente_sdk.answers import Answer
from entente_sdk.profile import Profile

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Fetch = Callable[[str], Answer[M]]
"""Page token -> page; the first token is empty."""

Metadata = tuple[tuple[str, str], ...]

sleep = time.sleep


def blocking(work: Callable[[], T]) -> T:
    """Run what blocks: here, simply so."""
    return work()


class Duplex:
    """A bidirectional stream of bytes."""

    def __init__(self, open_call: Callable[[Iterator[bytes]], Any]) -> None:
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._call = open_call(iter(self._outgoing.get, None))

    def send(self, message: bytes) -> None:
        """Write one message. A stream that has ended says why in `receive`, not here."""
        self._outgoing.put(message)

    def receive(self) -> bytes | None:
        """The next message, or None at the stream's regular end. Raises grpc.RpcError."""
        found: bytes | None = next(self._call, None)
        return found

    def close(self) -> None:
        """End it now, whatever its state."""
        self._outgoing.put(None)
        self._call.cancel()


class Transport:
    """The secure channel: bytes in, bytes out, so that a receipt is checked on what was received."""

    def __init__(self, profile: Profile, material: Material) -> None:
        self._channel = grpc.secure_channel(
            profile.endpoint, _channel.credentials(material), options=_channel.options(profile)
        )

    def unary(self, path: str, request: bytes, metadata: Metadata, seconds: float) -> bytes:
        """One call. Raises grpc.RpcError."""
        call: Any = self._channel.unary_unary(path)
        answer: bytes = call(request, metadata=metadata, timeout=seconds)
        return answer

    def duplex(self, path: str, metadata: Metadata) -> Duplex:
        """A stream without a deadline."""
        call: Any = self._channel.stream_stream(path)
        return Duplex(lambda messages: call(messages, metadata=metadata))

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()
