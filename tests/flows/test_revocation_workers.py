"""Over all workers of a live broker: what a revoked identity still receives, and for how long. Figures are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.link import MAX_UNACKNOWLEDGED
from tests.bench.revocation import GOAL_MAX_MS, HEAD, measure_revocation
from tests.support.live import LiveBroker, live_broker

ENTENTE = (sys.executable, "-c", "from entente_sdk.cli import main; main()")


@pytest.mark.parametrize("kind", ["certificate", "user", "agency"])
async def test_within_a_second_over_all_workers(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """watch MUST 1: each stream and caller ends with the reason, wherever it is connected; nothing comes a second after
    the commit, and no stream was more than two batches ahead."""
    with live_broker(tmp_path / "network", workers=2) as broker:
        (figures,) = await measure_revocation(broker, kinds=(kind,), rounds=3, streams=8, callers=2)
    with capsys.disabled():
        print(f"\n{HEAD}\n{figures.row()}")
    assert figures.wrong == []
    assert figures.batches_open <= MAX_UNACKNOWLEDGED
    assert max(figures.data_after_commit) < GOAL_MAX_MS


def test_a_watch_on_each_worker_ends_and_says_why(tmp_path: Path) -> None:
    """From outside, with the command line alone: three watches, one `entente revoke user`, and each says the reason."""
    with live_broker(tmp_path / "network", workers=2) as broker:
        run(broker, "report", "submit", "--profile", "neighbourhood", *REPORT)
        watches = [started(broker, "report", "watch", "--profile", "regional", "-o", "json") for _ in range(3)]
        try:
            for watch in watches:
                assert watch.stdout is not None
                assert "Vans at night" in watch.stdout.readline()
            user = ("police.example/north-region", "ds.wren.hollis")
            run(broker, "revoke", "user", *user, "--reason", "left the force", "--profile", "registrar")
            for watch in watches:
                _, said = watch.communicate(timeout=20)
                assert watch.returncode == 3
                assert "(USER_REVOKED)" in said
        finally:
            for watch in watches:
                watch.kill()
                watch.communicate()
        listed = run(broker, "revocations", "--profile", "second-registrar")
        assert "user ds.wren.hollis" in listed
        assert "left the force" in listed
        refused = subprocess.run(
            [*ENTENTE, "whoami", "--profile", "regional"], env=environment(broker), capture_output=True, text=True
        )
        assert refused.returncode == 3
        assert "(USER_REVOKED)" in refused.stderr


REPORT = (
    *("--title", "Vans at night", "--line", "Seen twice", "--grade", "2B"),
    *("--classification", "OFFICIAL", "--handling", "P"),
)


def environment(broker: LiveBroker) -> dict[str, str]:
    return {**os.environ, "ENTENTE_CONFIG": str(broker.network.client_config), "COLUMNS": "200"}


def started(broker: LiveBroker, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*ENTENTE, *words], env=environment(broker), stdout=pipe, stderr=pipe, text=True)


def run(broker: LiveBroker, *words: str) -> str:
    done = subprocess.run([*ENTENTE, *words], env=environment(broker), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
