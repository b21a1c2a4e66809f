"""Which policy answers: the one in force, or nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from broker.decide.bundle import PolicyBundle
from broker.decide.bundle_signature import SignatureError, SigningKey
from broker.decide.engine import PolicyEngine
from broker.decide.rollout import Rollout
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from broker.domain.policy import ADOPTED, CONFIGURED, PolicyOnFile
from tests.support.engines import SmallEngine
from tests.support.policies import remarked
from tests.support.questions import BUNDLE

KEY = SigningKey.generate()
OTHER = remarked("another")


class Late(SmallEngine):
    """Does not come up while it is told so."""

    up = True

    async def start(self) -> None:
        if not Late.up:
            raise UnavailableError("POLICY_UNAVAILABLE", "not up")
        await super().start()


@dataclass
class Source:
    """A store's one policy, which a test replaces."""

    on_file: PolicyOnFile

    def policy_epoch(self) -> int:
        return self.on_file.epoch

    def policy_in_force(self) -> PolicyOnFile | None:
        return self.on_file


def on_file(bundle: PolicyBundle, epoch: int, *, key: SigningKey | None = KEY, origin: str = ADOPTED) -> PolicyOnFile:
    return PolicyOnFile(epoch, bundle.revision, bundle.to_archive(key), origin, "", 0)


def make(bundle: PolicyBundle) -> PolicyEngine:
    return Late(bundle.revision)


@pytest.fixture
async def following() -> AsyncIterator[tuple[Rollout, Source, list[int]]]:
    source, published = Source(on_file(BUNDLE, 1, key=None, origin=CONFIGURED)), list[int]()
    rollout = Rollout(
        source, make, SystemClock(), key=KEY.verification_key, publish=lambda one: published.append(one.epoch)
    )
    Late.up = True
    await rollout.start()
    yield rollout, source, published
    await rollout.close()


async def test_the_next_question_is_answered_by_the_policy_in_force(
    following: tuple[Rollout, Source, list[int]],
) -> None:
    """rollout MUSTs 1 and 2."""
    rollout, source, published = following
    before = await rollout.now()
    source.on_file = on_file(OTHER, 2)
    after = await rollout.now()
    assert (before.epoch, before.engine.bundle) == (1, BUNDLE.revision)
    assert (after.epoch, after.engine.bundle, after.bundle) == (2, OTHER.revision, OTHER)
    assert published == [1, 2]


async def test_nobody_is_answered_from_another_policy_than_the_one_in_force(
    following: tuple[Rollout, Source, list[int]],
) -> None:
    """rollout MUST 3: who asks is kept waiting a bounded time, then refused; and answered once the engine is up."""
    rollout, source, _ = following
    Late.up = False
    source.on_file = on_file(OTHER, 2)
    with pytest.raises(UnavailableError) as refused:
        await asyncio.wait_for(rollout.now(), 10)
    assert refused.value.retry_after_s > 0
    Late.up = True
    async with asyncio.timeout(10):
        while rollout.current.epoch != 2:
            await asyncio.sleep(0.02)
    assert (await rollout.now()).engine.bundle == OTHER.revision


@pytest.mark.parametrize("key", [None, SigningKey.generate()], ids=["unsigned", "of another"])
async def test_an_adopted_policy_counts_by_its_signature_alone(
    following: tuple[Rollout, Source, list[int]], key: SigningKey | None
) -> None:
    """rollout MUST 4: also where somebody has put it straight into the store."""
    rollout, source, published = following
    source.on_file = on_file(OTHER, 2, key=key)
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(rollout.now(), 10)
    assert (rollout.current.epoch, published) == (1, [1])
    with pytest.raises(SignatureError):
        Rollout(source, make, SystemClock(), key=KEY.verification_key)
