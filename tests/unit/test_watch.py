"""The watch over a real database: another process's commits are seen, and a database that does not answer confirms
nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker import watch as watch_module
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from broker.domain.standing import AGENCY, CERTIFICATE, ISSUER, TOKEN, USER, Revocation, Target
from broker.identify import standing as standing_module
from broker.identify.standing import Standing
from broker.store import registry, revocations
from broker.store.store import Store
from broker.watch import Watch
from tests.support.house import until

TARGETS = (
    Target(CERTIFICATE, ("ab" * 32,)),
    Target(USER, ("police.example/north", "PC.Ash")),
    Target(TOKEN, ("https://issuer.example", "t\x1f1")),
    Target(ISSUER, ("https://issuer.example",)),
    Target(AGENCY, ("police.example/south",)),
)


class Bench:
    """Two processes' stores on one database, and the watch of one of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own, self.other = Store.open(path, SystemClock()), Store.open(path, SystemClock())
        self.standing = Standing(SystemClock(), self.own.revoked())
        self.told: list[str] = []
        self.served: list[bool] = []
        self.watch = Watch(
            self.own,
            self.standing,
            [self._broken, lambda: self.told.append("changed")],
            recheck=lambda: self.told.append("recheck"),
            serving=self._serving,
        )

    def _broken(self) -> None:
        raise KeyError("a listener with a defect")

    async def _serving(self, serving: bool) -> None:
        self.served.append(serving)

    async def revoke(self, target: Target, number: int) -> None:
        def work(tx: Any) -> None:
            seq = registry.add_change(tx.driver, f"{number:032x}", "REVOKED", "", 0)
            revocations.add(tx.driver, Revocation(f"{number:032x}", target, "", "why", "a/b", "u", 7), seq)

        await self.other.write(work)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "store.db")
    yield made
    made.own.close()
    made.other.close()


async def test_another_processes_revocations_are_in_force_after_a_look(bench: Bench) -> None:
    """MUST 1: every kind; and all listeners are told although one of them fails."""
    bench.watch.look()
    bench.told.clear()
    for number, target in enumerate(TARGETS):
        await bench.revoke(target, number)
        bench.watch.look()
    now = bench.standing.current
    assert now.certificates == {bytes.fromhex("ab" * 32)}
    assert now.holds_user("police.example/north", "pc.ash")
    assert now.tokens == {("https://issuer.example", "t\x1f1")}
    assert (now.issuers, now.agencies) == ({"https://issuer.example"}, {"police.example/south"})
    assert bench.told == ["changed", "recheck"] * len(TARGETS)


async def test_a_glance_sees_it_too_and_confirms_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 1 and 2."""
    bench.watch.look()
    monkeypatch.setattr(bench.standing, "confirm", lambda: pytest.fail("a glance confirmed"))
    await bench.revoke(TARGETS[4], 1)
    bench.watch.glance()
    assert bench.standing.current.agencies == {"police.example/south"}


async def test_other_processes_commits_wake_who_follows_the_feed(bench: Bench) -> None:
    """A look rings once for what was committed since the last one; a glance does not."""
    bench.watch.look()
    await bench.revoke(TARGETS[4], 1)
    change = bench.own.change_signal()
    bench.watch.glance()
    await asyncio.sleep(0)
    assert not change.done()
    bench.watch.look()
    await asyncio.wait_for(change, 1)


async def test_a_lifted_revocation_is_gone_and_stays_on_file(bench: Bench) -> None:
    """`revocations.lift` is a change like any other."""
    await bench.revoke(TARGETS[4], 1)
    bench.watch.look()

    def lift(tx: Any) -> tuple[bool, bool]:
        seq = registry.add_change(tx.driver, "f" * 32, "RESTORED", "", 9)
        done = revocations.lift(tx.driver, f"{1:032x}", seq, 9)
        return done, revocations.lift(tx.driver, f"{1:032x}", seq, 9)

    assert await bench.other.write(lift) == (True, False)
    bench.watch.look()
    assert not bench.standing.current.agencies
    assert bench.own.look(lambda driver: revocations.page(driver, 2**62, 10)) == []
    with sqlite3.connect(bench.path) as file:
        assert file.execute("SELECT lifted_us, reason FROM revocation").fetchall() == [(9, "why")]
    file.close()


async def test_a_read_that_was_never_ended_is_no_standstill(bench: Bench) -> None:
    """MUST 2: a connection stuck in one moment would confirm for ever; it is freed, and the news is seen."""
    bench.watch.look()
    bench.own._driver.execute("BEGIN")
    bench.own._driver.execute("SELECT count(*) FROM revocation").fetchone()
    await bench.revoke(TARGETS[4], 1)
    bench.watch.look()
    assert bench.standing.current.agencies == {"police.example/south"}


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_database_out_of_its_place_is_a_look_that_fails(bench: Bench, how: str) -> None:
    """MUST 2: what others commit to the file that is there now would never be seen in the one that is held."""
    bench.watch.look()
    aside = bench.path.with_suffix(".aside")
    bench.path.rename(aside)
    if how == "replaced":
        bench.path.write_bytes(aside.read_bytes())
    with pytest.raises(UnavailableError):
        bench.watch.look()
    aside.replace(bench.path)
    bench.watch.look()


async def test_while_looks_fail_the_standing_grows_old_and_comes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST 2 and 3: whoever serves is told once each way; glances do not ask a registry that is known to fail."""
    monkeypatch.setattr(standing_module, "OLDEST_SECONDS", 0.3)
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.005)
    bench.watch.start()
    try:
        genuine, asked = bench.own.pulse, []

        def failing() -> int:
            asked.append(asyncio.get_running_loop().time())
            raise UnavailableError("STORE_UNAVAILABLE", "injected")

        bench.own.pulse = failing  # type: ignore[method-assign]
        await until(lambda: bench.served == [False])
        assert not bench.standing.is_current
        count = len(asked)
        for _ in range(100):
            bench.watch.glance()
            bench.watch.look_now()
        assert len(asked) == count
        bench.own.pulse = genuine  # type: ignore[method-assign]
        await until(lambda: bench.served == [False, True])
        assert bench.standing.is_current
    finally:
        await bench.watch.aclose()


async def test_streams_are_looked_at_without_any_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 3."""
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.001)
    bench.watch.start()
    bench.told.clear()
    try:
        await until(lambda: bench.told.count("recheck") >= 3)
    finally:
        await bench.watch.aclose()
    assert set(bench.told) == {"recheck"}


async def test_twice_a_second_is_the_rule() -> None:
    """MUST 1 and 3: forty looks a second, two rounds over the streams."""
    assert (watch_module.LOOK_SECONDS, watch_module.LOOK_SECONDS * watch_module.LOOKS_PER_ROUND) == (0.025, 0.5)
