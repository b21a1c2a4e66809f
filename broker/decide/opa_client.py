"""What goes out to an OPA server, and how little is taken in.

MUSTs:
1. Plain HTTP only to this machine's own address; anything further by TLS 1.3, or a Unix socket.
2. Nothing is asked twice and nobody is followed elsewhere: no retries, no redirects, no proxy, no cookies.
3. An answer is JSON of at most `MAX_ANSWER_BYTES`, unpacked by nobody.
4. Each question has a connection of its own. On one that is kept, a single answer too many would be taken for the next
   question's, and each caller be given what was granted to the one before.
Does not: bound the time of a question (`opa.py`), or believe an answer.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from opa_client import AsyncOpaClient

MAX_ANSWER_BYTES = 1 << 20
DEFAULT_PORT = 8181
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class OpaAddress:
    """Where OPA listens: `http://127.0.0.1:8181`, `https://host:port` or `unix:///path/to/socket`.

    Args:
        certificate: the broker's own, for mutual TLS, with its `key`; files in PEM.
        ca: the roots that OPA's certificate must lead to, a file in PEM; None: the system's.
    """

    url: str
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if (self.certificate is None) != (self.key is None):
            raise ValueError("OPA's client certificate and its key go together; set both or neither")
        if (self.certificate or self.ca) and parts.scheme != "https":
            raise ValueError("certificates are for an OPA at https://HOST:PORT; leave them out")
        if parts.scheme == "unix" and parts.path and not parts.netloc:
            return
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("OPA's address is http://127.0.0.1:PORT, https://HOST:PORT or unix:///PATH")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("plain HTTP to OPA only on this machine's own address; use https or a Unix socket")


class OpaClient(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """The library's client with the house's own connection."""

    def __init__(self, address: OpaAddress, timeout_s: float) -> None:
        parts = urlsplit(address.url)
        super().__init__(
            host=_bracketed(parts.hostname or "localhost"),
            port=parts.port or DEFAULT_PORT,
            ssl=parts.scheme == "https",
            retries=0,
            timeout=timeout_s,
        )
        self._socket = parts.path if parts.scheme == "unix" else ""
        self._address = address

    async def ask(self, entry: str, question: bytes) -> Any:
        """An entry point's whole answer, unchecked. Raises aiohttp.ClientError, OSError or ValueError."""
        asked = b'{"input":' + question + b"}"
        url = f"{self.root_url}/data/{entry}?provenance=true"
        async with self._session.post(url, data=asked, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"OPA answers with status {response.status}")
            return orjson.loads(await _bounded(response.content))

    async def bundles_loaded(self) -> bool:
        """Whether OPA says that every bundle it was configured with is loaded (`/health?bundles`)."""
        url = f"{self.schema}{self.host}:{self.port}/health?bundles"
        async with self._session.get(url, allow_redirects=False) as response:
            return bool(response.status == 200)

    async def _init_session(self) -> None:
        self._connector = (
            aiohttp.UnixConnector(self._socket, force_close=True)
            if self._socket
            else aiohttp.TCPConnector(ssl=_context(self._address) if self.ssl else False, force_close=True)
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    answer = bytearray()
    async for part in content.iter_chunked(1 << 16):
        answer += part
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError(f"OPA's answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(answer)


def _context(address: OpaAddress) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if address.ca is None else str(address.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if address.certificate is not None:
        context.load_cert_chain(address.certificate, address.key)
    return context


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
