"""How the engine does, asked every two seconds: so that an operator hears of a dead OPA before a caller does.

Guarantees: whatever changes is logged once, and told (gRPC health, service `entente.policy`). The question is the one
that an engine must answer before it counts as started, past every cache, so that "answers" means it answers from the
policy in force.
Does not: refuse or let through any call; the decider asks the engine itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from broker.decide.opa import OpaEngine
from broker.decide.rollout import Rollout

ASK_SECONDS = 2.0

_logger = structlog.get_logger("entente.policy")


class EngineWatch:
    """One per worker. `tell`: whether the engine answers, at the start and whenever that changes."""

    def __init__(self, rollout: Rollout, tell: Callable[[bool], Awaitable[None]]) -> None:
        self._rollout, self._tell = rollout, tell
        self._answers: bool | None = None
        self._complaint = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, now, then go on."""
        await self.ask()
        self._task = asyncio.create_task(self._run(), name="engine-watch")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self) -> None:
        """One look."""
        answers = await self._rollout.healthy()
        if answers != self._answers:
            if self._answers is not None:
                _logger.warning("policy_engine", answers=answers, engine=self._rollout.current.engine.name)
            self._answers = answers
            await self._tell(answers)
        engine = self._rollout.current.engine
        complaint = await engine.complaint() if isinstance(engine, OpaEngine) else ""
        if complaint != self._complaint:
            self._complaint = complaint
            _logger.warning("opa_bundles", complaint=complaint or "none any more")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ASK_SECONDS)
            try:
                await self.ask()
            except Exception as defect:
                # Whatever it is, the next look is due all the same.
                _logger.error("engine_watch", error=type(defect).__name__)
