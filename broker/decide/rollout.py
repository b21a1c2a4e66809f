"""Which policy is in force here, and the engine that answers from it.

MUSTs:
1. A policy is followed by its epoch, which is read from the store for each new decision: nothing is decided under an
   older one once a newer is committed. (What was decided before is caught by the epoch in its grant: `store/fresh.py`.)
2. An engine is swapped whole: the new one is started and probed before the first question is put to it.
3. While no engine answers from the policy in force, nobody is answered from another: whoever asks waits at most until
   `PATIENCE_S` after the change was noticed, then is refused.
4. A bundle that two registrars adopted is proven to be signed by the policy authority each time that it is loaded.
Does not: decide who may change the policy, or keep answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from broker.decide.answers import AnswerReader
from broker.decide.bundle import PolicyBundle
from broker.decide.bundle_signature import VerificationKey
from broker.decide.engine import PolicyEngine
from broker.decide.probe import probe
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.clock import Clock
from broker.domain.errors import UnavailableError
from broker.domain.policy import ADOPTED, PolicyOnFile

PATIENCE_S = 1.0
"""A real OPA takes 0.3 s to load another bundle; nobody waits much longer for it."""

RETRY_S, LATE_RETRY_S = 0.05, 1.0

LINGER_S = 1.0
"""Questions that were put to the old engine are answered within their deadline, and thrown away with their epoch."""

_logger = structlog.get_logger("entente.policy")


class PolicySource(Protocol):
    """What the store says."""

    def policy_epoch(self) -> int:
        """The epoch of the policy in force; 0 where none has ever been."""
        ...

    def policy_in_force(self) -> PolicyOnFile | None:
        """The policy in force, with its bundle, or None where none has ever been."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyNow:
    """A policy and the engine that answers from it: whoever decides holds one of these, and no two halves of two."""

    epoch: int
    bundle: PolicyBundle
    engine: PolicyEngine
    reader: AnswerReader

    @classmethod
    def of(cls, epoch: int, bundle: PolicyBundle, engine: PolicyEngine) -> PolicyNow:
        return cls(epoch, bundle, engine, AnswerReader(bundle.rules, DECIDED_CLASSES))


class Policies(Protocol):
    """What a decider asks."""

    @property
    def current(self) -> PolicyNow:
        """The policy that was in force when somebody last looked."""
        ...

    async def start(self) -> None:
        """Raises UnavailableError when no engine answers from the policy in force."""
        ...

    async def now(self) -> PolicyNow:
        """The policy in force now. Raises UnavailableError when no engine answers from it."""
        ...

    async def close(self) -> None: ...


class FixedPolicy:
    """One policy and one engine, for ever."""

    def __init__(self, engine: PolicyEngine, bundle: PolicyBundle) -> None:
        self.current = PolicyNow.of(0, bundle, engine)

    async def start(self) -> None:
        await self.current.engine.start()

    async def now(self) -> PolicyNow:
        return self.current

    async def close(self) -> None:
        await self.current.engine.close()


