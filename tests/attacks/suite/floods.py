"""Floods and slow callers: the broker stays up, and a good caller on a connection of its own is served meanwhile.

Each flood lasts as long as its frames take to send; then the good caller's latencies during it are looked at. What is
judged is that no good call failed; the latencies are printed, not judged: two tests on one machine disturb each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import hyperframe.frame as frames

from tests.attacks.suite.case import ACCEPTED, Case, End, Need, Observed
from tests.attacks.suite.target import WHO_AM_I, Target, bearer
from tests.attacks.suite.tls import open_sockets
from tests.attacks.suite.wire import Connection, call_headers, framed

FAMILY = "floods"
SUBSCRIBE = b"/entente.report.v1.ReportService/SubscribeReports"
GOOD_EVERY_SECONDS = 0.02
HALF_OPEN = 200
# A first message that never comes is waited for this long at most, by the broker's own limit, and a bit.
FIRST_MESSAGE_SECONDS = 14.0
SECONDS = 30.0

Flood = Callable[[Target], Awaitable[str]]


@dataclass
class Bystander:
    """A good caller's calls while something else goes on."""

    seconds: list[float] = field(default_factory=list)
    failed: list[Observed] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.seconds:
            return "no call was made meanwhile"
        ordered = sorted(self.seconds)
        p50, worst = statistics.median(ordered) * 1000, ordered[-1] * 1000
        return f"{len(ordered)} good calls, p50 {p50:.1f} ms, worst {worst:.0f} ms"


def cases() -> list[Case]:
    """All of this file."""
    token = frozenset({Need.TOKEN})
    floods: dict[str, Flood] = {
        "half-open TCP": _half_open_tcp,
        "half-open TLS": _half_open_tls,
        "rapid reset (CVE-2023-44487)": _rapid_reset,
        "rapid reset by a bad frame (CVE-2025-8671)": _made_you_reset,
        "CONTINUATION without an end (CVE-2024-27316)": _continuation,
        "settings": _settings,
        "pings": _pings,
        "empty data frames": _empty_data,
        "priorities": _priorities,
        "window updates of nothing": _window_updates,
        "many streams at once": _many_streams,
        "unknown frames": _unknown_frames,
        "a tiny window, so that answers cannot be sent": _tiny_window,
        "a byte a second": _byte_a_second,
        "a first message that never comes": _never_speaks,
        "a subscription that never acknowledges": _never_acknowledges,
    }
    return [Case(FAMILY, name, ACCEPTED, _during(flood), token, seconds=SECONDS) for name, flood in floods.items()]


def _during(flood: Flood) -> Callable[[Target], Awaitable[Observed]]:
    async def attempt(target: Target) -> Observed:
        async with bystander(target) as seen:
            ended = await flood(target)
        if seen.failed:
            return Observed(End.CRASH, text=f"a good call ended as {seen.failed[0]}")
        return Observed(End.ACCEPTED, "OK", text=f"{ended}; {seen}")

    return attempt


@contextlib.asynccontextmanager
async def bystander(target: Target) -> AsyncIterator[Bystander]:
    """Good calls, one after another, on a connection of their own, and one at the end at least."""
    seen = Bystander()
    identity = target.identity
    connection = await target.connect(identity.certificate, identity.key)

    async def call() -> None:
        nonlocal connection
        if connection.goaway:
            await connection.close()
            connection = await target.connect(identity.certificate, identity.key)
        began = time.perf_counter()
        found = await connection.call(call_headers(WHO_AM_I, bearer(target.identity.token())), framed(b""))
        seen.seconds.append(time.perf_counter() - began)
        if found.end is not End.ACCEPTED:
            seen.failed.append(found)

    async def keep_calling() -> None:
        while True:
            await call()
            await asyncio.sleep(GOOD_EVERY_SECONDS)

    try:
        task = asyncio.create_task(keep_calling())
        try:
            yield seen
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await call()
    finally:
        await connection.close()


async def _half_open_tcp(target: Target) -> str:
    sockets = await asyncio.to_thread(open_sockets, target.address, HALF_OPEN)
    await asyncio.sleep(1.0)
    for one in sockets:
        one.close()
    return f"{HALF_OPEN} connections that said nothing"


async def _half_open_tls(target: Target) -> str:
    """A ClientHello's first bytes, and no more."""
    sockets = await asyncio.to_thread(open_sockets, target.address, HALF_OPEN)
    for one in sockets:
        one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    await asyncio.sleep(1.0)
    for one in sockets:
        one.close()
    return f"{HALF_OPEN} handshakes that went no further"


async def _send(target: Target, make: Callable[[Connection, int], bytes], count: int, chunk: int = 100) -> str:
    """So many pieces on one connection, until it is closed."""
    async with target.fresh() as connection:
        connection.deaf = True
        sent = 0
        while sent < count and not connection.closed:
            await connection.send(b"".join(make(connection, sent + number) for number in range(chunk)))
            sent += chunk
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        ended = f"the broker closed it: {connection.closed}" if connection.closed else "the connection stayed"
    return f"{sent} sent, {ended[:60]}"


