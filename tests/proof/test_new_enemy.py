"""Remove B's right, then add a secret: B never sees it, in either of two processes that share the store.

`make proof` asks for 100,000 racing reads and more; the mutant shows that the race is run at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.proof.enemy import Directory, add, opened, secret_id

ROOT = Path(__file__).resolve().parents[2]
SCALE = int(os.environ.get("PROOF_SCALE", "1"))
READERS = 2
CYCLES, READS, PAUSE_SECONDS = (24, 1_000, 0.01) if SCALE == 1 else (60, 12_000, 0.1)
DECOYS = 10**6


async def race(path: Path, *flags: str) -> Counter[str]:
    """What the readers say, who read while right after right was taken away and secret after secret was added."""
    async with opened(path) as (store, _):
        directory = Directory(CYCLES)
        directory.load(store)
        for cycle in range(CYCLES):
            await add(store, cycle, f"{DECOYS + cycle:032x}")
        readers = [await _reader(path, *flags) for _ in range(READERS)]
        for cycle in range(CYCLES):
            directory.removed.add(cycle)
            directory.load(store)
            await add(store, cycle, secret_id(cycle))
            # So that the reads are spread over all the cycles, however fast they are.
            await asyncio.sleep(PAUSE_SECONDS)
        return sum([await _said(reader) for reader in readers], Counter[str]())


async def _reader(path: Path, *flags: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tests.proof.enemy", str(path), str(READS), str(CYCLES), *flags]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "clients" / "python")))}
    made = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert made.stdout is not None
    assert await made.stdout.readline() == b"reading\n"
    return made


async def _said(reader: asyncio.subprocess.Process) -> Counter[str]:
    out, errors = await asyncio.wait_for(reader.communicate(), 300)
    assert reader.returncode == 0, errors.decode()
    return Counter(json.loads(out))


@pytest.mark.parametrize("round_", range(1 if SCALE == 1 else 5))
async def test_what_was_added_after_a_right_was_removed_is_never_seen(tmp_path: Path, round_: int) -> None:
    found = await race(tmp_path / "store.db")
    print(f"\n{found['reads']} racing reads in {READERS} processes, {CYCLES} rights removed: {dict(found)}")
    assert found["reads"] >= READERS * READS
    # The race was on: grants were found stale, and what B still may see was read.
    assert found["stale"] >= CYCLES
    assert found["decoys"]
    assert found["leaks"] == 0


async def test_a_lock_in_another_transaction_leaks(tmp_path: Path) -> None:
    found = await race(tmp_path / "store.db", "late")
    print(f"\nthe mutant, in {found['reads']} reads: {dict(found)}")
    assert found["leaks"]