class Rollout:
    """Follows the store's policy. One per event loop.

    Args:
        make_engine: an engine, not started yet, for a bundle.
        key: of the policy authority, by which adopted bundles are proven.
        publish: told of each policy before its engine is started; it may raise OSError.
        changed: called after each swap.
        start_s: how long to try at the start: an OPA that comes up with the broker loads what it has just published.
    """

    def __init__(
        self,
        source: PolicySource,
        make_engine: Callable[[PolicyBundle], PolicyEngine],
        clock: Clock,
        *,
        key: VerificationKey | None = None,
        publish: Callable[[PolicyOnFile], None] = lambda _: None,
        changed: Callable[[], None] = lambda: None,
        start_s: float = 0.0,
    ) -> None:
        self._source, self._make_engine, self._clock = source, make_engine, clock
        self._key, self._publish, self._changed, self._start_s = key, publish, changed, start_s
        # Read at once: the rest of the broker is made from what it says.
        self._on_file = self._newest()
        self._bundle = self._read(self._on_file)
        self._current: PolicyNow | None = None
        self._task: asyncio.Task[None] | None = None
        self._noticed_us = 0
        self._lingering: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> PolicyNow:
        assert self._current is not None, "started"
        return self._current

    @property
    def bundle(self) -> PolicyBundle:
        """The policies in force when somebody last looked, also before an engine was started."""
        return self._bundle

    async def start(self) -> None:
        """Load the policy in force and start its engine. Raises UnavailableError or ValueError (the bundle)."""
        until_us = self._clock.monotonic_us() + int(self._start_s * 1e6)
        while True:
            try:
                await self._swap()
                return
            except UnavailableError:
                if self._clock.monotonic_us() >= until_us:
                    raise
                await asyncio.sleep(RETRY_S)

    async def now(self) -> PolicyNow:
        current = self.current
        if self._source.policy_epoch() == current.epoch:
            return current
        self.look_again()
        left_s = PATIENCE_S - (self._clock.monotonic_us() - self._noticed_us) / 1e6
        if self._task is not None and left_s > 0:
            # Waited for, never cancelled: others wait for it too.
            await asyncio.wait({self._task}, timeout=left_s)
        if self._source.policy_epoch() != self.current.epoch:
            raise UnavailableError(
                "POLICY_UNAVAILABLE",
                "another policy is coming into force; try again in a second",
                detail="no engine answers from the policy in force yet",
                retry_after_s=LATE_RETRY_S,
            )
        return self.current

    def look_again(self) -> None:
        """The registry has changed: follow the policy, if it is another one, without keeping anybody waiting."""
        if self._current is None or (self._task is not None and not self._task.done()):
            return
        if self._source.policy_epoch() != self._current.epoch:
            self._noticed_us = self._clock.monotonic_us()
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="policy")

    async def healthy(self) -> bool:
        """Whether the engine answers from the policy in force at this moment; asked without any cache."""
        try:
            policy = await self.now()
            await probe(policy.engine, policy.bundle)
        except UnavailableError:
            return False
        return True

    async def close(self) -> None:
        tasks = [*self._lingering, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._current is not None:
            await self._current.engine.close()

    async def _follow(self) -> None:
        """Until the engine in use answers from the policy in force."""
        said = False
        while self._source.policy_epoch() != self.current.epoch:
            try:
                await self._swap()
            except Exception as failure:
                waited_s = (self._clock.monotonic_us() - self._noticed_us) / 1e6
                if waited_s >= PATIENCE_S and not said:
                    said = True
                    detail = getattr(failure, "detail", "") or str(failure)
                    _logger.error("policy_not_in_force", error=type(failure).__name__, detail=detail)
                await asyncio.sleep(RETRY_S if waited_s < PATIENCE_S else LATE_RETRY_S)

    def _newest(self) -> PolicyOnFile:
        on_file = self._source.policy_in_force()
        if on_file is None:
            raise UnavailableError(
                "POLICY_UNAVAILABLE", "policy cannot be asked; try again later", detail="none on file"
            )
        return on_file

    async def _swap(self) -> None:
        """Put the newest policy in use. Raises UnavailableError, ValueError (the bundle) or OSError (publishing it)."""
        if self._source.policy_epoch() != self._on_file.epoch:
            on_file = self._newest()
            self._bundle, self._on_file = self._read(on_file), on_file
        on_file, bundle = self._on_file, self._bundle
        self._publish(on_file)
        engine = self._make_engine(bundle)
        before = self._current
        try:
            await engine.start()
        except BaseException:
            if before is None or engine is not before.engine:
                await engine.close()
            raise
        self._current = PolicyNow.of(on_file.epoch, bundle, engine)
        _logger.info("policy_in_force", revision=bundle.revision, epoch=on_file.epoch, engine=engine.name)
        if before is not None:
            self._changed()
            if before.engine is not engine:
                self._let_go(before.engine)

    def _read(self, on_file: PolicyOnFile) -> PolicyBundle:
        if on_file.origin != ADOPTED:
            # The operator's own: proven when it was configured, or part of the broker itself.
            return PolicyBundle.from_archive(on_file.archive, None)
        if self._key is None:
            raise ValueError("an adopted policy is in force, and policy.verification_key names no key to prove it by")
        return PolicyBundle.from_archive(on_file.archive, self._key)

    def _let_go(self, engine: PolicyEngine) -> None:
        async def linger() -> None:
            try:
                await asyncio.sleep(LINGER_S)
            finally:
                await engine.close()

        task = asyncio.get_running_loop().create_task(linger(), name="policy-linger")
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)
