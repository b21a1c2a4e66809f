"""From an empty machine to an answer: a person logs in at a real provider, and a real broker serves the person."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certs import network
from certs.authority import Authority
from tests.support.live import LiveBroker, free_port, party_named
from tests.support.oidc import IdentityProvider, Person, oidc_provider

ROOT = Path(__file__).resolve().parents[2]
PARTY = party_named["regional"]
SECONDS = 60


@dataclass(frozen=True)
class Desk:
    """Where a person sits: a provider, a broker that has registered it, and a configuration."""

    provider: IdentityProvider
    environ: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "entente_sdk", *words]
        return subprocess.Popen(
            command, env=self.environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def json(self, *words: str, code: int = 0) -> Any:
        found, out, err = self.run(*words, "-o", "json")
        assert found == code, err + out
        return json.loads(out)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    net = network.create(folder / "net", f"127.0.0.1:{free_port()}")
    agency = Authority.open(net.directory / "authority").agency(*PARTY.agency.split("/"))
    with oidc_provider(
        folder / "idp", agency, people=[Person.of(PARTY)], workload=Person("gateway", roles=("analyst",))
    ) as provider:
        config = net.broker_config.read_text()
        config += f'\n[[issuers]]\nagency = "{PARTY.agency}"\nissuer = "{provider.issuer}"\n'
        config += f'jwks_uri = "{provider.jwks_uri}"\nca = "{provider.ca}"\n'
        net.broker_config.write_text(config)
        running = LiveBroker(net).start()
        try:
            yield Desk(provider, environment(folder, net, provider))
        finally:
            running.stop()


def environment(folder: Path, net: network.Network, provider: IdentityProvider) -> dict[str, str]:
    """The profile of the development network, with the provider in place of its token_command."""
    section = net.client_config.read_text().partition(f"[profiles.{PARTY.profile}]")[2].partition("[profiles.")[0]
    lines = [line for line in section.splitlines() if not line.startswith("token_command")]
    lines += [f'issuer = "{provider.issuer}"', f'issuer_ca = "{provider.ca}"']
    lines += [f'client_id = "{provider.device_client_id}"', 'scope = "openid exchange"']
    config = folder / "config.toml"
    config.write_text("\n".join([f"[profiles.{PARTY.profile}]", *lines]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ENTENTE_")}
    paths = f"{ROOT / 'clients' / 'python'}{os.pathsep}{ROOT}"
    return {**kept, "ENTENTE_CONFIG": str(config), "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": paths}


def test_a_person_logs_in_and_is_served(desk: Desk) -> None:
    code, _, err = desk.run("whoami")
    assert code == 3
    assert "entente login" in err

    login = desk.start("login", "-o", "json")
    assert login.stderr is not None
    shown = ""
    while (found := re.search(r"^ +([A-Z]{4}-[A-Z]{4})$", shown, re.MULTILINE)) is None:
        line = login.stderr.readline()
        assert line, shown
        shown += line
    assert f"Open {desk.provider.issuer}/device and enter the code" in shown
    desk.provider.approve_device(found[1], PARTY.user)
    out, err = login.communicate(timeout=SECONDS)
    assert login.returncode == 0, err
    assert json.loads(out)["subject"] == PARTY.user

    me = desk.json("whoami")
    assert (me["user"], me["agency"]) == (PARTY.user, PARTY.agency)
    steps = desk.json("doctor")["steps"]
    assert {step["verdict"] for step in steps} == {"OK"}

    assert desk.json("logout") == {"removed": True, "issuer_told": True}
    assert desk.run("whoami")[0] == 3


def test_a_workload_logs_in_by_its_certificate_alone(desk: Desk) -> None:
    workload = Desk(desk.provider, {**desk.environ, "ENTENTE_CLIENT_ID": "gateway", "ENTENTE_SCOPE": "exchange"})
    assert workload.json("login", "--client-credentials")["subject"] == "gateway"
    assert workload.json("whoami")["user"] == "gateway"
    stated = Desk(desk.provider, {**workload.environ, "ENTENTE_GRANT": "client-credentials", "XDG_STATE_HOME": "/none"})
    assert stated.json("whoami")["user"] == "gateway", "a profile that states the grant needs no login and no state"
