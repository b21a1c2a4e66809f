"""Callers of one broker with several workers, who know which worker answers them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from certs.network import Party
from entente.directory.v1 import directory_service_pb2 as directory
from tests.support.exchanges import OFFICER, WHO_AM_I, Remote, ask
from tests.support.live import LiveBroker

# A connection goes to each of two workers with even chances.
MOST_CONNECTIONS = 64


@contextlib.asynccontextmanager
async def remote_to_each(live: LiveBroker, party: Party = OFFICER) -> AsyncIterator[dict[str, Remote]]:
    """For each worker a Remote whose calls as this party it answers, by its log's origin.

    That holds while their connections last; calls as another agency open connections of their own.
    """
    found: dict[str, Remote] = {}
    try:
        for _ in range(MOST_CONNECTIONS):
            remote = Remote(live)
            origin = (await ask(remote, WHO_AM_I, directory.WhoAmIRequest(), party)).receipt.origin
            if origin in found:
                await remote.close()
            found.setdefault(origin, remote)
            if len(found) == live.workers:
                break
        assert len(found) == live.workers, f"only {sorted(found)} answered"
        yield found
    finally:
        for remote in found.values():
            await remote.close()
