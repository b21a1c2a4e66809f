"""A policy that two registrars adopt at one worker is in force at every worker within a second, also on a real OPA."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from broker.decide.bundle import PolicyBundle, policy_folder
from certs import network
from entente.report.v1 import report_service_pb2 as reports
from tests.support.exchanges import GET, NATIONAL, OFFICER, SUBMIT, Remote, ask, getting, submission
from tests.support.live import LiveBroker, free_port, live_broker
from tests.support.opa import FollowingOpa, on_this_machine, unit_arguments
from tests.support.policies import adopt, configure_bundle, key_of, remarked, stricter
from tests.support.workers import remote_to_each

SHIPPED = PolicyBundle.load(policy_folder())
ROLLOUTS = 6
LIVENESS_S = 10.0


def entente(live: LiveBroker, profile: str, *words: str) -> str:
    """The command line, as a person of the network runs it."""
    environment = {
        **os.environ,
        "ENTENTE_CONFIG": str(live.network.client_config),
        "ENTENTE_PROFILE": profile,
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "entente_sdk", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def seen(remote: Remote, record_id: str) -> tuple[list[str], str]:
    """The names in a report as the national analyst is given them, and the revision that decided."""
    answer = await ask(remote, GET, getting(record_id), NATIONAL)
    report = reports.GetReportResponse.FromString(answer.raw).report.report
    return [one.person.name for one in report.entities if one.HasField("person")], answer.receipt.leaf["policy"][
        "bundle"
    ]


async def until_in_force(remote: Remote, record_id: str, revision: str, since: float) -> float:
    """Seconds until this worker answers under a revision; refusals on the way are typed."""
    while time.monotonic() - since < LIVENESS_S:
        try:
            if (await seen(remote, record_id))[1] == revision:
                return time.monotonic() - since
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        await asyncio.sleep(0.005)
    raise AssertionError("not in force")


async def test_what_two_registrars_adopt_by_hand_counts_in_every_worker(tmp_path: Path) -> None:
    """Seen from outside: the command line, two workers, and both revisions on the ledger."""
    other = stricter()
    with live_broker(tmp_path / "network", workers=2) as live:
        bundle = tmp_path / "bundle.tar.gz"
        bundle.write_bytes(other.to_archive(key_of(live.network.directory)))
        async with remote_to_each(live, NATIONAL) as workers:
            first = next(iter(workers.values()))
            record_id = (await ask(first, SUBMIT, submission(), OFFICER)).message.record_id
            before = [await seen(one, record_id) for one in workers.values()]
            assert {revision for _, revision in before} == {SHIPPED.revision}
            said = await asyncio.to_thread(
                entente, live, "registrar", "policy", "propose", str(bundle), "--note", "fewer names"
            )
            (proposal,) = re.findall(r"agency approve ([0-9a-f]{32})", said)
            await asyncio.to_thread(entente, live, "second-registrar", "agency", "approve", proposal)
            since = time.monotonic()
            for one in workers.values():
                await until_in_force(one, record_id, other.revision, since)
            after = [await seen(one, record_id) for one in workers.values()]
            assert after[0] == after[1] != before[0] == before[1]
            shown = await asyncio.to_thread(entente, live, "registrar", "policy", "show")
            assert other.revision in shown
            assert "fewer names" in shown


async def rolled_out(live: LiveBroker) -> list[float]:
    """Several rollouts over one network: how long each worker took to answer under each."""
    took: list[float] = []
    async with remote_to_each(live, NATIONAL) as workers:
        first = next(iter(workers.values()))
        record_id = (await ask(first, SUBMIT, submission(), OFFICER)).message.record_id
        for number in range(ROLLOUTS):
            bundle = remarked(f"rollout {number}")
            await adopt(first, bundle)
            since = time.monotonic()
            took += await asyncio.gather(
                *(until_in_force(one, record_id, bundle.revision, since) for one in workers.values())
            )
    return took


def report(engine: str, took: list[float]) -> None:
    took.sort()
    print(f"\n{engine}: in force after {took[len(took) // 2] * 1000:.0f} ms (median), {took[-1] * 1000:.0f} ms at most")


async def test_every_worker_follows_with_the_embedded_engine(tmp_path: Path) -> None:
    with live_broker(tmp_path / "network", workers=2) as live:
        report("embedded, 2 workers", await rolled_out(live))


@pytest.fixture
def beside_opa(tmp_path: Path) -> Iterator[tuple[LiveBroker, FollowingOpa]]:
    """Two workers and a real OPA over a Unix socket, as the unit in deploy/ runs it, from a signed bundle."""
    socket, folder = tmp_path / "opa.sock", tmp_path / "network"
    net = network.create(folder, f"127.0.0.1:{free_port()}", engine="opa", opa_url=f"unix://{socket}", workers=2)
    # Tests share their machine: how soon OPA must answer is asked in tests/policy.
    configure_bundle(folder, SHIPPED, "deadline_milliseconds = 10000")
    published = folder / "data" / "policy"
    arguments = on_this_machine(unit_arguments(), published, folder / "authority" / "policy.pub", socket)
    opa, live = FollowingOpa(arguments, published), LiveBroker(net, workers=2)
    opa.start()
    try:
        yield live.start(), opa
    finally:
        if live.running():
            live.stop()
        opa.close()


async def test_every_worker_follows_with_a_real_opa(beside_opa: tuple[LiveBroker, FollowingOpa]) -> None:
    live, opa = beside_opa
    report("OPA over a Unix socket, 2 workers", await rolled_out(live))
    assert "Bundle load failed" not in opa.said()
