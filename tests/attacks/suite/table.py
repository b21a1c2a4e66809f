"""The whole table: every case of every family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.attacks.suite import (
    certificates_chain,
    certificates_leaf,
    certificates_names,
    floods,
    limbo,
    pairs,
    paths,
    replays,
    revocations,
    tls,
    tokens_claims,
    tokens_form,
    tokens_header,
    wycheproof,
)
from tests.attacks.suite.case import Case, Need

# In order: what holds for long comes last, so that it does not stand in the way of the rest.
PARTS = (
    certificates_leaf,
    certificates_names,
    certificates_chain,
    limbo,
    tls,
    tokens_header,
    tokens_claims,
    tokens_form,
    wycheproof,
    pairs,
    paths,
    replays,
    revocations,
    floods,
)
# The counts: fewer cases is a failure of the suite itself.
LEAST = {"certificates": 250, "tokens": 600}


def table() -> list[Case]:
    """All cases. Raises ValueError where two have one name, so that a figure never counts one twice."""
    cases = [case for part in PARTS for case in part.cases()]
    names = Counter((case.family, case.name) for case in cases)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(f"cases of the same name: {twice[:5]}")
    return cases


def runnable(cases: Iterable[Case], offers: frozenset[Need]) -> tuple[list[Case], Counter[Need]]:
    """The cases that what we were given suffices for, and how many were left out for want of what."""
    chosen, missing = [], Counter[Need]()
    for case in cases:
        lacking = case.needs - offers
        if lacking:
            missing[sorted(lacking, key=lambda need: need.name)[0]] += 1
        else:
            chosen.append(case)
    return chosen, missing
