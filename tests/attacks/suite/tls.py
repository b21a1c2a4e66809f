"""The handshake itself: old versions, no certificate, nothing but noise, a resumed session."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import warnings

from tests.attacks.suite.case import ACCEPTED, HANDSHAKE, Attempt, Case, End, Need, Observed
from tests.attacks.suite.target import WHO_AM_I, Target, bearer
from tests.attacks.suite.wire import Connection, call_headers

FAMILY = "handshake"
ALPN_WRONG = ["http/1.1"]


def cases() -> list[Case]:
    """All of this file."""
    versions = [_version(version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1)]
    noise = [_noise(name, content) for name, content in NOISE.items()]
    token = frozenset({Need.TOKEN})
    return [
        *versions,
        *noise,
        Case(FAMILY, "TLS 1.3", ACCEPTED, _plain_good, token),
        Case(FAMILY, "no client certificate", HANDSHAKE, _no_certificate, token),
        Case(FAMILY, "no ALPN", HANDSHAKE, _alpn(None), token),
        Case(FAMILY, "another ALPN", HANDSHAKE, _alpn(ALPN_WRONG), token),
        Case(FAMILY, "another server name", ACCEPTED, _server_name, token),
        Case(FAMILY, "the broker's own certificate is not trusted by a stranger", HANDSHAKE, _distrusting, token),
    ]


NOISE = {
    "plain HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "plain HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "random bytes": bytes(range(256)) * 16,
    "an SSL 2 greeting": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0"),
    "a record of 64 KB": b"\x16\x03\x01\xff\xff" + b"\x00" * 65535,
    "a ClientHello that is cut off": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20,
    "an alert first": b"\x15\x03\x01\x00\x02\x02\x28",
    "a heartbeat": b"\x18\x03\x02\x00\x03\x01\x40\x00",
    "nothing, then the end": b"",
}


def _version(version: ssl.TLSVersion) -> Case:
    async def attempt(target: Target) -> Observed:
        context = target.context(target.identity.certificate, target.identity.key)
        with warnings.catch_warnings():
            # What the server must refuse, this client must first be willing to offer.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
        return await _call(target, context)

    return Case(FAMILY, f"no more than {version.name}", HANDSHAKE, attempt, frozenset({Need.TOKEN}))


async def _call(target: Target, context: ssl.SSLContext, server_name: str = "") -> Observed:
    name = server_name or target.server_name
    async with await Connection.open(target.address, context, server_name=name) as connection:
        found = await connection.call(call_headers(WHO_AM_I, bearer(target.identity.token())))
        return _in_handshake(found, connection)


def _in_handshake(found: Observed, connection: Connection) -> Observed:
    if found.end is End.CORE and not found.status and connection.closed:
        return Observed(End.HANDSHAKE, text=found.text)
    return found


async def _plain_good(target: Target) -> Observed:
    return await _call(target, target.context(target.identity.certificate, target.identity.key))


async def _no_certificate(target: Target) -> Observed:
    return await _call(target, target.context())


def _alpn(protocols: list[str] | None) -> Attempt:
    async def attempt(target: Target) -> Observed:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=target.roots.decode())
        if protocols is not None:
            context.set_alpn_protocols(protocols)
        _load(target, context)
        return await _call(target, context)

    return attempt


def _load(target: Target, context: ssl.SSLContext) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(target.identity.certificate + target.identity.key)
        file.flush()
        context.load_cert_chain(file.name)


async def _server_name(target: Target) -> Observed:
    context = target.context(target.identity.certificate, target.identity.key)
    context.check_hostname = False
    return await _call(target, context, "elsewhere.example")


async def _distrusting(target: Target) -> Observed:
    """This client's refusal, seen by the broker as an alert: it must take it calmly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    _load(target, context)
    try:
        return await _call(target, context)
    except Exception as refusal:
        return Observed(End.HANDSHAKE, text=str(refusal)[:80])


def _noise(name: str, content: bytes) -> Case:
    async def attempt(target: Target) -> Observed:
        host, _, port = target.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(content)
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.write_eof()
                # Whatever comes back is at most an alert; then the end.
                async with asyncio.timeout(5):
                    answer = await reader.read(4096)
                    while await reader.read(4096):
                        pass
                    return Observed(End.HANDSHAKE, text=answer[:16].hex())
            return Observed(End.HANDSHAKE, text="reset")
        except TimeoutError:
            return Observed(End.HANG)
        finally:
            writer.transport.abort()

    return Case(FAMILY, f"noise: {name}", HANDSHAKE, attempt)


def open_sockets(address: str, count: int) -> list[socket.socket]:
    """So many TCP connections that say nothing."""
    host, _, port = address.rpartition(":")
    return [socket.create_connection((host, int(port)), timeout=5) for _ in range(count)]
