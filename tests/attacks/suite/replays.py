"""Replays and races: a token may be used again within its life, by its certificate; and nothing in it makes the broker
call anybody."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from tests.attacks.suite.case import ACCEPTED, Case, End, Need, Observed, refused
from tests.attacks.suite.minting import Mint
from tests.attacks.suite.target import Target, bearer

FAMILY = "tokens"
CALLS_AT_ONCE = 50
# Long enough that a fetch that was begun would have arrived; the refusal itself comes within milliseconds.
LISTEN_SECONDS = 0.3


def cases() -> list[Case]:
    """All of this file."""
    needs = frozenset({Need.ISSUER_KEY})
    return [
        Case(
            FAMILY,
            f"replay: the same token in {CALLS_AT_ONCE} calls at once",
            ACCEPTED,
            _same_token,
            needs,
            seconds=5.0,
        ),
        Case(FAMILY, "replay: after it has expired", refused("TOKEN_EXPIRED"), _after_expiry, needs, seconds=5.0),
        *(_steered(name) for name in ("jku", "x5u", "jwk.jku", "kid", "iss", "x5c")),
    ]


async def _same_token(target: Target) -> Observed:
    header = bearer(target.identity.token())
    found = await asyncio.gather(*(target.ask(header) for _ in range(CALLS_AT_ONCE)))
    return next((one for one in found if one.end is not End.ACCEPTED), found[0])


async def _after_expiry(target: Target) -> Observed:
    """Accepted, remembered, and refused once its second has come."""
    now = int(time.time())
    header = bearer(target.identity.minting.token(exp=now + 2))
    first = await target.ask(header)
    if first.end is not End.ACCEPTED:
        return first
    await asyncio.sleep(max(0.0, now + 2.05 - time.time()))
    return await target.ask(header)


def _steered(name: str) -> Case:
    """A token that names a place to fetch a key from: refused, and nobody called there."""

    async def attempt(target: Target) -> Observed:
        async with listener() as (url, callers):
            found = await target.ask(bearer(_naming(target.identity.minting, name, url)))
            await asyncio.sleep(LISTEN_SECONDS)
        if callers:
            return Observed(End.CRASH, text=f"the broker called {url}")
        return found

    reason = {"kid": "TOKEN_INVALID", "iss": "ISSUER_NOT_ALLOWED"}.get(name, "TOKEN_MALFORMED")
    needs = frozenset({Need.ISSUER_KEY})
    return Case(FAMILY, f"steered: {name} names a listener, which nobody calls", refused(reason), attempt, needs)


def _naming(mint: Mint, name: str, url: str) -> str:
    if name == "iss":
        return mint.token(iss=url)
    header: dict[str, object] = {"jwk": {"jku": url}} if name == "jwk.jku" else {name: [url] if name == "x5c" else url}
    return mint.token(header)


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, list[str]]]:
    """A port on loopback, and who has called it."""
    callers: list[str] = []

    def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(called, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys", callers
    finally:
        server.close()
        await server.wait_closed()
