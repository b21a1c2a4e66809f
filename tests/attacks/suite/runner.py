"""Runs cases against a target, a few at a time, with good callers in between, and times each.

A case that takes too long is run once more alone: the machine may have been busy. A second time it is a hang.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence

from entente_tlog import proof
from entente_tlog.errors import TlogError
from entente_tlog.receipt import LogKey, parse_receipt
from tests.attacks.suite.case import ACCEPTED, Case, End, Need, Observed, Result
from tests.attacks.suite.target import Target
from tests.attacks.suite.wire import ClientCannotError, HandshakeRefusedError

AT_ONCE = 6
# After so many attacks a good caller is served, besides the suite's own positive controls.
PULSE_EVERY = 25
_TRIES_AT_A_LIMIT = 5


async def run(target: Target, cases: Sequence[Case], *, at_once: int = AT_ONCE) -> list[Result]:
    """Every case's result, in the order of the cases that could be run."""
    queue = list(enumerate(_spread(cases)))[::-1]
    results: dict[int, Result] = {}

    async def work() -> None:
        while queue:
            number, case = queue.pop()
            results[number] = await attempt(target, case)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    for number, result in results.items():
        if result.seconds > result.case.longest:
            results[number] = await attempt(target, result.case)
    return [results[number] for number in sorted(results)]


def _spread(cases: Sequence[Case]) -> Iterator[Case]:
    """The cases with a pulse of a good caller between them."""
    for number, case in enumerate(cases):
        if number % PULSE_EVERY == 0:
            yield pulse(number)
        yield case


def pulse(number: int) -> Case:
    """A good caller on the shared connection."""
    return Case("pulse", f"a good caller before case {number}", ACCEPTED, Target.good, frozenset({Need.TOKEN}))


async def attempt(target: Target, case: Case) -> Result:
    """One case. Whatever is thrown is a result too."""
    for _ in range(_TRIES_AT_A_LIMIT):
        began = time.perf_counter()
        observed = await _observe(target, case)
        seconds = time.perf_counter() - began
        if observed.reason != "LIMIT_EXCEEDED" or "LIMIT_EXCEEDED" in case.expected.reasons:
            break
        # A deployment may count failed tokens: the suite waits as it is told to.
        await asyncio.sleep(1.1)
    return Result(case, observed, seconds, "" if case.in_process else _entry_fault(observed, target.log_keys))


async def _observe(target: Target, case: Case) -> Observed:
    try:
        return await case.attempt(target)
    except HandshakeRefusedError as refusal:
        return Observed(End.HANDSHAKE, text=str(refusal)[:100])
    except ClientCannotError as fault:
        return Observed(End.CRASH, text=f"this client cannot present it: {fault}"[:160])
    except TimeoutError:
        return Observed(End.HANG, text="time ran out")
    except Exception as fault:
        return Observed(End.CRASH, text=f"{type(fault).__name__}: {fault}"[:200])


def _entry_fault(observed: Observed, keys: Sequence[LogKey]) -> str:
    """What is wrong with the entry that a refusal's receipt proves; empty where it is right."""
    if observed.end is not End.REFUSED:
        return ""
    if not observed.receipt:
        return "no receipt"
    try:
        receipt = parse_receipt(observed.receipt)
        if keys:
            proof.verify(proof.parse(receipt.proof), receipt.leaf, [key.verifier for key in keys])
        leaf = json.loads(receipt.leaf)
    except (TlogError, ValueError) as fault:
        return f"its receipt does not hold: {fault}"
    wanted = {"exchange_id": observed.exchange_id, "reason": observed.reason, "outcome": "denied"}
    wrong = [name for name, value in wanted.items() if leaf.get(name) != value]
    return f"its entry differs in {', '.join(wrong)}" if wrong else ""
