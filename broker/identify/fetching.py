"""One look at an issuer's published keys: an HTTPS GET that can do nothing else.

MUSTs:
1. The URL comes from the operator's configuration, or from a registration that people approve: https, a host name, no
   user information, no fragment. Nothing that a token says leads here.
2. The server proves its name by TLS 1.2 or later, to the roots that the operator named, or to the system's.
3. No redirect is followed, no proxy of the environment used, no cookie kept, no other request made.
4. Only status 200 with a JSON media type and without a content coding is read, at most 64 KiB of it.
5. All of it, the name's resolution too, takes at most five seconds, and never holds up the event loop. Names are
   resolved on threads of the fetcher's own, so that an agency's slow name server delays nothing else.
Does not: read the keys (`key_set` does), repeat, or remember.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from broker.identify.key_set import LARGEST_KEY_FILE

FETCH_SECONDS = 5.0
LONGEST_URL = 512
_MEDIA_TYPES = ("application/json", "application/jwk-set+json")
_HEADERS = {"Accept": ", ".join(_MEDIA_TYPES), "Accept-Encoding": "identity", "User-Agent": "entente-broker"}


class FetchError(Exception):
    """The keys could not be fetched. The text says what to do, and quotes nothing that the server sent."""


def require_fetchable(url: str) -> None:
    """MUST 1. Raises ValueError."""
    if not 0 < len(url) <= LONGEST_URL or not url.isascii() or any(char <= " " or char in '\\"<>\x7f' for char in url):
        raise ValueError(f"jwks_uri is an https URL of at most {LONGEST_URL} ASCII characters without spaces")
    parts = urlsplit(url)
    if parts.scheme != "https" or not url.startswith("https://") or not parts.hostname:
        raise ValueError("jwks_uri must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise ValueError("jwks_uri must have no user information and no fragment")
    try:
        usable = parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("jwks_uri has a port out of range")


class Fetcher:
    """Fetches with so many names under way at once; others wait for their turn, within their five seconds."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "issuer")

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, url: str, ca: Path | None = None) -> bytes:
        """What the URL serves now. `ca`: a PEM file with the only roots that count. Raises FetchError."""
        try:
            require_fetchable(url)
            async with asyncio.timeout(FETCH_SECONDS):
                roots = await asyncio.get_running_loop().run_in_executor(self._threads, _roots, ca)
                return await _get(url, roots, _Names(self._threads))
        except TimeoutError as error:
            raise FetchError(f"no answer within {FETCH_SECONDS:.0f} seconds; see that the server is up") from error
        except aiohttp.ClientSSLError as error:
            raise FetchError("its TLS certificate does not hold; name its root (ca) and see its host name") from error
        except aiohttp.ClientConnectionError as error:
            raise FetchError("no connection; see the host name, the port and that the broker may reach it") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise FetchError(f"it does not speak plain HTTP over TLS ({type(error).__name__})") from error
        except OSError as error:
            raise FetchError(f"{ca} cannot be read as PEM roots ({type(error).__name__})") from error


class _Names(AbstractResolver):
    """Resolves names on the fetcher's threads."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """The threads are the fetcher's."""


def _roots(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _get(url: str, roots: ssl.SSLContext, names: AbstractResolver) -> bytes:
    connector = aiohttp.TCPConnector(ssl=roots, force_close=True, use_dns_cache=False, resolver=names)
    # `trust_env` off: neither proxies nor a .netrc of whoever runs the broker.
    session = aiohttp.ClientSession(
        connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
    async with session, session.get(url, headers=_HEADERS, allow_redirects=False) as response:
        if response.status != 200:
            raise FetchError(f"the server answers with status {response.status}; only 200 counts, without redirects")
        if response.content_type not in _MEDIA_TYPES or "Content-Encoding" in response.headers:
            raise FetchError(f"the server must send {' or '.join(_MEDIA_TYPES)}, without a content coding")
        content = bytearray()
        async for chunk in response.content.iter_chunked(LARGEST_KEY_FILE):
            content += chunk
            if len(content) > LARGEST_KEY_FILE:
                raise FetchError("the server sends more than 64 KiB")
        return bytes(content)
