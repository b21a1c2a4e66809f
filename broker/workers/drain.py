"""Draining a worker, so that another takes its place and no call fails.

gRPC's own stop refuses calls that are already on their way. So the listener is shut first, and the worker serves on
while the age that every connection has anyway (`limits.connection_age_seconds`) ends them one by one: the client is
told to open another connection before its next call, and another worker answers it. Once every connection has been
told, streams are told too, and resume elsewhere; a stream that was told earlier would resume here, on the same one.

Bounded: by the age, and by the longest call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from broker import listener
from broker.config import LimitsSection

LOOK_SECONDS = 0.1
# gRPC spreads connections' ages by a tenth either way.
AGE_SPREAD, TOLD_SECONDS = 1.1, 1.0

_logger = structlog.get_logger("entente.drain")


async def drain(port: int, limits: LimitsSection, end_streams: Callable[[], None]) -> None:
    """Take no new connection; returns when those that there are have ended, or have had their time."""
    closed = listener.stop_accepting(port)
    _logger.info("draining", listeners=closed, connections=listener.connections(port))
    if not await _ended(port, limits.connection_age_seconds * AGE_SPREAD + TOLD_SECONDS):
        end_streams()
        await _ended(port, limits.longest_call_seconds)
    _logger.info("drained", connections=listener.connections(port))


async def _ended(port: int, seconds: float) -> bool:
    """Whether no connection is left within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            while listener.connections(port):  # noqa: ASYNC110 - the kernel's sockets, which nobody tells us of
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        return False
    return True


def longest_seconds(limits: LimitsSection) -> float:
    """What a drain takes at most."""
    return limits.connection_age_seconds * AGE_SPREAD + TOLD_SECONDS + limits.longest_call_seconds
