"""Fixtures of the policy tests: both real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import PolicyEngine
from broker.decide.opa import OpaAddress, OpaEngine
from broker.domain.clock import SystemClock
from tests.support.opa import opa_server
from tests.support.questions import BUNDLE

# These tests ask what OPA answers; how soon it must is asked in `test_broken_opa`.
PATIENT_S = 20.0

__all__ = ["opa_server"]


@pytest.fixture
async def embedded() -> AsyncIterator[EmbeddedEngine]:
    """The embedded engine, started."""
    engine = EmbeddedEngine(BUNDLE)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture
async def opa(opa_server: str) -> AsyncIterator[OpaEngine]:
    """A real OPA, connected."""
    engine = OpaEngine(BUNDLE, OpaAddress(opa_server), SystemClock(), deadline_s=PATIENT_S)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture(params=["embedded", "opa"])
def engine(request: pytest.FixtureRequest) -> PolicyEngine:
    """Each real engine in turn."""
    found: PolicyEngine = request.getfixturevalue(request.param)
    return found
