"""The grant decides every generated pair of caller and marks as `decision.rego` does, one record at a time."""

from __future__ import annotations

from tests.support.naive import compare

CALLERS = 150
MARK_SETS = 60


async def test_grants_equal_the_naive_decision() -> None:
    seen = await compare(CALLERS, MARK_SETS, seed=22)
    assert seen["visible"] > 800  # the pairs are not all refusals
    # Every outcome occurs, often.
    assert all(seen[outcome] > 20 for outcome in ("full", "part", "pseudonym", "pointer", "silent")), seen
