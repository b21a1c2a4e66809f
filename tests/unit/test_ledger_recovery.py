"""Restarting: what was acknowledged is there, a torn tail goes, and contradictions refuse to start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from broker.audit import journal
from broker.audit.journal import DamagedLedgerError
from broker.audit.log import Limits
from broker.audit.signer import HeadSigner, InconsistentTreeError
from entente_tlog.merkle import Tree, leaf_hash
from entente_tlog.tiles import Writer
from entente_tlog.verify import verify_directory
from tests.support.ledgers import SIGNER, VKEY, fill, leaf, open_ledger

UNPUBLISHED = Limits(reserve_bytes=0, publish_interval_us=3_600_000_000, group_entries=10)


@pytest.fixture
def crashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of 50 entries in five frames that died before it published any."""
    return _crash(tmp_path, monkeypatch)


def _crash(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def run() -> None:
        ledger = open_ledger(path, limits=UNPUBLISHED)
        await fill(ledger, 50)
        ledger._writer.failure = "crashed"  # closes without publishing
        await ledger.aclose()

    asyncio.run(run())
    return path


def _segment(path: Path) -> Path:
    (segment,) = journal.segments(path / "journal")
    return segment


async def test_everything_acknowledged_is_recovered(crashed: Path) -> None:
    """Audit invariant 5."""
    ledger = open_ledger(crashed)
    assert ledger.entries(0, 50) == [leaf(number) for number in range(50)]
    await fill(ledger, 5)
    await ledger.aclose()
    assert verify_directory(crashed, VKEY).entries_verified == 55


@pytest.mark.parametrize("cut", [1, 5, 100])
async def test_a_torn_tail_is_dropped(crashed: Path, cut: int) -> None:
    """Audit invariant 6: only the unacknowledged tail goes."""
    segment = _segment(crashed)
    raw = segment.read_bytes()
    whole = journal.encode(50, [leaf(50)], [b""], b"note")
    segment.write_bytes(raw + whole[: len(whole) - cut])
    ledger = open_ledger(crashed)
    assert len(ledger) == 50
    await ledger.aclose()


def test_a_bad_frame_before_a_valid_one_refuses_to_start(crashed: Path) -> None:
    """Audit invariant 6: stopping at the first bad CRC would lose acknowledged entries silently."""
    segment = _segment(crashed)
    raw = bytearray(segment.read_bytes())
    frames = [at for at in range(len(raw)) if raw.startswith(journal.MAGIC, at)]
    assert len(frames) == 5
    for at in frames[:-1]:
        for offset in (0, 4, 9, 40):
            bad = raw.copy()
            bad[at + offset] ^= 1
            segment.write_bytes(bad)
            with pytest.raises(DamagedLedgerError):
                open_ledger(crashed)
    segment.write_bytes(raw)


async def test_a_size_below_the_published_checkpoint_refuses_to_start(crashed: Path) -> None:
    """Audit invariant 6."""
    await open_ledger(crashed).aclose()
    for name in ("tile/0/000.p/50", "tile/entries/000.p/50", "sealed/000.p/50", "tree-state"):
        moved = crashed / name
        raw = moved.read_bytes()
        moved.unlink()
        with pytest.raises(DamagedLedgerError):
            open_ledger(crashed)
        moved.write_bytes(raw)
    await open_ledger(crashed).aclose()


async def test_a_tree_without_the_signed_root_refuses_to_start(crashed: Path) -> None:
    """Audit invariants 6 and 7."""
    await open_ledger(crashed).aclose()
    tile = crashed / "tile/0/000.p/50"
    raw = bytearray(tile.read_bytes())
    raw[100] ^= 1
    tile.write_bytes(raw)
    with pytest.raises(DamagedLedgerError):
        open_ledger(crashed)


def test_entries_forged_in_the_journal_refuse_to_start(crashed: Path) -> None:
    """Audit invariant 6: a valid CRC does not help; the signed checkpoint covers every entry before it."""
    segment = _segment(crashed)
    frames = list(journal.read(segment, is_last=True))
    forged = [
        journal.encode(frame.first, [leaf(999), *frame.leaves[1:]], frame.sealed, frame.checkpoint) for frame in frames
    ]
    segment.write_bytes(b"".join(forged))
    with pytest.raises(DamagedLedgerError):
        open_ledger(crashed)


def test_a_missing_frame_refuses_to_start(crashed: Path) -> None:
    segment = _segment(crashed)
    frames = list(journal.read(segment, is_last=True))
    kept = [journal.encode(f.first, f.leaves, f.sealed, f.checkpoint) for f in (*frames[:2], *frames[3:])]
    segment.write_bytes(b"".join(kept))
    with pytest.raises(DamagedLedgerError, match="missing"):
        open_ledger(crashed)


async def test_a_missing_journal_refuses_to_start(crashed: Path) -> None:
    await open_ledger(crashed).aclose()
    _segment(crashed).unlink()
    with pytest.raises(DamagedLedgerError, match="journal"):
        open_ledger(crashed)


@pytest.mark.parametrize("step", range(12))
async def test_a_crash_at_any_step_of_publishing_loses_nothing(
    crashed: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Audit invariants 5 and 8: bundles, tiles, tree state, checkpoint, each after the one before is durable."""
    calls = 0
    real = Writer.write

    def write(self: Writer, path: Path, data: bytes) -> None:
        nonlocal calls
        if calls == step:
            raise OSError("crashed")
        calls += 1
        real(self, path, data)

    monkeypatch.setattr(Writer, "write", write)
    with contextlib.suppress(OSError):
        await open_ledger(crashed).aclose()
    monkeypatch.undo()
    ledger = open_ledger(crashed)
    assert ledger.entries(0, 50) == [leaf(number) for number in range(50)]
    await ledger.aclose()
    assert verify_directory(crashed, VKEY).ok


CHILD = """
    import asyncio, sys
    from pathlib import Path
    from broker.audit.log import Ledger, Limits
    from tests.support.ledgers import SIGNER, leaf

    async def caller(ledger):
        while True:
            future = ledger.append(leaf(0), b"sealed")
            appended = await ledger.wait(future)
            sys.stdout.write(f"{appended.index}\\n")
            sys.stdout.flush()

    async def main():
        limits = Limits(reserve_bytes=0, publish_interval_us=20_000, segment_bytes=50_000)
        ledger = Ledger.open(Path(sys.argv[1]), SIGNER, limits=limits)
        await asyncio.gather(*(caller(ledger) for _ in range(16)))

    asyncio.run(main())
"""


def test_kill_9_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    """Audit invariant 5: SIGKILL at any moment; indexes are contiguous and never reused."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "clients/python")))}
    acknowledged: list[int] = []
    for attempt in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        acknowledged.append(int(first))
        for _ in range(150 * (attempt + 1)):
            acknowledged.append(int(child.stdout.readline()))
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                acknowledged.append(int(line))
        child.wait()
        child.stdout.close()

    async def reopen() -> int:
        ledger = open_ledger(tmp_path)
        size = len(ledger)
        await ledger.aclose()
        return size

    size = asyncio.run(reopen())
    assert len(set(acknowledged)) == len(acknowledged)
    assert max(acknowledged) < size
    report = verify_directory(tmp_path, VKEY)
    assert report.ok, report.problems
    assert report.entries_verified == size


def test_the_signer_refuses_a_smaller_or_other_tree() -> None:
    """Audit invariant 7."""
    tree, other = Tree(), Tree()
    for number in range(5):
        tree.append(leaf_hash(leaf(number)))
        other.append(leaf_hash(leaf(number + 1)))
    other.append(leaf_hash(b""))
    signer = HeadSigner(SIGNER, 0, Tree().root())
    signer.sign(tree)
    smaller = Tree()
    smaller.extend(tree.row(0, 0, 4))
    for wrong in (smaller, other):
        with pytest.raises(InconsistentTreeError):
            signer.sign(wrong)
