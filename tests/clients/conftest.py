"""One fake broker for each test, and the client in both colours behind one asynchronous face."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from entente.directory.v1 import directory_service_pb2 as directory
from entente_sdk import AsyncEntente, Entente, RetryPolicy
from entente_sdk.cli import application
from tests.support.fake_broker import FakeBroker

Run = Callable[..., Result]
QUICK = RetryPolicy(attempts=3, first_wait_seconds=0.01, longest_wait_seconds=0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[FakeBroker]:
    with FakeBroker(tmp_path) as fake:
        fake.answers["/entente.directory.v1.DirectoryService/WhoAmI"] = lambda _: directory.WhoAmIResponse(
            agency="police.example/northshire", user="o.reyes", roles=["analyst"]
        )
        yield fake


class Colour:
    """Runs a call of either colour: a coroutine is awaited, a blocking call goes to a thread."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind

    def client(self, broker: FakeBroker, *, retry: RetryPolicy = QUICK, **changes: Any) -> Any:
        return self.kind(broker.profile(**changes), retry=retry)

    async def run(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(call):
            return await call(*args, **kwargs)
        return await asyncio.to_thread(call, *args, **kwargs)

    async def next(self, stream: Any) -> Any:
        return await self.run(stream.__anext__ if hasattr(stream, "__anext__") else stream.__next__)

    async def all(self, items: Any) -> list[Any]:
        if hasattr(items, "__aiter__"):
            return [item async for item in items]
        return await asyncio.to_thread(list, items)


@pytest.fixture(params=[AsyncEntente, Entente], ids=["async", "sync"])
def colour(request: pytest.FixtureRequest) -> Colour:
    return Colour(request.param)


@pytest.fixture
def run(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ENTENTE_CONFIG", str(broker.config()))
    for name in [name for name in os.environ if name.startswith("ENTENTE_") and name != "ENTENTE_CONFIG"]:
        monkeypatch.delenv(name)
    app = application()

    def invoke(*arguments: str, **options: Any) -> Result:
        result = CliRunner().invoke(app, list(arguments), **options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return invoke
