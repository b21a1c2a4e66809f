"""Engines for tests: a good one, and those that must do no harm.

`SmallEngine` has the interface and passes the conformance tests of the real ones, with a policy of three lines:
operational purposes for officers, who see their own agency's records. The others answer what no engine should.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from broker.decide.engine import EngineAnswer, PolicyEngine
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.errors import UnavailableError

EVERYTHING: dict[str, Any] = {"all": []}
NOTHING: dict[str, Any] = {"any": []}

ALLOWED = {"allow": True, "rule": "method_permitted", "answer_classes": ["ENVELOPE"]}
ALL_GRANTED = {
    "rows": EVERYTHING,
    "pointers": EVERYTHING,
    "silent": EVERYTHING,
    "classes": {name: {"full": EVERYTHING, "part": EVERYTHING, "pseudonym": EVERYTHING} for name in DECIDED_CLASSES},
}


def own_records(agency: str) -> dict[str, Any]:
    """A grant of one agency's own records, whole."""
    own = {"rule": "own_record", "op": "eq", "attr": "originator", "value": agency}
    return {
        "rows": own,
        "pointers": NOTHING,
        "silent": NOTHING,
        "classes": {name: {"full": own, "part": NOTHING, "pseudonym": NOTHING} for name in DECIDED_CLASSES},
    }


class SmallEngine:
    """A good engine with a small policy."""

    name = "small"

    def __init__(self, bundle: str = "small") -> None:
        self.bundle = bundle
        self.asked: list[tuple[str, Any]] = []
        self._started = False

    async def start(self) -> None:
        self._started = True

    async def close(self) -> None:
        self._started = False

    async def method(self, question: bytes) -> EngineAnswer:
        asked = self._read("method", question)
        allow = "officer" in asked["roles"] and asked["purpose"] in asked["purposes"]
        rule = "method_permitted" if allow else "role_permits"
        return EngineAnswer({"allow": allow, "rule": rule, "answer_classes": ["ENVELOPE"]}, "small-1")

    async def grant(self, question: bytes) -> EngineAnswer:
        asked = self._read("grant", question)
        # Yields once, as an engine elsewhere would.
        await asyncio.sleep(0)
        document = own_records(asked["agency"]["name"])
        if "officer" not in asked["roles"]:
            document["rows"] = NOTHING
        return EngineAnswer(document, "small-2")

    def _read(self, entry: str, question: bytes) -> Any:
        if not self._started:
            raise UnavailableError("POLICY_UNAVAILABLE", "not started")
        try:
            asked = json.loads(question)
        except ValueError:
            raise UnavailableError("POLICY_UNAVAILABLE", "not JSON") from None
        self.asked.append((entry, asked))
        return asked


class AnsweringEngine(SmallEngine):
    """Answers whatever it was told to, by default everything to everyone."""

    name = "answering"

    def __init__(self, method: object = ALLOWED, grant: object = ALL_GRANTED) -> None:
        super().__init__()
        self.method_document = method
        self.grant_document = grant

    async def method(self, question: bytes) -> EngineAnswer:
        return EngineAnswer(copy.deepcopy(self.method_document))

    async def grant(self, question: bytes) -> EngineAnswer:
        return EngineAnswer(copy.deepcopy(self.grant_document))


class FakeOpa:
    """Stands in for an OPA server. Answers `results`, or what `engine` says; the other attributes spoil it.

    `raw`: this body. `status`, `delay_s`: late, or with another status. `location`: a redirect. `hang_up`: it ends amid
    the answer. `huge`: so many bytes of it. `mixed_up`: each question gets the answer to this one.
    """

    def __init__(self, revision: str, engine: PolicyEngine | None = None) -> None:
        self.revision = revision
        self.engine = engine
        self.results: dict[str, object] = {"method": ALLOWED, "grant": ALL_GRANTED}
        self.mend()
        self.asked = 0

    def mend(self) -> None:
        """Whole again."""
        self.raw: bytes | None = None
        self.status, self.delay_s, self.huge = 200, 0.0, 0
        self.location, self.hang_up = "", False
        self.mixed_up: dict[str, bytes] = {}
        self.instead: dict[str, object] | None = None
        self.said_revision: object = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        if self.location:
            return web.Response(status=307, headers={"Location": self.location})
        if self.hang_up or self.huge:
            return await self._broken_off(request)
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status, content_type="application/json")
        revision = self.revision if self.said_revision is None else self.said_revision
        document: dict[str, object] = {
            "decision_id": "d-1",
            "provenance": {"version": "fake", "bundles": {"b": {"revision": revision}}},
        }
        results = self.results if self.instead is None else self.instead
        entry = request.match_info["entry"]
        if self.engine is not None and self.instead is None:
            asked = self.mixed_up.get(entry) or json.dumps((await request.json())["input"]).encode()
            document["result"] = (await getattr(self.engine, entry)(asked)).document
        elif entry in results:
            document["result"] = results[entry]
        return web.json_response(document, status=self.status)

    async def _broken_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"result": "')
        for _ in range(self.huge >> 16):
            await response.write(b"x" * (1 << 16))
        if self.hang_up and request.transport is not None:
            request.transport.abort()
        return response

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen on loopback; yields the URL."""
        application = web.Application()
        application.router.add_post("/v1/data/entente/{entry}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield site.name if site.name != "http://127.0.0.1:0" else _url(runner)
        finally:
            await runner.cleanup()


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
