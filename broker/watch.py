"""The watch: every worker looks, forty times a second, whether another process has committed something.

Guarantees: a revocation that is committed by any worker is in force in this one after the next look; what follows the
registry (issuers, open streams) is told in the same turn. A look that succeeds confirms the standing; when looks fail,
the standing grows old and refuses everybody (`identify.standing`, MUST 2).
Does not: decide anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from broker.domain.errors import BrokerError
from broker.identify.standing import Standing
from broker.store.store import Store

LOOK_SECONDS = 0.025

_logger = structlog.get_logger("entente.watch")


class Watch:
    """One per worker. `changed` is called after the standing was replaced."""

    def __init__(self, store: Store, standing: Standing, changed: Sequence[Callable[[], None]]) -> None:
        self._store = store
        self._standing = standing
        self._changed = changed
        self._seen = -1
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look once, now, then go on. Raises UnavailableError when the first look fails."""
        self.look()
        self._task = asyncio.create_task(self._run(), name="watch")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """One look. Raises UnavailableError."""
        pulse = self._store.pulse()
        if pulse != self._seen:
            if self._store.registry_revision() != self._standing.current.revision or self._seen == -1:
                self._standing.replace(self._store.revoked())
                for tell in self._changed:
                    tell()
            self._store.ring()
            self._seen = pulse
        self._standing.confirm()

    async def _run(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.look()
                failing = False
            except BrokerError as error:
                if not failing:
                    _logger.error("revocation_feed_lost", reason=error.reason)
                failing = True
            except Exception as defect:
                if not failing:
                    _logger.error("revocation_feed_lost", error=type(defect).__name__)
                failing = True
