"""OPA as it is deployed: unit and compose file run, over a Unix socket and mutual TLS, on signed bundles alone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from broker.authoring.opa_tool import free_port
from broker.decide.bundle import PolicyBundle
from broker.decide.bundle_signature import SigningKey
from broker.decide.opa import OpaAddress, OpaEngine
from broker.decide.publication import Publication
from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from broker.domain.policy import ADOPTED, PolicyOnFile
from certs import network
from certs.authority import Authority
from tests.support.live import ROOT
from tests.support.opa import UNIT, VERSION, FollowingOpa, on_this_machine, unit_arguments
from tests.support.policies import remarked
from tests.support.questions import BUNDLE

PATIENT_S = 20.0
KEY = SigningKey.generate()
COMPOSE = yaml.safe_load(UNIT.with_name("compose.yaml").read_text("utf-8"))
ARGUMENTS = {"unit": unit_arguments(), "compose": COMPOSE["services"]["opa"]["command"]}


def on_file(bundle: PolicyBundle, epoch: int, key: SigningKey | None = KEY) -> PolicyOnFile:
    return PolicyOnFile(epoch, bundle.revision, bundle.to_archive(key), ADOPTED, "", 0)


@contextlib.contextmanager
def following(folder: Path, arguments: list[str]) -> Iterator[FollowingOpa]:
    """OPA with these arguments on what is published in this folder."""
    (folder / "policy.pub").write_text(KEY.verification_key.pem)
    placed = on_this_machine(arguments, folder / "published", folder / "policy.pub", folder / "opa.sock")
    opa = FollowingOpa(placed, folder / "published")
    opa.start()
    try:
        yield opa
    finally:
        opa.close()


@contextlib.asynccontextmanager
async def answering(bundle: PolicyBundle, address: OpaAddress) -> AsyncIterator[OpaEngine]:
    """An engine that OPA answers from this bundle, however long that takes it."""
    engine = OpaEngine(bundle, address, SystemClock(), deadline_s=PATIENT_S)
    try:
        async with asyncio.timeout(PATIENT_S):
            while True:
                with contextlib.suppress(UnavailableError):
                    await engine.start()
                    break
                await asyncio.sleep(0.05)
        yield engine
    finally:
        await engine.close()


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
async def test_what_is_deployed_follows_what_is_published_and_takes_nothing_unsigned(
    tmp_path: Path, arguments: list[str]
) -> None:
    publication = Publication(tmp_path / "published")
    other, address = remarked("another"), OpaAddress(f"unix://{tmp_path}/opa.sock")
    with following(tmp_path, arguments) as opa:
        publication.write(on_file(BUNDLE, 1))
        async with answering(BUNDLE, address) as engine:
            publication.write(on_file(other, 2))
            async with answering(other, address):
                with pytest.raises(UnavailableError):
                    await engine.grant(b"{}")
            for epoch, key in ((3, SigningKey.generate()), (4, None)):
                publication.write(on_file(BUNDLE, epoch, key))
                async with asyncio.timeout(PATIENT_S):
                    while opa.said().count("Bundle load failed") < epoch - 2:
                        await asyncio.sleep(0.05)
                with pytest.raises(UnavailableError):
                    await engine.grant(b"{}")
            publication.write(on_file(BUNDLE, 5))
            async with answering(BUNDLE, address):
                pass


async def test_opa_is_asked_over_mutual_tls_by_a_private_root(tmp_path: Path) -> None:
    """client MUST 1: TLS 1.3, each side proves itself, and the root is the one that was named."""
    authority = Authority.create(tmp_path / "authority")
    server = authority.issue_broker()
    ours = authority.issue_agency("police.example", "northshire")
    Publication(tmp_path / "published").write(on_file(BUNDLE, 1))
    port = free_port()
    tls = [
        f"--addr=127.0.0.1:{port}",
        "--min-tls-version=1.3",
        "--authentication=tls",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--tls-ca-cert-file={ours.root}",
    ]
    arguments = [one for one in unit_arguments() if not one.startswith(("--addr", "--unix-socket-perm"))]
    url = f"https://localhost:{port}"
    with following(tmp_path, [*arguments, *tls]):
        async with answering(BUNDLE, OpaAddress(url, ours.certificate, ours.key, server.root)):
            pass
        strangers = Authority.create(tmp_path / "strangers")
        stranger = strangers.issue_agency("police.example", "northshire")
        for address in (
            OpaAddress(url, ca=server.root),
            OpaAddress(url, ours.certificate, ours.key),
            OpaAddress(url, ours.certificate, ours.key, stranger.root),
            OpaAddress(url, stranger.certificate, stranger.key, server.root),
        ):
            engine = OpaEngine(BUNDLE, address, SystemClock(), deadline_s=PATIENT_S)
            with pytest.raises(UnavailableError):
                await engine.start()
            await engine.close()


async def test_a_certificate_that_cannot_be_read_is_a_refusal(tmp_path: Path) -> None:
    address = OpaAddress("https://localhost:1", tmp_path / "none.pem", tmp_path / "none.key")
    with pytest.raises(UnavailableError):
        await OpaEngine(BUNDLE, address, SystemClock()).start()


def test_half_a_certificate_and_certificates_in_the_clear_are_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        OpaAddress("https://localhost:1", Path("a"), None)
    with pytest.raises(ValueError, match="certificates are for"):
        OpaAddress("http://127.0.0.1:1", Path("a"), Path("b"))


def test_a_broker_whose_opa_is_not_there_does_not_start_and_says_so(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    net = network.create(tmp_path / "net", f"127.0.0.1:{free_port()}", engine="opa", opa_url=url)
    command = [sys.executable, "-m", "broker", "--config", str(net.broker_config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 6, done.stderr
    assert "policy cannot be asked" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_both_deployments_run_the_same_command_and_the_pinned_version() -> None:
    assert ARGUMENTS["unit"] == ARGUMENTS["compose"]
    assert COMPOSE["services"]["opa"]["image"].startswith(f"openpolicyagent/opa:{VERSION.removeprefix('v')}-")


def test_the_units_are_in_order(tmp_path: Path) -> None:
    """As far as this machine's systemd can tell: paths and the broker itself are another machine's."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    for unit in ("entente-opa.service", "entente.service"):
        text = UNIT.with_name(unit).read_text("utf-8")
        for program in ("/usr/local/bin/opa", "/opt/entente/bin/entente"):
            text = text.replace(f"ExecStart={program}", "ExecStart=/bin/true")
        (tmp_path / unit).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.glob("*.service"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "entente" in line]
    assert not complaints
