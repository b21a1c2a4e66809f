"""The watch: every worker looks, forty times a second, whether another process has committed something.

MUSTs:
1. What any worker has committed of the registry is in force in this one after the next look, and before the next
   answer is handed over (`glance`); whatever follows the registry is told in the same turn.
2. Only a look that succeeded confirms the standing; when looks fail, or nobody looks, it grows old and refuses
   everybody (`identify.standing`, MUST 2). A database that was removed or replaced is a look that fails.
3. Twice a second the open streams are looked at again whatever happened: their callers' rights end by time, by trust
   roots and by a standing that grew old, without any commit.
Does not: decide anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from broker.domain.errors import BrokerError
from broker.identify.standing import Standing
from broker.store.store import Store

LOOK_SECONDS = 0.025
LOOKS_PER_ROUND = 20

_logger = structlog.get_logger("entente.watch")


class Watch:
    """One per worker.

    Args:
        changed: called after the standing was replaced.
        recheck: looks at the open streams again.
        serving: told whether anybody can be served, whenever that changes.
    """

    def __init__(
        self,
        store: Store,
        standing: Standing,
        changed: Sequence[Callable[[], None]] = (),
        *,
        recheck: Callable[[], None],
        serving: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._store = store
        self._standing = standing
        # Last: whoever looks at the streams again finds what changed.
        self._changed = (*changed, recheck)
        self._recheck = recheck
        self._serving = serving
        self._seen = self._rung = -1
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look once, now, then go on. Raises UnavailableError when the first look fails."""
        self.look()
        self._standing.follow(self)
        self._task = asyncio.create_task(self._run(), name="watch")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """One look. Raises UnavailableError."""
        self._store.require_in_place()
        pulse = self._take_in()
        self._standing.confirm()
        if pulse != self._rung:
            # Here and not at every glance: many calls and many streams would wake one another without end.
            self._rung = pulse
            self._store.ring()

    def look_now(self) -> None:
        """`look` for somebody who needs the standing confirmed. While looks fail, only the loop goes on asking."""
        if not self._failing:
            self._try(self.look)

    def glance(self) -> None:
        """Take in what is new, confirming nothing: for whoever is about to hand something over. About 6 us."""
        if not self._failing:
            self._try(self._take_in)

    def _take_in(self) -> int:
        """The database's pulse, once everything up to it is in force."""
        pulse = self._store.pulse()
        if pulse == self._seen:
            return pulse
        if self._store.registry_revision() != self._standing.current.revision or self._seen == -1:
            self._standing.replace(self._store.revoked())
            self._seen = pulse
            for tell in self._changed:
                _call(tell)
        self._seen = pulse
        return pulse

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
            self._failing = False
        except Exception as error:
            # Whatever it is, nothing was confirmed. Said once, not forty times a second.
            if not self._failing:
                reason = error.reason if isinstance(error, BrokerError) else type(error).__name__
                _logger.error("revocation_feed_lost", reason=reason)
            self._failing = True

    async def _run(self) -> None:
        served, looks = True, 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._try(self.look)
            looks += 1
            turned = self._standing.is_current != served
            if turned or looks % LOOKS_PER_ROUND == 0:
                _call(self._recheck)
            if turned:
                served = not served
                _logger.warning("revocation_feed", served=served)
                await self._serving(served)


def _call(tell: Callable[[], None]) -> None:
    """Whoever fails at hearing the news keeps nobody else from it, and does not stop the watch."""
    try:
        tell()
    except Exception as defect:
        _logger.error("not_told", error=type(defect).__name__)
