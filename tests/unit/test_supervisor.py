"""The supervisor, over workers that do as the test says: who is started where, and what happens when one ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from broker.domain.clock import SystemClock
from broker.domain.slot import Slot
from broker.workers import supervisor as module
from broker.workers.supervisor import Supervisor
from tests.support.house import until


class FakeWorker:
    """A worker without a process. It serves at once, drains at once and stops at once, unless told otherwise."""

    def __init__(self, slot: Slot, *, serves: bool = True, serves_after: float = 0.0) -> None:
        self.slot = slot
        self.pid = 1000 + slot.number
        self.told: list[str] = []
        self._serves = serves
        self.heeds = True
        self._serves_after = serves_after
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not serves:
            self.end(1)

    @property
    def is_alive(self) -> bool:
        return not self._end.done()

    def end(self, status: int) -> None:
        if not self._end.done():
            self._end.set_result(status)

    async def served(self) -> bool:
        serving = asyncio.create_task(asyncio.sleep(self._serves_after))
        await asyncio.wait({serving, self._end}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        return self._serves and self.is_alive

    async def ended(self) -> int:
        return await asyncio.shield(self._end)

    def drain(self) -> None:
        self._hear("drain")

    def stop(self) -> None:
        self._hear("stop")

    def kill(self) -> None:
        self.told.append("kill")
        self.end(-9)

    def _hear(self, word: str) -> None:
        self.told.append(word)
        if self.heeds:
            self.end(0)


class Stage:
    """A supervisor of two workers, all workers that it ever started, and the slots that were recovered."""

    def __init__(self) -> None:
        self.started: list[FakeWorker] = []
        self.recovered: list[Slot] = []
        self.make: Callable[[Slot], FakeWorker] = FakeWorker
        self.supervisor = Supervisor(self._spawn, self._recover, 2, SystemClock())

    async def _spawn(self, slot: Slot) -> FakeWorker:
        self.started.append(self.make(slot))
        return self.started[-1]

    async def _recover(self, slots: list[Slot]) -> bool:
        self.recovered += slots
        return True

    @property
    def alive(self) -> list[int]:
        return sorted(worker.slot.number for worker in self.started if worker.is_alive)

    def at(self, number: int) -> FakeWorker:
        """The newest worker of a slot."""
        return [worker for worker in self.started if worker.slot == Slot(number)][-1]


@pytest_asyncio.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    made = Stage()
    yield made
    await made.supervisor.stop()
    assert made.alive == []


async def test_workers_start_on_the_first_slots_and_one_stays_free(stage: Stage) -> None:
    assert await stage.supervisor.start([Slot(2), Slot(7)])
    assert stage.alive == [0, 1]
    assert stage.recovered == [Slot(2), Slot(7)], "what earlier runs left open is closed"


async def test_a_worker_that_ends_is_started_again_on_its_slot(stage: Stage) -> None:
    """MUST 2."""
    await stage.supervisor.start([])
    stage.at(1).end(-9)
    await until(lambda: stage.alive == [0, 1])
    assert [worker.slot.number for worker in stage.started] == [0, 1, 1]


async def test_the_more_often_it_ends_the_later_it_starts_again(stage: Stage) -> None:
    """MUST 2."""
    await stage.supervisor.start([])
    with capture_logs() as lines:
        for started in range(3, 6):
            stage.at(0).end(1)
            await until(lambda wanted=started: len(stage.started) == wanted)  # type: ignore[misc]
    assert [line["again_in_s"] for line in lines if line["event"] == "worker_ended"] == [0.01, 0.02, 0.04]


async def test_when_one_cannot_start_nothing_serves(stage: Stage) -> None:
    """MUST 3."""
    stage.make = lambda slot: FakeWorker(slot, serves=slot != Slot(1))
    assert not await stage.supervisor.start([])
    await stage.supervisor.stop()
    assert stage.alive == []
    assert [worker.slot.number for worker in stage.started] == [0, 1], "it is not tried again"


async def test_what_nobody_expected_of_a_start_leaves_no_slot_empty(stage: Stage) -> None:
    """MUST 2."""
    await stage.supervisor.start([])
    failures = iter([OSError("too many processes"), RuntimeError("surprise")])

    def make(slot: Slot) -> FakeWorker:
        for error in failures:
            raise error
        return FakeWorker(slot)

    stage.make = make
    stage.at(0).end(1)
    await until(lambda: stage.alive == [0, 1])
    assert stage.alive == [0, 1]


async def test_a_replacement_that_takes_too_long_to_serve_is_stopped(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST 4."""
    await stage.supervisor.start([])
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    stage.make = lambda slot: FakeWorker(slot, serves_after=3600.0)
    assert not await stage.supervisor.restart(1.0)
    assert stage.alive == [0, 1]
    assert stage.at(2).told == ["kill"]


