"""A real OPA server, asked over REST by one long-lived client.

MUSTs:
1. Plain HTTP only to this machine's own address; anything further by TLS, or a Unix socket.
2. No retries in the client; our own deadline; a circuit breaker that refuses at once while OPA does not answer, and
   tries again within 2 s.
3. An answer counts only with a result (an undefined rule is HTTP 200 without one) and from exactly our bundle: OPA
   names the revision of the bundle in each answer's provenance.
4. Policies are never uploaded: the server is started with the bundle that `broker.decide.bundle` writes.

A private CA for TLS is given to the whole process by `SSL_CERT_FILE`: the client takes it from nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from opa_client import AsyncOpaClient

from broker.decide.breaker import Breaker
from broker.decide.bundle import GRANT_ENTRY, METHOD_ENTRY, PolicyBundle
from broker.decide.engine import EngineAnswer
from broker.decide.probe import probe
from broker.domain.clock import Clock
from broker.domain.errors import UnavailableError

DEADLINE_S = 0.25
"""So that a refusal is with the caller within 300 ms."""

CLIENT_GRACE_S = 0.05
"""The client's own timeout comes after ours: whichever stops the call, it stops."""

DEFAULT_PORT = 8181


@dataclass(frozen=True, slots=True)
class OpaAddress:
    """Where OPA listens: `http://127.0.0.1:8181`, `https://host:port` or `unix:///path/to/socket`.

    `certificate` and `key` are files for mutual TLS.
    """

    url: str
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme == "unix" and parts.path and not parts.netloc:
            return
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("OPA's address is http://127.0.0.1:PORT, https://HOST:PORT or unix:///PATH")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("plain HTTP to OPA only on this machine's own address; use https or a Unix socket")


class _Client(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """The library's client, over a Unix socket where there is one."""

    def __init__(self, socket: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._socket = socket

    async def _init_session(self) -> None:
        if not self._socket:
            await super()._init_session()
            return
        self._connector = aiohttp.UnixConnector(self._socket)
        self._session = aiohttp.ClientSession(
            connector=self._connector, timeout=aiohttp.ClientTimeout(total=self.timeout)
        )


class OpaEngine:
    """Answers from an OPA server: about 1.4 ms for a method, 5 ms for a grant."""

    name = "opa"

    def __init__(
        self, bundle: PolicyBundle, address: OpaAddress, clock: Clock, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._deadline_s = deadline_s
        self._bundle = bundle
        self._address = address
        self._breaker = Breaker(clock)
        self._client: Any = None

    @property
    def bundle(self) -> str:
        return self._bundle.revision

    async def start(self) -> None:
        """Connect, check the revision and evaluate both entry points. Raises UnavailableError."""
        if self._client is None:
            client = _client(self._address, self._deadline_s + CLIENT_GRACE_S)
            await client.__aenter__()
            self._client = client
        await probe(self, self._bundle)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)

    async def method(self, question: bytes) -> EngineAnswer:
        return await self._ask(METHOD_ENTRY, question)

    async def grant(self, question: bytes) -> EngineAnswer:
        return await self._ask(GRANT_ENTRY, question)

    async def _ask(self, entry: str, question: bytes) -> EngineAnswer:
        if self._client is None:
            raise _unavailable("the engine is not started")
        if not self._breaker.lets_through():
            raise _unavailable("OPA has not answered; asked again shortly")
        answered = False
        try:
            async with asyncio.timeout(self._deadline_s):
                document = await self._client.query_rule(
                    orjson.loads(question), entry, query_params={"provenance": "true"}
                )
            answered = True
        except asyncio.CancelledError:
            raise
        except Exception as failure:
            raise _unavailable(f"{type(failure).__name__}: {failure}") from None
        finally:
            self._breaker.note(answered=answered)
        return self._checked(document)

    def _checked(self, document: object) -> EngineAnswer:
        if not isinstance(document, dict) or "result" not in document:
            raise _unavailable("OPA has no such rule, or it is undefined")
        if _revisions(document) != {self.bundle}:
            raise _unavailable(f"OPA answers from another bundle than {self.bundle}")
        decision_id = document.get("decision_id", "")
        return EngineAnswer(document["result"], decision_id if isinstance(decision_id, str) else "")


def _client(address: OpaAddress, timeout_s: float) -> _Client:
    parts = urlsplit(address.url)
    return _Client(
        parts.path if parts.scheme == "unix" else "",
        host=_bracketed(parts.hostname or "localhost"),
        port=parts.port or DEFAULT_PORT,
        ssl=parts.scheme == "https",
        cert=(address.certificate, address.key) if address.certificate else None,
        retries=0,
        timeout=timeout_s,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _revisions(document: dict[Any, Any]) -> set[object]:
    provenance = document.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict):
        return set()
    return {bundle.get("revision") if isinstance(bundle, dict) else None for bundle in bundles.values()}


def _unavailable(detail: str) -> UnavailableError:
    return UnavailableError("POLICY_UNAVAILABLE", "policy cannot be asked; try again later", detail=detail)
