"""What a search plans by and tests: counts of what is visible, bitmaps as SQL takes them, freshness to the number."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.domain.grant import Grant, StaleGrantError
from broker.domain.marks import MarkSet
from broker.store import counts, mark_sets
from broker.store.counts import VisibleCounts
from broker.store.fresh import require_current, require_fresh
from broker.store.mark_sets import flags, numbers
from broker.store.store import Store
from tests.support.grants import grant_all
from tests.support.reports import Desk, open_store, report


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


class Counted:
    """A driver that answers the two statements of `counts` and says how often the counts were read."""

    def __init__(self, held: dict[int, int]) -> None:
        self.held, self.newest, self.read = held, 1, 0

    in_transaction = True

    def execute(self, sql: str, parameters: tuple[Any, ...] = (), /) -> Any:
        rows: list[tuple[int, ...]] = [(self.newest,)]
        if "mark_set_count" in sql:
            self.read += 1
            rows = list(self.held.items())
        self._rows = rows
        return self

    executemany = execute

    def fetchone(self) -> Any:
        return self._rows[0]

    def fetchall(self) -> list[Any]:
        return self._rows


def test_the_sum_over_any_bitmap_is_the_sum_of_its_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rnd = random.Random(60)
    held = {number: rnd.choice((1, 1, 2, 3, 7, 8, 900)) for number in rnd.sample(range(500), 300)}
    known, driver = VisibleCounts(), Counted(held)
    for _ in range(200):
        visible = rnd.getrandbits(510) & rnd.getrandbits(510)
        total = sum(records for number, records in held.items() if visible >> number & 1)
        for limit, few in ((total, True), (total - 1, False), (total + 1, True)):
            monkeypatch.setattr(counts, "FEW", limit)
            assert known.few(driver, visible) == few
    assert driver.read == 1
    assert known.few(driver, 0)


def test_counts_are_read_again_when_the_store_has_grown_by_a_sixty_fourth() -> None:
    known, driver = VisibleCounts(), Counted({0: counts.FEW})
    for newest, reads in ((1, 1), (1_001, 1), (1_002, 2), (2_002, 2), (128_000, 3), (130_000, 3), (130_001, 4)):
        driver.newest = newest
        assert known.few(driver, 1)
        assert driver.read == reads, newest
    driver.held = {0: counts.FEW + 1}
    driver.newest *= 2
    assert not known.few(driver, 1)


def test_nothing_stored_is_few() -> None:
    driver = Counted({})
    assert VisibleCounts().few(driver, (1 << 300) - 1)


@pytest.mark.parametrize("held", [(), (0,), (7,), (8,), (0, 63, 64, 1_000), (234_999,)])
def test_bitmaps_are_what_sql_takes(held: tuple[int, ...]) -> None:
    bitmap = sum(1 << number for number in held)
    marked = flags(bitmap)
    assert len(marked) == max(held, default=0) + 1
    assert {number for number, bit in enumerate(marked) if bit == 1} == set(held)
    assert set(marked) <= {0, 1}
    assert json.loads(numbers(bitmap)) == sorted(held)


async def test_a_search_counts_what_the_store_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(store)
    for number in range(3):
        await desk.submit(report(f"r{number}"))
    grant = grant_all(store)
    for limit, few in ((3, True), (2, False)):
        monkeypatch.setattr(counts, "FEW", limit)
        with store._snapshot() as driver:
            assert VisibleCounts().few(driver, grant.rows) == few
            assert VisibleCounts().few(driver, 0)
        assert len(desk.search(grant)) == 3


def test_mark_sets_come_back_as_they_went_in_and_share_their_parts() -> None:
    first = MarkSet("report", "a/b", handling_conditions=frozenset({"A1", "S2"}), releasable_to=frozenset())
    again = [mark_sets._parse(mark_sets._canonical(first)) for _ in range(2)]
    assert again == [first, first]
    assert again[0].handling_conditions is again[1].handling_conditions
    assert again[0].originator is again[1].originator
    silent = MarkSet("report", "a/b")
    assert mark_sets._parse(mark_sets._canonical(silent)) == silent != first


async def test_a_grant_is_fresh_to_the_number(store: Store) -> None:
    await Desk(store).submit(report())
    grant = grant_all(store)
    with store._snapshot() as driver:
        require_fresh(driver, grant)
        require_current(driver, grant)
        for step in (-1, 1):
            for name in ("data_revision", "policy_epoch", "watermark"):
                moved = _moved(grant, name, step)
                with pytest.raises(StaleGrantError):
                    require_fresh(driver, moved)
                if name == "watermark":
                    require_current(driver, moved)
                else:
                    with pytest.raises(StaleGrantError):
                        require_current(driver, moved)


def _moved(grant: Grant, name: str, step: int) -> Grant:
    return replace(grant, **{name: getattr(grant, name) + step})
