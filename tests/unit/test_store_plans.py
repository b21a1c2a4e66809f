"""How searches read: no table is passed from end to end, whatever the conditions."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from broker.store.search import _BY_SEQS, _Shape, _statement
from broker.store.store import Store
from tests.support.reports import TickingClock

SHAPES = [
    _Shape(values, words, 3 if words else 0, originator, reference, False, few)
    for values, words, originator, reference, few in product((0, 1, 2), *[(False, True)] * 4)
]


@pytest.fixture
def store(tmp_path: Path):
    opened = Store.open(tmp_path / "store.db", TickingClock())
    yield opened
    opened.close()


def test_every_search_is_led_by_an_index(store: Store) -> None:
    for shape in SHAPES:
        statement = _statement(shape)
        plan = store._driver.execute(f"EXPLAIN QUERY PLAN {statement._sql}", tuple(1 for _ in statement._names))
        steps = [row[3] for row in plan.fetchall()]
        assert steps
        assert not [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE" not in step], shape
        if shape.reference:
            continue
        if shape.few:
            assert any("INDEX record_mark_set" in step for step in steps), shape
        else:
            # Pages come in the order of the leading index: nothing is gathered first.
            assert not any("TEMP B-TREE" in step for step in steps), shape


def test_a_pages_versions_are_fetched_by_their_keys(store: Store) -> None:
    plan = store._driver.execute(f"EXPLAIN QUERY PLAN {_BY_SEQS._sql}", ("[1, 2]",)).fetchall()
    steps = [row[3] for row in plan]
    assert sum(step.startswith("SEARCH") for step in steps) == 2, steps
    assert not any(step.startswith("SCAN") and "each_" not in step for step in steps), steps
