"""The server lives on when a path is not UTF-8; what was under way goes on, and what comes after is served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from broker import steady
from broker.steady import UnsteadyError, steady_server
from tests.support.house import until

RAW = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)


class Echo(grpc.GenericRpcHandler):
    """Answers with the path; `/wait/*` only once it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.waiting = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(_: bytes, __: object) -> bytes:
            if details.method.startswith("/wait"):
                self.waiting += 1
                await self.let_go.wait()
            return details.method.encode()

        return grpc.unary_unary_rpc_method_handler(answer)


class Place:
    """A running server."""

    def __init__(self) -> None:
        self.dropped = 0
        self.echo = Echo()
        self.server = steady_server((("grpc.so_reuseport", 0),), self._drop)
        self.server.add_generic_rpc_handlers((self.echo,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def _drop(self) -> None:
        self.dropped += 1

    async def call(self, path: str) -> bytes:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            answer: bytes = await channel.unary_unary(path)(b"", timeout=10)
            return answer


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    await made.server.start()
    yield made
    made.echo.let_go.set()
    await made.server.stop(1)


async def ended(port: int, path: bytes) -> list[type]:
    """How a call with exactly these bytes as its path ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = h2.connection.H2Connection(config=RAW)
    connection.initiate_connection()
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    connection.send_headers(1, [*headers, (b"te", b"trailers"), (b"content-type", b"application/grpc")])
    connection.send_data(1, b"\x00\x00\x00\x00\x00", end_stream=True)
    found: list[type] = []
    try:
        async with asyncio.timeout(10):
            while not {h2.events.StreamEnded, h2.events.StreamReset} & set(found):
                writer.write(connection.data_to_send())
                found += [type(event) for event in connection.receive_data(await reader.read(65536))]
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return found


@pytest.mark.parametrize("path", [b"/a\xff/b", b"/\xed\xa0\x80/b", b"\xc0\x80"])
async def test_a_path_that_is_not_text_ends_its_own_call_alone(place: Place, path: bytes) -> None:
    for number in range(1, 4):
        assert await ended(place.port, path)
        assert place.dropped == number
    assert await place.call("/a/b") == b"/a/b"


async def test_calls_under_way_go_on(place: Place) -> None:
    waiting = [asyncio.create_task(place.call(f"/wait/{number}")) for number in range(5)]
    await until(lambda: place.echo.waiting == 5)
    await ended(place.port, b"/\xff/b")
    place.echo.let_go.set()
    assert await asyncio.gather(*waiting) == [f"/wait/{number}".encode() for number in range(5)]


async def test_calls_that_come_at_the_same_time_are_served(place: Place) -> None:
    good = [place.call(f"/a/{number}") for number in range(20)]
    bad = [ended(place.port, b"/\xff/b") for _ in range(10)]
    answers = await asyncio.gather(*good, *bad)
    assert answers[:20] == [f"/a/{number}".encode() for number in range(20)]
    assert place.dropped == 10


async def test_a_server_that_was_not_started_stops() -> None:
    await Place().server.stop(None)


async def test_a_start_drops_no_call(place: Place) -> None:
    """MUST 2: what is rehearsed at the start is nobody's call."""
    assert await place.call("/a/b") == b"/a/b"
    assert place.dropped == 0


async def test_with_a_grpc_that_does_not_ask_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 2: a release whose loop takes calls by another way than the one that is replaced here."""
    monkeypatch.setattr(steady, "REHEARSAL_SECONDS", 0.2)
    monkeypatch.delattr(steady._Dispatcher, "_make_request_call_future")
    place = Place()
    with pytest.raises(UnsteadyError, match="Install the grpcio"):
        await place.server.start()
    await place.server.stop(None)


async def test_with_a_grpc_that_ends_with_its_loop_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 2: a release that tells nobody that its loop has ended."""
    monkeypatch.setattr(steady, "REHEARSAL_SECONDS", 0.2)
    monkeypatch.setattr(steady._Dispatcher, "_serving_task_crash_handler", lambda *_: None)
    place = Place()
    with pytest.raises(UnsteadyError, match="Install the grpcio"):
        await place.server.start()
    # Nobody took note of its end, so its own stop meets it.
    with contextlib.suppress(TypeError):
        await place.server.stop(None)


async def test_with_a_grpc_that_is_made_otherwise_it_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 2: a release in which something that this leans on is gone."""
    monkeypatch.delattr(steady.cygrpc, "get_working_loop")
    with pytest.raises(UnsteadyError, match="Install the grpcio"):
        Place()
