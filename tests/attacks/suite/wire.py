"""A raw HTTP/2 client over TLS for gRPC: it says whatever it is told to, and reports exactly how that ended.

Guarantees: nothing is repaired, normalised or tried again on the way out; a refusal in the handshake, one by the
transport's core and one by the broker are told apart. Does not: flow control beyond what a call needs, or proxies.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import hpack
from google.rpc import error_details_pb2, status_pb2

from entente.common.v1 import exchange_pb2
from tests.attacks.suite.case import End, Observed

Header = tuple[bytes, bytes]

OPEN_SECONDS = 5.0
CALL_SECONDS = 15.0
_CHUNK = 64 * 1024
_STATUS = {code.value[0]: code.name for code in grpc.StatusCode}
_RAW = h2.config.H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
)


class _Plain(hpack.Encoder):
    """Without Huffman coding, which takes quadratic time over a header of a megabyte."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return bytes(super().encode(headers, huffman=False))


class HandshakeRefusedError(Exception):
    """The server ended the connection before it spoke HTTP/2; the text is what TLS says of it."""


class ClientCannotError(Exception):
    """This machine's TLS library will not present that; it never reached the server."""


# A server that says goodbye to an old connection answers what is under way on it; h2 would hear no more of it.
_OPEN, _GOODBYE = h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
_LISTENING = {**h2.connection.H2ConnectionStateMachine._transitions, (_OPEN, _GOODBYE): (None, _OPEN)}


@dataclass
class _Stream:
    """What came back on one stream."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    reset: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)


def _resuming(context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLContext:
    """The context, which hands this session to the connections that it makes: asyncio has no parameter for one."""
    if session is None:
        return context
    wrap = context.wrap_bio

    class Resuming(ssl.SSLContext):
        def wrap_bio(self, *arguments: Any, **settings: Any) -> ssl.SSLObject:
            return wrap(*arguments, **{**settings, "session": session})

    return Resuming(ssl.PROTOCOL_TLS_CLIENT)


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message on the wire: one flag, four bytes of length."""
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


