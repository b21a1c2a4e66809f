"""The attack suite against a broker of its own: every case ends as it must, and there are enough of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certs.authority import Authority
from certs.issuer import DEFAULT_AUDIENCE
from tests.attacks.suite import own
from tests.attacks.suite.__main__ import arguments, deployment
from tests.attacks.suite.case import Need
from tests.attacks.suite.judge import Judgement, JudgeMissingError, judge
from tests.attacks.suite.table import LEAST, runnable, table
from tests.attacks.suite.whole import against, own_broker
from tests.support.live import LiveBroker, live_broker
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


async def test_another_deployment_is_attacked_with_what_an_agency_has(tmp_path: Path) -> None:
    """By the command line's arguments: two workers, whose connections are replaced every second meanwhile."""
    limits = {"requests_per_second": 100_000, "burst": 100_000, "connection_age_seconds": 1}
    with live_broker(tmp_path / "network", workers=2, limits=limits) as broker:
        files = Authority.open(broker.network.directory / "authority").agency("police.example", "northshire")
        words = ["--target", broker.address, "--server-name", "localhost", "--ca", files.root]
        words += ["--certificate", files.certificate, "--key", files.key, "--issuer-key", files.issuer_key]
        words += ["--issuer", files.issuer, "--audience", DEFAULT_AUDIENCE]
        words += [word for key in broker.network.log_keys for word in ("--log-key", key)]
        target = await deployment(arguments().parse_args([str(word) for word in words]))
        tokens = [case for case in table() if case.family == "tokens" and not case.in_process]
        first = await target.shared()
        report = await against(target, tokens[:300])
    assert report.good, str(report)
    assert report.counted("tokens") > 250
    assert first.goaway, "its first connection was not replaced"


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
