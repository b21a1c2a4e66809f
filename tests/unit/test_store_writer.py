"""The writer's thread: all or nothing, one flush for many, cancelled means not done."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from broker.domain.errors import RequestError, UnavailableError
from broker.domain.marks import MarkSet
from broker.store.store import Store
from broker.store.write import WriteTransaction
from tests.support.reports import TickingClock


@pytest.fixture
def store(tmp_path: Path):
    opened = Store.open(tmp_path / "store.db", TickingClock())
    yield opened
    opened.close()


def marks(n: int) -> MarkSet:
    return MarkSet("report", f"police.example/a{n}", "OFFICIAL")


async def test_a_failed_write_is_undone_and_its_neighbours_are_not(store: Store) -> None:
    gate = threading.Event()

    def failing(tx: WriteTransaction) -> None:
        tx.intern([marks(99)])
        raise RequestError("REQUEST_INVALID", "no")

    # The first write holds the thread, so that the others are committed as one group.
    first = asyncio.ensure_future(store.write(lambda tx: gate.wait(5)))
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(store.write(lambda tx, n=n: dict(tx.intern([marks(n)])))) for n in range(5)]
    failed = asyncio.ensure_future(store.write(failing))
    late = asyncio.ensure_future(store.write(lambda tx: dict(tx.intern([marks(5)]))))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others, late)
    with pytest.raises(RequestError):
        await failed
    assert [found for _, found in store.mark_sets(0)] == [marks(n) for n in range(6)]


async def test_a_write_cancelled_before_it_began_is_not_done(store: Store) -> None:
    gate = threading.Event()
    first = asyncio.ensure_future(store.write(lambda tx: gate.wait(5)))
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(store.write(lambda tx: dict(tx.intern([marks(1)]))))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    gate.set()
    await first
    await store.write(lambda tx: None)
    assert second.cancelled()
    assert store.mark_sets(0) == []


async def test_a_database_error_is_unavailable_and_says_nothing_of_it(store: Store) -> None:
    def broken(tx: WriteTransaction) -> None:
        tx._driver.execute("INSERT INTO nothing_here VALUES (1)")

    with pytest.raises(UnavailableError) as refusal:
        await store.write(broken)
    assert refusal.value.reason == "STORE_UNAVAILABLE"
    assert "nothing_here" not in refusal.value.message
    assert "nothing_here" in refusal.value.detail
    await store.write(lambda tx: None)


async def test_a_read_that_the_database_refuses_is_unavailable(store: Store) -> None:
    store._driver.execute("PRAGMA query_only=OFF")
    await store.write(lambda tx: tx._driver.execute("DROP TABLE change"))
    with pytest.raises(UnavailableError):
        store.newest_change()


async def test_two_stores_on_one_file_see_each_others_writes(store: Store, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "store.db", TickingClock())
    await asyncio.gather(
        *(one.write(lambda tx, n=n: dict(tx.intern([marks(n)]))) for n, one in enumerate([store, other]))
    )
    assert store.mark_sets(0) == other.mark_sets(0)
    assert len(store.mark_sets(0)) == 2
    other.close()