def _headers(connection: Connection, number: int, target: Target) -> frames.HeadersFrame:
    encoded = connection.h2.encoder.encode(call_headers(WHO_AM_I, bearer(target.identity.token())))
    made = frames.HeadersFrame(2 * number + 1, data=encoded)
    made.flags.add("END_HEADERS")
    return made


async def _rapid_reset(target: Target) -> str:
    def pair(connection: Connection, number: int) -> bytes:
        reset = frames.RstStreamFrame(2 * number + 1, error_code=8)
        return bytes(_headers(connection, number, target).serialize() + reset.serialize())

    return await _send(target, pair, 2_000)


async def _made_you_reset(target: Target) -> str:
    """The server is made to reset, by a window update of zero."""

    def pair(connection: Connection, number: int) -> bytes:
        wrong = frames.WindowUpdateFrame(2 * number + 1, window_increment=1)
        raw = bytearray(wrong.serialize())
        raw[-4:] = b"\x00\x00\x00\x00"
        return bytes(_headers(connection, number, target).serialize() + bytes(raw))

    return await _send(target, pair, 1_000)


async def _continuation(target: Target) -> str:
    """A header block that never ends."""

    def piece(connection: Connection, number: int) -> bytes:
        if number == 0:
            encoded = connection.h2.encoder.encode(call_headers(WHO_AM_I))
            return bytes(frames.HeadersFrame(1, data=encoded).serialize())
        data = b"\x00\x05x-pad\x7f\xe1\x06" + b"a" * 1000
        return bytes(frames.ContinuationFrame(1, data=data).serialize())

    return await _send(target, piece, 5_000)


async def _settings(target: Target) -> str:
    def frame(_: Connection, number: int) -> bytes:
        return bytes(frames.SettingsFrame(0, settings={4: 65535 + number % 7}).serialize())

    return await _send(target, frame, 5_000)


async def _pings(target: Target) -> str:
    def frame(_: Connection, number: int) -> bytes:
        return bytes(frames.PingFrame(0, opaque_data=number.to_bytes(8, "big")).serialize())

    return await _send(target, frame, 5_000)


async def _empty_data(target: Target) -> str:
    def frame(connection: Connection, number: int) -> bytes:
        if number == 0:
            return bytes(_headers(connection, 0, target).serialize())
        return bytes(frames.DataFrame(1, data=b"").serialize())

    return await _send(target, frame, 5_000)


async def _priorities(target: Target) -> str:
    def frame(_: Connection, number: int) -> bytes:
        return bytes(frames.PriorityFrame(2 * number + 1, depends_on=0, stream_weight=number % 256).serialize())

    return await _send(target, frame, 5_000)


async def _window_updates(target: Target) -> str:
    return await _send(target, lambda *_: bytes(frames.WindowUpdateFrame(0, window_increment=1).serialize()), 5_000)


async def _unknown_frames(target: Target) -> str:
    return await _send(target, lambda *_: b"\x00\x00\x04\xee\x00\x00\x00\x00\x00abcd", 5_000)


async def _many_streams(target: Target) -> str:
    """More calls under way on one connection than it may have; none of them speaks."""
    return await _send(target, lambda c, n: bytes(_headers(c, n, target).serialize()), 1_000)


async def _tiny_window(target: Target) -> str:
    async with target.fresh() as connection:
        await connection.send(bytes(frames.SettingsFrame(0, settings={4: 0}).serialize()))
        headers = call_headers(WHO_AM_I, bearer(target.identity.token()))
        numbers = [await connection.begin(headers) for _ in range(50)]
        for number in numbers:
            await connection.data(number, framed(b""), end=True)
        await asyncio.sleep(1.0)
    return "50 answers that could not leave"


async def _byte_a_second(target: Target) -> str:
    async with target.fresh() as connection:
        number = await connection.begin(call_headers(WHO_AM_I, bearer(target.identity.token())))
        began = time.perf_counter()
        while time.perf_counter() - began < FIRST_MESSAGE_SECONDS and not connection.is_over(number):
            await connection.data(number, b"\x00")
            await asyncio.sleep(1.0)
        found = await connection.ended(number, 1.0)
    return f"ended after {time.perf_counter() - began:.1f} s: {found}"


async def _never_speaks(target: Target) -> str:
    async with target.fresh() as connection:
        headers = call_headers(WHO_AM_I, bearer(target.identity.token()))
        began = time.perf_counter()
        numbers = [await connection.begin(headers) for _ in range(20)]
        found = await asyncio.gather(*(connection.ended(number, FIRST_MESSAGE_SECONDS) for number in numbers))
    if any(one.end is End.HANG for one in found):
        raise TimeoutError
    return f"{len(found)} calls ended after {time.perf_counter() - began:.1f} s: {found[0]}"


async def _never_acknowledges(target: Target) -> str:
    from tests.support.exchanges import starting

    start = starting().SerializeToString()
    async with target.fresh() as connection:
        number = await connection.begin(call_headers(SUBSCRIBE, bearer(target.identity.token())))
        began = time.perf_counter()
        await connection.data(number, framed(start))
        found = await connection.ended(number, FIRST_MESSAGE_SECONDS)
    if found.end is End.HANG:
        raise TimeoutError
    return f"ended after {time.perf_counter() - began:.1f} s: {found}"
