"""The attack suite against a broker of its own: every case ends as it must, and there are enough of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.attacks.suite import own
from tests.attacks.suite.case import Need
from tests.attacks.suite.judge import Judgement, JudgeMissingError, judge
from tests.attacks.suite.table import LEAST, runnable, table
from tests.attacks.suite.whole import own_broker
from tests.support.live import LiveBroker
from tests.support.shared import shared_data


async def test_every_attack_ends_as_it_must(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 accepted, 0 crashes, 0 hangs, every refusal of the broker on record; good callers served all the while."""
    shared_data("x509-limbo")
    shared_data("wycheproof")
    report = await own_broker(tmp_path / "network")
    with capsys.disabled():
        print(f"\n{report}")
    assert report.good, str(report)
    assert not report.left_out
    assert {family: report.counted(family) >= least for family, least in LEAST.items()} == dict.fromkeys(LEAST, True)


def test_own_cases_alone_are_many() -> None:
    """150 tokens of our own, sent, beside the outside vectors; and the name of each case is its own."""
    sent = [
        case for case in table() if case.family == "tokens" and Need.VECTORS not in case.needs and not case.in_process
    ]
    assert len(sent) >= 150


def test_a_run_with_less_says_what_it_left_out() -> None:
    chosen, missing = runnable(table(), frozenset({Need.TOKEN}))
    assert chosen
    assert missing[Need.AUTHORITY] > 100
    assert missing[Need.ISSUER_KEY] > 100
    assert all(case.needs <= {Need.TOKEN} for case in chosen)


def test_sslyze_finds_nothing_that_is_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An outside judge of the broker's TLS, by Mozilla's modern profile."""
    broker = LiveBroker(own.prepare(tmp_path / "network")).start()
    try:
        found = _judged(broker)
    finally:
        broker.stop()
    with capsys.disabled():
        print(f"\n{found}")
    assert found.unexpected == []


def _judged(broker: LiveBroker) -> Judgement:
    try:
        return judge(own.target(broker))
    except JudgeMissingError as missing:
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(str(missing))
