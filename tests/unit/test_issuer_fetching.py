"""Fetching an issuer's keys: one HTTPS request that can do nothing else. Each MUST of `fetching` broken alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from broker.identify import fetching
from broker.identify.fetching import Fetcher, FetchError, require_fetchable
from tests.support.key_server import KeyServer, key_server
from tests.support.live import free_port

KEYS = b'{"keys": []}'


async def fetch(url: str, ca: Path | None = None) -> bytes:
    with contextlib.closing(Fetcher(2)) as fetcher:
        return await fetcher.fetch(url, ca)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[KeyServer]:
    async with key_server(tmp_path) as made:
        made.publish(KEYS)
        yield made


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://issuer.example/jwks",
        "HTTPS://issuer.example/jwks",
        "https:/issuer.example",
        "https://",
        "https:///jwks",
        "https://:443/jwks",
        "https://user@issuer.example/jwks",
        "https://user:pass@issuer.example/jwks",
        "https://@issuer.example/jwks",
        "https://issuer.example/jwks#fragment",
        "https://issuer.example/jwks#",
        "https://issuer.example:0/jwks",
        "https://issuer.example:65536/jwks",
        "https://issuer.example:x/jwks",
        "https://issuer.example\\@evil.example/jwks",
        "https://issuer.example/a b",
        "https://issuer.example/\n",
        "https://issuer.example/\x00",
        "https://issüer.example/jwks",
        "file:///etc/passwd",
        "https://issuer.example/" + "a" * 512,
    ],
)
async def test_only_a_plain_https_url_is_fetched(url: str) -> None:
    with pytest.raises(ValueError):
        require_fetchable(url)
    with pytest.raises(FetchError):
        await fetch(url)


async def test_what_is_published_comes_back(server: KeyServer) -> None:
    assert await fetch(server.url, server.ca) == KEYS
    (head,) = server.asked
    assert head.startswith("GET /jwks HTTP/1.1\r\n")
    assert "authorization" not in head.lower()
    assert "cookie" not in head.lower()


@pytest.mark.parametrize(
    "status", ["201 Created", "204 No Content", "206 Partial Content", "304 Not Modified", "404 Not Found", "500 Error"]
)
async def test_only_status_200_counts(server: KeyServer, status: str) -> None:
    server.publish(KEYS if not status.startswith(("204", "304")) else b"", status=status)
    with pytest.raises(FetchError, match=r"status \d+"):
        await fetch(server.url, server.ca)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_no_redirect_is_followed(server: KeyServer, tmp_path: Path, status: str) -> None:
    async with key_server(tmp_path / "other") as other:
        other.publish(KEYS)
        server.publish(b"", status=status, headers=[f"Location: {other.url}"])
        with pytest.raises(FetchError, match="redirects"):
            await fetch(server.url, server.ca)
        assert other.connections == 0


async def test_no_proxy_of_the_environment_is_used(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert await fetch(server.url, server.ca) == KEYS


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/html",
        "Content-Type: application/jwt",
        "Content-Type: text/plain",
        "X-None: 1\r\nContent-Encoding: gzip",
        "X-None: 1\r\nContent-Encoding: identity",
    ],
)
async def test_only_uncoded_json_is_read(server: KeyServer, header: str) -> None:
    server.publish(KEYS, headers=[header])
    with pytest.raises(FetchError, match="content coding"):
        await fetch(server.url, server.ca)


async def test_more_than_64_kib_is_refused_told_or_not(server: KeyServer) -> None:
    server.publish(b" " * 65536)
    assert len(await fetch(server.url, server.ca)) == 65536
    server.publish(b" " * 65537)
    with pytest.raises(FetchError, match="64 KiB"):
        await fetch(server.url, server.ca)
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    server.say(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 1000
    )
    with pytest.raises(FetchError, match="64 KiB"):
        await fetch(server.url, server.ca)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00" * 100, b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000, b"SSH-2.0-x\r\n\r\n"],
)
async def test_what_is_not_http_is_a_typed_refusal(server: KeyServer, raw: bytes) -> None:
    server.say(raw)
    with pytest.raises(FetchError):
        await fetch(server.url, server.ca)


async def test_a_body_that_is_cut_off_is_refused(server: KeyServer) -> None:
    server.publish(KEYS, headers=["Content-Length: 1000"])
    with pytest.raises(FetchError):
        await fetch(server.url, server.ca)


async def test_the_server_proves_its_name_to_the_roots_named(server: KeyServer, tmp_path: Path) -> None:
    async with key_server(tmp_path / "other", hosts=["elsewhere.example"]) as other:
        other.publish(KEYS)
        # The right root and another name; a root that is not the server's; the system's roots.
        for url, ca in ((other.url, other.ca), (server.url, other.ca), (server.url, None)):
            with pytest.raises(FetchError, match="TLS certificate"):
                await fetch(url, ca)
        assert other.asked == server.asked == []


async def test_roots_that_cannot_be_read_are_named(server: KeyServer, tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_bytes(b"junk")
    for ca in (tmp_path / "absent.pem", tmp_path / "junk.pem"):
        with pytest.raises(FetchError, match=ca.name):
            await fetch(server.url, ca)


async def test_nobody_listening_is_no_connection() -> None:
    with pytest.raises(FetchError, match="no connection"):
        await fetch(f"https://localhost:{free_port()}/jwks")


@pytest.mark.parametrize("drips", [False, True])
async def test_it_takes_no_longer_than_its_time_and_holds_up_nobody(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch, drips: bool
) -> None:
    """A server that says nothing, and one that says a little and a little more."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.5)

    async def behaviour(writer: asyncio.StreamWriter) -> None:
        if drips:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
        while True:
            writer.write(b" " if drips else b"")
            await asyncio.sleep(0.05)

    server.behaviour = behaviour
    asked = asyncio.create_task(fetch(server.url, server.ca))
    began, looks = time.monotonic(), 0
    while not asked.done():
        await asyncio.sleep(0.01)
        looks += 1
    with pytest.raises(FetchError, match="no answer"):
        await asked
    assert time.monotonic() - began < 5
    # The loop went on turning meanwhile.
    assert looks >= 5


async def test_slow_names_delay_their_own_fetcher_and_no_other(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many hang, the keys in force go on being fetched, and the loop's own threads stay free."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 1.0)
    answer, real = threading.Event(), socket.getaddrinfo

    def slow(host: str, *rest: object) -> object:
        if host == "slow.example":
            answer.wait(30)
        return real(host, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    hanging, other = Fetcher(2), Fetcher(2)
    try:
        waiting = [asyncio.create_task(hanging.fetch("https://slow.example/jwks")) for _ in range(20)]
        assert await other.fetch(server.url, server.ca) == KEYS
        assert await asyncio.to_thread(lambda: True)
        for ended in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(ended, FetchError)
    finally:
        answer.set()
        hanging.close()
        other.close()
