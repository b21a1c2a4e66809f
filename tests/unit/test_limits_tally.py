"""The counters that workers share: broker/limits/tally.py, its MUSTs by number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.domain.clock import SystemClock
from broker.limits import tally as tallies
from broker.limits.tally import SHARED_ROW, SLOTS, Cell, Tally, TallyError, location
from tests.support.exchanges import ShiftedClock
from tests.support.live import ROOT

Opener = Callable[..., Tally]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens tallies over one folder, and closes those that the test did not."""
    found: list[Tally] = []

    def opener(slot: int = 0, clock: SystemClock | None = None) -> Tally:
        found.append(Tally.open(tmp_path, slot, clock or SystemClock()))
        for one in found:
            one.beat()
        return found[-1]

    yield opener
    for one in found:
        one.close()


def test_workers_find_the_same_row_and_see_each_others_use(opened: Opener) -> None:
    """MUST 1."""
    first, second = opened(0), opened(1)
    row = first.row("police.example/a")
    assert (second.row("police.example/b"), second.row("police.example/a")) == (row + 1, row)
    first.add(row, Cell.REQUESTS, 3)
    second.add(row, Cell.REQUESTS, 4)
    second.add(row, Cell.STREAMS, 1)
    assert [one.total(row, Cell.REQUESTS) for one in (first, second)] == [7, 7]
    assert [one.held(row, Cell.STREAMS) for one in (first, second)] == [1, 1]
    assert first.total(row + 1, Cell.REQUESTS) == 0


WRITER = """
import sys
from pathlib import Path
from broker.domain.clock import SystemClock
from broker.limits.tally import Cell, Tally
tally = Tally.open(Path(sys.argv[1]), 1, SystemClock())
row = tally.row("police.example/a")
for _ in range(10_000):
    tally.add(row, Cell.REQUESTS, 1)
tally.add(row, Cell.STREAMS, 1)
print(row, flush=True)
sys.stdin.read()
"""


def process(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A program that waits until its standard input ends."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_another_process_counts_and_a_killed_one_holds_nothing(opened: Opener, tmp_path: Path) -> None:
    """MUSTs 1 and 4: a worker that was killed used what it used; its streams are gone."""
    clock = ShiftedClock()
    tally = opened(0, clock)
    row = tally.row("police.example/a")
    with process(WRITER, tmp_path) as other:
        assert other.stdout is not None
        assert int(other.stdout.readline()) == row
        tally.beat()
        assert (tally.total(row, Cell.REQUESTS), tally.held(row, Cell.STREAMS)) == (10_000, 1)
        other.kill()
    clock.ahead_s = 4
    tally.beat()
    assert (tally.total(row, Cell.REQUESTS), tally.held(row, Cell.STREAMS)) == (10_000, 0)


def test_a_worker_that_starts_clears_what_its_slot_held(opened: Opener, tmp_path: Path) -> None:
    """MUST 4."""
    tally = opened(0)
    row = tally.row("police.example/a")
    with process(WRITER, tmp_path) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    opened(1)
    assert (tally.total(row, Cell.REQUESTS), tally.held(row, Cell.STREAMS)) == (10_000, 0)


def test_a_worker_that_left_has_used_what_it_used(opened: Opener, tmp_path: Path) -> None:
    """MUST 4: a rolling restart gives nobody its quota again."""
    tally = opened(0)
    row = tally.row("police.example/a")
    leaving = Tally.open(tmp_path, 1, SystemClock())
    leaving.add(row, Cell.BYTES, 5)
    leaving.add(row, Cell.CALLS, 1)
    leaving.close()
    tally.beat()
    assert (tally.total(row, Cell.BYTES), tally.held(row, Cell.CALLS)) == (5, 0)


def test_when_the_table_is_full_further_agencies_share_a_row(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST 3."""
    monkeypatch.setattr(tallies, "ROWS", 3)
    tally = opened()
    rows = [tally.row(f"police.example/{name}") for name in "abcd"]
    assert rows == [1, 2, SHARED_ROW, SHARED_ROW]
    assert [tally.row(f"police.example/{name}") for name in "abcd"] == rows


LOCKER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 1)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_is_held_makes_nobody_wait(opened: Opener, tmp_path: Path) -> None:
    """MUSTs 2 and 3: a new agency shares a row while another worker, stopped in its tracks, holds the lock."""
    tally = opened()
    with process(LOCKER, location(tmp_path)) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert tally.row("police.example/a") == SHARED_ROW
        other.kill()
    assert tally.row("police.example/a") != SHARED_ROW


def test_the_last_worker_removes_the_file(tmp_path: Path) -> None:
    first, second = (Tally.open(tmp_path, slot, SystemClock()) for slot in range(2))
    first.close()
    assert location(tmp_path).exists()
    second.close()
    assert not location(tmp_path).exists()


def test_a_file_that_others_may_touch_is_refused(tmp_path: Path) -> None:
    """Whoever can write the counters can give itself any quota, or take everybody's."""
    path = location(tmp_path)
    path.write_bytes(b"")
    path.chmod(0o666)
    try:
        with pytest.raises(TallyError, match="remove it"):
            Tally.open(tmp_path, 0, SystemClock())
    finally:
        path.unlink()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.touch(0o600)
    location(tmp_path).symlink_to(target)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            Tally.open(tmp_path, 0, SystemClock())
        assert target.stat().st_size == 0
    finally:
        location(tmp_path).unlink()


def test_a_slot_beyond_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TallyError, match="at most"):
        Tally.open(tmp_path, SLOTS, SystemClock())


def test_without_shared_memory_the_file_lies_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "SHARED_MEMORY", tmp_path / "none")
    assert location(tmp_path) == tmp_path / "limits"
    Tally.open(tmp_path, 0, SystemClock()).close()
