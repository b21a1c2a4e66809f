"""Several processes on one store: made once, migrated once, and who cannot write is told so."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.config import load
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from broker.domain.marks import MarkSet
from broker.domain.slot import Slot
from broker.identify.standing import Standing
from broker.store import engine
from broker.store.drafts import NewVersion
from broker.store.store import Store
from broker.store.write import WriteTransaction
from broker.watch import Watch
from broker.workers.prepare import prepare
from certs import network
from tests.support.live import ROOT

OPEN = """
import sys
from pathlib import Path
from broker.domain.clock import SystemClock
from broker.store.store import Store
store = Store.open(Path(sys.argv[1]), SystemClock())
print(store.newest_change(), store.directory_revision)
store.close()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store.db", SystemClock())
    yield opened
    opened.close()


def add_record(transaction: WriteTransaction) -> None:
    marks = MarkSet("report", "police.example/north", "OFFICIAL")
    transaction.add(
        NewVersion(
            record_id="r1",
            record_type="report",
            originator=marks.originator,
            version=1,
            mark_set=transaction.intern([marks])[marks],
            portion_mark_sets=(),
            payload=b"",
            kind="SUBMITTED",
            exchange_id="e1",
            etag="1",
            time_us=1,
        )
    )


def test_processes_that_open_a_new_store_at_once_all_find_it_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path / "store.db")]
    opening = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in opening] == ["0 0\n"] * 4
    assert [process.returncode for process in opening] == [0] * 4


async def test_a_write_that_another_process_keeps_waiting_is_unavailable_and_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_MS", 100)
    ours = Store.open(tmp_path / "store.db", SystemClock())
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError) as caught:
        await ours.write(add_record)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert ours.newest_change() == 0, "reading goes on meanwhile"
    other.execute("COMMIT")
    other.close()
    await ours.write(add_record)
    assert ours.newest_change() == 1
    ours.close()


async def test_a_look_wakes_those_who_wait_for_what_another_process_commits(store: Store, tmp_path: Path) -> None:
    """The watch looks forty times a second; here it is told when."""

    async def nobody(_serving: bool) -> None:
        return

    watch = Watch(store, Standing(SystemClock()), recheck=lambda: None, serving=nobody)
    watch.look()
    signal = store.change_signal()
    other = Store.open(tmp_path / "store.db", SystemClock())
    watch.look()
    assert not signal.done(), "nothing was committed"
    await other.write(add_record)
    watch.look()
    await signal
    assert store.newest_change() == 1
    other.close()


def test_what_workers_share_is_made_before_they_start_and_never_made_again(tmp_path: Path) -> None:
    config = load(network.create(tmp_path / "network", workers=2).broker_config)
    data = config.broker.data
    prepare(config, 2, SystemClock())
    made = {path: path.read_bytes() for path in (data / "keys").iterdir()}
    assert {path.name.partition("-")[0] for path in made} >= {
        "log.key",
        "log",
        "blind.key",
        "seal",
        "cursor.key",
        "pseudonym.key",
    }
    for slot in map(Slot, range(3)):
        assert slot.public_key(data).exists()
        assert not slot.ledger(data).exists(), "a log is its worker's to open"
    prepare(config, 2, SystemClock())
    assert {path: path.read_bytes() for path in (data / "keys").iterdir()} == made


def test_the_keys_of_logs_to_come_are_printed_for_clients_beforehand(tmp_path: Path) -> None:
    net = network.create(tmp_path / "network")
    command = [sys.executable, "-m", "broker.workers.prepare", "--config", str(net.broker_config), "--workers", "2"]
    printed = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert tuple(printed[0].split()) == net.log_keys
    assert len(net.log_keys) == 3
    assert printed[0] == printed[1]