def call_headers(path: bytes, *more: Header, authority: bytes = b"localhost") -> list[Header]:
    """What a gRPC client sends."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", authority),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]


class Connection:
    """One TLS connection. Many calls at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.h2 = h2.connection.H2Connection(config=_RAW)
        self.h2.encoder = _Plain()
        self.h2.state_machine._transitions = _LISTENING
        self._streams: dict[int, _Stream] = {}
        self._ready = asyncio.Event()
        self._window = asyncio.Event()
        self._closed = ""
        self._task: asyncio.Task[None] | None = None
        self.goaway = ""
        # What is sent frame by frame is unknown to h2, which would end the connection over the answers.
        self.deaf = False
        self.received_frames = 0

    @classmethod
    async def open(
        cls,
        address: str,
        context: ssl.SSLContext,
        *,
        server_name: str = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> Connection:
        """Handshake, and wait for the server's settings. Raises HandshakeRefusedError, TimeoutError."""
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                reader, writer = await asyncio.open_connection(
                    host, int(port), ssl=_resuming(context, session), server_hostname=server_name
                )
        except ssl.SSLError as error:
            # An alert came from the server; anything else is this side's own doing.
            if "alert" not in str(error).lower() and "UNEXPECTED_EOF" not in str(error).upper():
                raise ClientCannotError(str(error)) from error
            raise HandshakeRefusedError(str(error)) from error
        except (ConnectionError, EOFError) as error:
            raise HandshakeRefusedError(type(error).__name__) from error
        made = cls(reader, writer)
        try:
            await made._greet()
        except BaseException:
            await made.close()
            raise
        return made

    async def _greet(self) -> None:
        self.h2.initiate_connection()
        self._task = asyncio.create_task(self._read(), name="reader")
        await self.flush()
        async with asyncio.timeout(OPEN_SECONDS):
            await self._ready.wait()
        # In TLS 1.3 the client is done before the server has looked at its certificate.
        if self._closed and not self.received_frames:
            raise HandshakeRefusedError(self._closed)

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection may resume."""
        found: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return found.session

    @property
    def resumed(self) -> bool | None:
        """Whether it was resumed."""
        found: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return found.session_reused

    @property
    def closed(self) -> str:
        """Why the connection ended; empty while it lives."""
        return self._closed

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """At once, without a goodbye."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.transport.abort()
        with contextlib.suppress(Exception):
            await self._writer.wait_closed()

    async def flush(self) -> None:
        """Send what h2 has ready."""
        await self.send(self.h2.data_to_send())

    async def send(self, raw: bytes) -> None:
        """These bytes, whatever they are."""
        if self._closed:
            return
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self._writer.write(raw)
            await self._writer.drain()

    async def begin(self, headers: Sequence[Header], *, end: bool = False) -> int:
        """Open a stream; its number."""
        number = int(self.h2.get_next_available_stream_id())
        self._streams[number] = _Stream()
        self.h2.send_headers(number, list(headers), end_stream=end)
        await self.flush()
        return number

    async def data(self, number: int, content: bytes, *, end: bool = False) -> None:
        """Bytes on a stream, as the server's window allows."""
        view = memoryview(content)
        while len(view) and not self.is_over(number):
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, _CHUNK)
            if room <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            self.h2.send_data(number, bytes(view[:room]))
            view = view[room:]
            await self.flush()
        if end and not self.is_over(number):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self.h2.end_stream(number)
                await self.flush()

    def is_over(self, number: int) -> bool:
        """Whether a stream has ended, or its connection has."""
        return bool(self._closed) or self._streams[number].done.is_set()

    async def ended(self, number: int, seconds: float = CALL_SECONDS) -> Observed:
        """How a stream ended."""
        stream = self._streams[number]
        try:
            async with asyncio.timeout(seconds):
                await stream.done.wait()
        except TimeoutError:
            return Observed(End.HANG, text=f"nothing within {seconds:g} s")
        return _observed(stream, self._closed or self.goaway)

    def answered(self, number: int) -> bytes:
        """The body of a stream so far."""
        return bytes(self._streams[number].body)

    async def call(
        self, headers: Sequence[Header], body: bytes | None = framed(b""), *, seconds: float = CALL_SECONDS
    ) -> Observed:
        """One whole call: headers, body (None: headers alone end it), and its end."""
        if self._closed:
            return Observed(End.CORE, text=f"closed: {self._closed}")
        try:
            async with asyncio.timeout(seconds):
                number = await self.begin(headers, end=body is None)
                if body is not None:
                    await self.data(number, body, end=True)
        except TimeoutError:
            return Observed(End.HANG, text="the server takes no more")
        return await self.ended(number, seconds)

    async def _read(self) -> None:
        try:
            while raw := await self._reader.read(_CHUNK):
                if self.deaf:
                    continue
                for event in self.h2.receive_data(raw):
                    self._take(event)
                await self.flush()
            self._closed = "end of file"
        except (ssl.SSLError, ConnectionError, h2.exceptions.ProtocolError) as error:
            self._closed = str(error) or type(error).__name__
        finally:
            self._closed = self._closed or "closed"
            self._ready.set()
            self._window.set()
            for stream in self._streams.values():
                stream.done.set()

    def _take(self, event: h2.events.Event) -> None:
        self.received_frames += 1
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._ready.set()
            self._window.set()
        elif isinstance(event, h2.events.WindowUpdated):
            self._window.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = f"GOAWAY {event.error_code} {(event.additional_data or b'')[:60]!r}"
        else:
            self._take_on_stream(event)

    def _take_on_stream(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            stream.headers.update((bytes(name), bytes(value)) for name, value in event.headers or ())
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = f"RST_STREAM {event.error_code}"
            stream.done.set()
        elif isinstance(event, h2.events.StreamEnded):
            stream.done.set()


def _observed(stream: _Stream, closed: str) -> Observed:
    status = stream.headers.get(b"grpc-status")
    if status is None:
        http = stream.headers.get(b":status", b"").decode()
        return Observed(End.CORE, text=stream.reset or (f"HTTP {http}" if http else closed or "no status"))
    name = _STATUS.get(int(status), status.decode())
    text = stream.headers.get(b"grpc-message", b"").decode(errors="replace")[:80]
    if name == "OK":
        return Observed(End.ACCEPTED, name, body=bytes(stream.body))
    reason, exchange_id, receipt = _details(stream.headers.get(b"grpc-status-details-bin", b""))
    # Without the broker's own details the core said it, before a call existed.
    end = End.REFUSED if reason else End.CORE
    return Observed(end, name, reason, exchange_id, receipt, text)


def _details(encoded: bytes) -> tuple[str, str, bytes]:
    reason, exchange_id, receipt = "", "", b""
    whole = status_pb2.Status.FromString(base64.b64decode(encoded + b"=" * (-len(encoded) % 4)))
    info, proof = error_details_pb2.ErrorInfo(), exchange_pb2.Receipt()
    for packed in whole.details:
        if packed.Unpack(info) and info.domain == "entente":
            reason, exchange_id = info.reason, info.metadata["exchange_id"]
        if packed.Unpack(proof):
            receipt = proof.SerializeToString()
    return reason, exchange_id, receipt
