"""An answer of OPA belongs to the question that it was asked on a connection of its own, and to no other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from broker.decide.opa_client import OpaAddress, OpaClient

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def answer(text: str) -> bytes:
    body = orjson.dumps({"result": text})
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def talkative(pause_s: float | None) -> AsyncIterator[OpaClient]:
    """A client of a server that echoes each question, and, after a pause, answers once more what nobody asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                assert found is not None
                asked = orjson.loads(await reader.readexactly(int(found[1])))["input"]
                writer.write(answer(asked))
                await writer.drain()
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
                    writer.write(answer("what nobody asked"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with OpaClient(OpaAddress(f"http://127.0.0.1:{port}"), 5.0) as client:
        yield client
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("pause_s", [None, 0.0, 0.02], ids=["as it should", "at once", "later"])
async def test_no_answer_is_taken_for_that_of_another_question(pause_s: float | None) -> None:
    """MUST 4: else from one answer too many on, each caller would be given the grant of the one before."""
    async with talkative(pause_s) as client:
        for number in range(5):
            heard = await client.ask("entente/grant", orjson.dumps(f"question {number}"))
            assert heard["result"] == f"question {number}"
            # So that what comes too late is there before the next question.
            await asyncio.sleep(0.05)
