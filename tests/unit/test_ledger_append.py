"""Appending: group commit, refusals, poison, and that nobody is told before the fdatasync."""

from __future__ import annotations

import asyncio
import errno
import time
from itertools import pairwise
from pathlib import Path

import pytest

from broker.audit.files import Files
from broker.audit.linger import Linger
from broker.audit.log import Ledger, Limits, LockedLedgerError
from broker.domain.errors import UnavailableError
from entente_tlog.checkpoint import open_checkpoint
from entente_tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from entente_tlog.verify import verify_directory
from tests.support.ledgers import SIGNER, VKEY, FailingFiles, fill, leaf, open_ledger


async def test_an_append_gives_a_proof_under_a_signed_checkpoint(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for number in range(5):
        appended = await ledger.wait(ledger.append(leaf(number), b"sealed"))
        head = open_checkpoint(appended.checkpoint, [SIGNER.verifier])
        assert (appended.index, head.size) == (number, appended.size)
        verify_inclusion(leaf_hash(leaf(number)), number, head.size, appended.proof, head.root)
    await ledger.aclose()


class OrderedFiles(Files):
    """Remembers what became durable, and when."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def write(self, fd: int, data: bytes) -> None:
        self.events.append("write")
        super().write(fd, data)

    def fdatasync(self, fd: int) -> None:
        super().fdatasync(fd)
        self.events.append("fdatasync")


async def test_nobody_is_told_before_the_fdatasync(tmp_path: Path) -> None:
    """Audit invariant 1, at the ledger's edge."""
    files = OrderedFiles()
    ledger = open_ledger(tmp_path, files=files)
    files.events.clear()
    future = ledger.append(leaf(0), b"")
    future.add_done_callback(lambda _: files.events.append("told"))
    await ledger.wait(future)
    await asyncio.sleep(0)
    assert files.events[:3] == ["write", "fdatasync", "told"]
    await ledger.aclose()


async def test_64_waiters_share_fdatasyncs(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)

    async def caller() -> None:
        for number in range(20):
            await ledger.wait(ledger.append(leaf(number), b""))

    await asyncio.gather(*(caller() for _ in range(64)))
    assert len(ledger) == 64 * 20
    assert len(ledger) / ledger.commits > 8
    await ledger.aclose()


async def test_a_single_caller_hardly_ever_waits_for_company(tmp_path: Path) -> None:
    linger = Linger()
    waits = 0
    for _ in range(1000):
        waits += linger.begin()
        linger.flushed(1)
    assert waits < 20


async def test_a_cancelled_waiter_leaves_its_entry(tmp_path: Path) -> None:
    """Audit invariant 5: cancellation ends the wait, never the entry."""
    ledger = open_ledger(tmp_path)
    cancelled = ledger.append(leaf(0), b"")
    cancelled.cancel()
    after = await ledger.wait(ledger.append(leaf(1), b""))
    assert after.index == 1
    assert ledger.entry(0) == leaf(0)
    await ledger.aclose()


@pytest.mark.parametrize("operation", ["fdatasync", "write", "short write"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
async def test_a_failed_write_poisons_until_restart(tmp_path: Path, operation: str, code: int) -> None:
    """Audit invariants 3 and 4: the next fdatasync may lie, so nothing is accepted until recovery."""
    files = FailingFiles(operation, code)
    ledger = open_ledger(tmp_path, files=files)
    await fill(ledger, 3)
    files.failing = True
    growth = asyncio.create_task(ledger.grown(3))
    await asyncio.sleep(0)
    futures = [ledger.append(leaf(number), b"") for number in range(4)]
    for future in futures:
        with pytest.raises(UnavailableError) as refused:
            await ledger.wait(future)
        assert refused.value.reason == "LEDGER_UNAVAILABLE"
    with pytest.raises(UnavailableError):
        await growth
    files.failing = False
    with pytest.raises(UnavailableError):
        ledger.append(leaf(9), b"")
    assert len(ledger) == 3
    await ledger.aclose()
    again = open_ledger(tmp_path)
    assert again.entries(0, 3) == [leaf(0), leaf(1), leaf(2)]
    await fill(again, 1)
    await again.aclose()
    assert verify_directory(tmp_path, VKEY).ok


@pytest.mark.parametrize("operation", ["fsync", "rename"])
async def test_a_failure_while_publishing_poisons_too(tmp_path: Path, operation: str) -> None:
    """Audit invariant 4."""
    files = FailingFiles(operation)
    ledger = open_ledger(tmp_path, limits=Limits(reserve_bytes=0, publish_interval_us=0), files=files)
    files.failing = True
    await fill(ledger, 1)
    with pytest.raises(UnavailableError):
        await ledger.grown(len(ledger))
    with pytest.raises(UnavailableError):
        ledger.append(leaf(9), b"")
    await ledger.aclose()
    again = open_ledger(tmp_path)
    assert again.entry(0) == leaf(0)
    await again.aclose()


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    """Audit invariant 3."""
    ledger = open_ledger(tmp_path, limits=Limits(reserve_bytes=0, queue_entries=4))
    for number in range(4):
        ledger.append(leaf(number), b"")
    with pytest.raises(UnavailableError, match="LEDGER_UNAVAILABLE"):
        ledger.append(leaf(4), b"")
    await ledger.aclose()
    assert len(ledger) == 4


async def test_the_disk_reserve_refuses_at_once_and_clears(tmp_path: Path) -> None:
    """Audit invariant 3."""
    files = FailingFiles("none")
    ledger = open_ledger(tmp_path, limits=Limits(reserve_bytes=1 << 20), files=files)
    files.free = 1 << 10
    with pytest.raises(UnavailableError):
        ledger.append(leaf(0), b"")
    files.free = 1 << 30
    await asyncio.sleep(0.15)
    await ledger.wait(ledger.append(leaf(0), b""))
    await ledger.aclose()


class SlowFiles(Files):
    delay_s = 0.0

    def fdatasync(self, fd: int) -> None:
        time.sleep(self.delay_s)
        super().fdatasync(fd)


async def test_a_late_ledger_is_unavailable_in_time(tmp_path: Path) -> None:
    """Audit invariant 3: with the disk in a thread, a late answer is typed at the deadline."""
    files = SlowFiles()
    ledger = open_ledger(tmp_path, limits=Limits(reserve_bytes=0, slow_fsync_us=0, wait_s=0.05), files=files)
    files.delay_s = 0.4
    started = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError):
        await ledger.wait(ledger.append(leaf(0), b""))
    assert asyncio.get_running_loop().time() - started < 0.3
    files.delay_s = 0.0
    await ledger.aclose()
    assert len(ledger) == 1


async def test_a_slow_disk_moves_off_the_loop(tmp_path: Path) -> None:
    files = SlowFiles()
    ledger = open_ledger(tmp_path, limits=Limits(reserve_bytes=0, slow_fsync_us=5000), files=files)
    files.delay_s = 0.05
    await ledger.wait(ledger.append(leaf(0), b""))
    ticks = 0
    future = ledger.append(leaf(1), b"")
    while not future.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 10
    await ledger.aclose()


async def test_one_writer_for_each_log(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    with pytest.raises(LockedLedgerError):
        open_ledger(tmp_path)
    await ledger.aclose()
    with pytest.raises(UnavailableError, match="SHUTTING_DOWN"):
        ledger.append(leaf(0), b"")
    await open_ledger(tmp_path).aclose()


async def test_full_tiles_never_change_and_checkpoints_stay_consistent(tmp_path: Path) -> None:
    """Audit invariants 7 and 8."""
    seen: dict[Path, bytes] = {}
    heads = []
    for _ in range(4):
        ledger = open_ledger(tmp_path, limits=Limits(reserve_bytes=0, publish_interval_us=0))
        await fill(ledger, 300)
        heads.append(open_checkpoint(ledger.checkpoint, [SIGNER.verifier]))
        for old, new in pairwise(heads):
            proof = ledger.consistency_proof(old.size, new.size)
            verify_consistency(old.size, new.size, old.root, new.root, proof)
        await ledger.aclose()
        for path in (tmp_path / "tile").rglob("[0-9]*"):
            if path.is_file() and ".p" not in str(path):
                assert seen.setdefault(path, path.read_bytes()) == path.read_bytes()
    assert len(seen) == 8
    report = verify_directory(tmp_path, VKEY)
    assert (report.ok, report.size) == (True, 1200)


async def test_entries_and_sealed_parts_are_read_back_across_bundles(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    await fill(ledger, 700)
    await ledger.aclose()
    ledger: Ledger = open_ledger(tmp_path)
    await fill(ledger, 10)
    assert list(ledger.pairs(200, 710)) == [(leaf(n), b"sealed %d" % n) for n in range(200, 710)]
    assert ledger.sealed(3) == b"sealed 3"
    with pytest.raises(IndexError):
        ledger.entry(710)
    await ledger.aclose()
