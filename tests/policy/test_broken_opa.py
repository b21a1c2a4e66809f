"""An OPA that is broken in any way is a refusal, at once; and service resumes soon after it is mended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.decide.answers import AnswerReader
from broker.decide.breaker import FAILURES, PAUSE_US, Breaker
from broker.decide.bundle import PolicyBundle
from broker.decide.decider import Decider
from broker.decide.opa import OpaAddress, OpaEngine
from broker.decide.rollout import FixedPolicy
from broker.decide.vocabulary import DECIDED_CLASSES
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from broker.domain.exchange import Justification
from tests.support.engines import ALL_GRANTED, ALLOWED, FakeOpa
from tests.support.opa import running_opa
from tests.support.questions import BUNDLE, CATALOGUE, GET_REPORT, FakeClock, caller, marks, world

PATIENT_S = 20.0
REFUSED_WITHIN_S = 1.0
"""The deadline is a quarter of this: tests share their machine."""


@pytest.fixture
async def fake() -> AsyncIterator[tuple[FakeOpa, OpaEngine, FakeClock]]:
    opa, clock = FakeOpa(BUNDLE.revision), FakeClock()
    async with opa.running() as url:
        engine = OpaEngine(BUNDLE, OpaAddress(url), clock)
        with pytest.raises(UnavailableError):
            await engine.start()  # connected, but the probe is granted everything
        yield opa, engine, clock
        await engine.close()


BREAKAGES = {
    "undefined": {"results": {}},
    "null": {"results": {"method": None, "grant": None}},
    "extra key": {"results": {"method": ALLOWED | {"more": 1}, "grant": ALL_GRANTED | {"more": 1}}},
    "a list": {"raw": b"[]"},
    "truncated": {"raw": b'{"result": {"allow": tr'},
    "not UTF-8": {"raw": b"\xff\xfe"},
    "error 500": {"status": 500},
    "not found": {"status": 404},
    "wrong revision": {"revision": "another"},
    "slow": {"delay_s": 5.0},
}


@pytest.mark.parametrize("breakage", BREAKAGES.values(), ids=BREAKAGES)
async def test_a_broken_opa_is_a_refusal_in_time(
    fake: tuple[FakeOpa, OpaEngine, FakeClock], breakage: dict[str, object]
) -> None:
    opa, engine, _ = fake
    for name, value in breakage.items():
        setattr(opa, name, value)
    decider = Decider(FixedPolicy(engine, BUNDLE), CATALOGUE, world(marks()), FakeClock())
    rule = CATALOGUE.find(GET_REPORT)
    assert rule is not None
    started = time.monotonic()
    with pytest.raises(UnavailableError) as refused:
        await decider.decide(caller(), rule, Justification("INVESTIGATION"))
    assert refused.value.reason == "POLICY_UNAVAILABLE"
    assert time.monotonic() - started < REFUSED_WITHIN_S


async def test_the_breaker_spares_a_dead_opa_and_tries_again(fake: tuple[FakeOpa, OpaEngine, FakeClock]) -> None:
    opa, engine, clock = fake
    opa.status = 500
    for _ in range(FAILURES):
        with pytest.raises(UnavailableError):
            await engine.method(b"{}")
    asked = opa.asked
    with pytest.raises(UnavailableError):
        await engine.method(b"{}")
    assert opa.asked == asked
    opa.status = 200
    clock.pass_us(PAUSE_US)
    assert (await engine.method(b"{}")).decision_id == "d-1"
    assert (await engine.method(b"{}")).document == ALLOWED


def test_only_one_call_tries_in_each_pause() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.note(answered=False)
    clock.pass_us(PAUSE_US)
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    assert PAUSE_US <= 2_000_000


async def test_a_server_with_other_policies_does_not_start(tmp_path: Path) -> None:
    other = PolicyBundle(
        tuple((name, text + "\n# changed\n") for name, text in BUNDLE.modules),
        BUNDLE.data,
        "another revision",
        BUNDLE.rules,
        BUNDLE.roles,
    )
    other.write(tmp_path)
    with running_opa(tmp_path) as url:
        engine = OpaEngine(BUNDLE, OpaAddress(url), SystemClock(), deadline_s=PATIENT_S)
        with pytest.raises(UnavailableError) as refused:
            await engine.start()
        await engine.close()
    assert "another bundle" in refused.value.detail


async def test_a_unix_socket_serves_too(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path / "bundle")
    socket = tmp_path / "opa.sock"
    with running_opa(tmp_path / "bundle", socket_path=socket) as url:
        engine = OpaEngine(BUNDLE, OpaAddress(url), SystemClock(), deadline_s=PATIENT_S)
        await engine.start()
        await engine.close()


async def test_nobody_listening_is_a_refusal() -> None:
    engine = OpaEngine(BUNDLE, OpaAddress("http://127.0.0.1:9"), SystemClock())
    with pytest.raises(UnavailableError):
        await engine.start()
    await engine.close()


@pytest.mark.parametrize(
    "url", ["http://opa.example:8181", "http://10.0.0.1:8181", "ftp://127.0.0.1", "127.0.0.1:8181", "unix://relative"]
)
def test_policy_is_not_asked_in_the_clear_over_a_network(url: str) -> None:
    with pytest.raises(ValueError, match=r"OPA|HTTP"):
        OpaAddress(url)


def test_allow_all_has_the_agreed_shape() -> None:
    AnswerReader(BUNDLE.rules, DECIDED_CLASSES).grant(ALL_GRANTED)