async def test_a_rolling_restart_replaces_each_by_one_that_serves(stage: Stage) -> None:
    """MUST 4."""
    await stage.supervisor.start([])
    assert await stage.supervisor.restart(1.0)
    assert [worker.slot.number for worker in stage.started] == [0, 1, 2, 0]
    assert [worker.told for worker in stage.started[:2]] == [["drain"], ["drain"]]
    assert stage.alive == [0, 2]
    assert await stage.supervisor.restart(1.0), "the slot that is free now is used next"
    assert stage.alive == [1, 2]


async def test_a_replacement_that_does_not_serve_ends_the_restart_and_nothing_else(stage: Stage) -> None:
    """MUST 4."""
    await stage.supervisor.start([])
    stage.make = lambda slot: FakeWorker(slot, serves=False)
    assert not await stage.supervisor.restart(1.0)
    assert stage.alive == [0, 1]
    assert all(worker.told == [] for worker in stage.started)
    stage.make = FakeWorker
    assert await stage.supervisor.restart(1.0), "and it may be asked again"


async def test_a_drain_that_takes_too_long_is_ended_and_its_log_recovered(stage: Stage) -> None:
    await stage.supervisor.start([])
    stage.make = FakeWorker
    stage.started[0].heeds = False
    assert await stage.supervisor.restart(0.05)
    assert stage.started[0].told == ["drain", "stop", "kill"]
    assert stage.recovered == [Slot(0)]


async def test_a_stop_in_the_middle_of_a_restart_stops_old_and_new(stage: Stage) -> None:
    await stage.supervisor.start([])
    for worker in stage.started:
        worker.heeds = False
    restart = asyncio.create_task(stage.supervisor.restart(60.0))
    await until(lambda: stage.alive == [0, 1, 2])
    restart.cancel()
    await asyncio.gather(restart, return_exceptions=True)
    assert not await stage.supervisor.stop(), "two had to be killed"
    assert stage.alive == []


async def test_a_worker_that_waits_to_be_started_again_is_not_started_after_a_stop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 60.0)
    await stage.supervisor.start([])
    stage.at(0).end(1)
    await until(lambda: stage.alive == [1])
    await asyncio.wait_for(stage.supervisor.stop(), 5)
    assert len(stage.started) == 2


async def test_a_night_of_failures_leaves_no_slot_empty(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 2: however often it failed, it is tried again; a wait is bounded before it is reckoned."""
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.0)
    await stage.supervisor.start([])
    stage.make = lambda slot: FakeWorker(slot, serves=len(stage.started) > 1100)
    stage.at(0).end(1)
    await until(lambda: stage.alive == [0, 1])
    assert stage.alive == [0, 1]


async def test_a_worker_that_never_serves_again_is_ended_and_another_one_tried(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST 2: also one that hangs while it starts."""
    await stage.supervisor.start([])
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    stage.make = lambda slot: FakeWorker(slot, serves_after=3600.0 if len(stage.started) == 2 else 0.0)
    stage.at(0).end(1)
    await until(lambda: len(stage.started) == 4)
    await until(lambda: stage.alive == [0, 1])
    assert stage.started[2].told == ["kill"]


async def test_a_worker_that_cannot_be_followed_is_ended_before_another_takes_its_slot(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST 2: two workers on one slot would both want its log."""

    async def unreadable(_: FakeWorker) -> bool:
        monkeypatch.undo()
        raise ValueError("a line without an end")

    await stage.supervisor.start([])
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(FakeWorker, "served", unreadable)
    stage.at(0).end(1)
    await until(lambda: len(stage.started) == 4)
    assert stage.started[2].told == ["kill"]
    await until(lambda: stage.alive == [0, 1])
