"""What a decider is asked beside a decision: mark sets, other methods, capabilities; and whose answers it reuses."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from broker.decide.cache import SingleFlight
from broker.decide.decider import Decider
from broker.decide.rollout import FixedPolicy, PolicyNow
from broker.domain.errors import DecisionError, UnavailableError
from broker.domain.exchange import Justification
from tests.support.engines import ALLOWED, AnsweringEngine, own_records
from tests.support.questions import AGENCIES, BUNDLE, CATALOGUE, GET_REPORT, FakeClock, caller, marks, world

REFUSED: dict[str, Any] = ALLOWED | {"allow": False, "rule": "role_permits"}
RULE = next(rule for rule in CATALOGUE if rule.path == GET_REPORT)
SAID = Justification("INVESTIGATION")
SETS = (marks(AGENCIES[0]), marks(AGENCIES[1]), marks(AGENCIES[2]))


async def started(engine: AnsweringEngine) -> tuple[Decider, FixedPolicy]:
    policies = FixedPolicy(engine, BUNDLE)
    decider = Decider(policies, CATALOGUE, world(*SETS), FakeClock())
    await decider.start()
    return decider, policies


async def test_mark_sets_are_told_once_each_in_order_as_far_as_there_are_any() -> None:
    decider, _ = await started(AnsweringEngine())
    assert decider.marks([2, 0, 2, 9]) == [(0, SETS[0]), (2, SETS[2])]


async def test_whether_another_method_is_permitted_is_what_policy_says_of_it() -> None:
    engine = AnsweringEngine()
    decider, _ = await started(engine)
    assert await decider.permits(caller(), GET_REPORT, SAID) is True
    assert await decider.permits(caller(), "/entente.report.v1.ReportService/Nothing", SAID) is False
    engine.method_document = REFUSED
    assert (
        await decider.permits(caller(user="another", clearance="OFFICIAL"), GET_REPORT, Justification("FRAUD")) is False
    )
    engine.method_document = None
    with pytest.raises(UnavailableError):
        await decider.permits(caller(), GET_REPORT, Justification("AUDIT"))


async def test_whoever_has_no_purpose_is_told_which_rule_refuses() -> None:
    decider, _ = await started(AnsweringEngine(REFUSED))
    told = await decider.capabilities(caller(purposes=frozenset()))
    assert {(allowed, purposes, rule) for _, allowed, purposes, rule in told} == {(False, (), "role_permits")}
    assert [path for path, *_ in told] == [rule.path for rule in CATALOGUE]


@pytest.mark.parametrize(("name", "bundle"), [("other", ""), ("", "other")])
async def test_no_engine_and_no_policy_is_taken_for_another(name: str, bundle: str) -> None:
    first = AnsweringEngine()
    decider, policies = await started(first)
    assert (await decider.decide(caller(), RULE, SAID)).rows == 0b111
    other = AnsweringEngine(grant=own_records(AGENCIES[0]))
    other.name, other.bundle = name or first.name, bundle or first.bundle
    policies.current = PolicyNow.of(1, BUNDLE, other)
    assert (await decider.decide(caller(), RULE, SAID)).rows == 0b001
    refusing = AnsweringEngine(REFUSED)
    refusing.name, refusing.bundle = f"{other.name}{name}", f"{other.bundle}{bundle}"
    policies.current = PolicyNow.of(2, BUNDLE, refusing)
    with pytest.raises(DecisionError):
        await decider.decide(caller(), RULE, SAID)


async def test_a_failure_whose_callers_all_gave_up_is_not_reported_as_forgotten() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    flights, gate = SingleFlight(), asyncio.Event()

    async def fail() -> None:
        await gate.wait()
        raise ValueError

    waiting = asyncio.ensure_future(flights.run("key", fail))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    del waiting
    gc.collect()
    assert told == []
