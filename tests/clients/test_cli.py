"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import grpc
import pytest
import typer
import yaml
from typer.testing import CliRunner

from certs.authority import Authority
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_pb2
from entente.directory.v1 import directory_service_pb2 as directory
from entente_sdk.cli import application, extensions
from entente_tlog.note import Signer
from tests.clients.conftest import Run
from tests.support.fake_broker import FakeBroker, Refuse

ROOT = Path(__file__).resolve().parents[2]
WHO_AM_I = "/entente.directory.v1.DirectoryService/WhoAmI"
AGENCIES = "/entente.directory.v1.DirectoryService/"
Code = grpc.StatusCode


def test_whoami_shows_the_caller_and_what_may_be_done(run: Run, broker: FakeBroker) -> None:
    broker.answers[WHO_AM_I] = lambda _: directory.WhoAmIResponse(
        agency="police.example/northshire",
        user="o.reyes\x1b[31m",
        purposes=[exchange_pb2.PURPOSE_FRAUD],
        capabilities=[
            directory.Capability(method="a.B/GetReport", allowed=True, purposes=[exchange_pb2.PURPOSE_FRAUD]),
            directory.Capability(method="a.B/Submit", allowed=False, rule="role_permits"),
        ],
    )
    table = run("whoami")
    assert table.exit_code == 0
    assert "police.example/northshire" in table.stdout
    assert "o.reyes\\x1b[31m" in table.stdout
    assert "\x1b" not in table.stdout
    assert "refused by role_permits" in table.stdout
    assert "Receipt verified: exchange" in table.stdout
    document = json.loads(run("whoami", "-o", "json").stdout)
    assert document["user"] == "o.reyes\x1b[31m"
    assert document["receipt"]["origin"] == "broker.example/log/0"
    assert yaml.safe_load(run("whoami", "-o", "yaml").stdout)["purposes"] == ["PURPOSE_FRAUD"]


def test_whoami_warns_of_what_ends_and_of_what_does_not_count(run: Run, broker: FakeBroker) -> None:
    now = time.time()

    def answer(_: bytes) -> directory.WhoAmIResponse:
        me = directory.WhoAmIResponse(agency="a.example/b", roles=["analyst"], unappointed_roles=["auditor"])
        me.certificate_expire_time.FromSeconds(int(now) + 6 * 86400)
        me.expire_time.FromSeconds(int(now) + 300)
        me.broker_time.FromNanoseconds(int((time.time() - 90) * 1e9))
        return me

    broker.answers[WHO_AM_I] = answer
    shown = run("whoami").stdout
    assert "auditor: ask the broker's registrars for an appointment" in shown
    assert "Warning: the certificate ends within 7 days (in 6 days): renew it" in shown
    assert re.search(r"clock +90\.\d s ahead of the broker's", shown)
    assert "Warning: this machine's clock is 90 s ahead of the broker's: set it by NTP" in shown
    client = json.loads(run("whoami", "-o", "json").stdout)["client"]
    assert 89 < client["clock_ahead_seconds"] < 100
    assert len(client["warnings"]) == 3


def test_agencies_are_listed_and_shown(run: Run, broker: FakeBroker) -> None:
    agency = directory_pb2.Agency(name="a.example/b", country="GB", level=directory_pb2.AGENCY_LEVEL_REGIONAL)
    broker.answers[AGENCIES + "ListAgencies"] = lambda _: directory.ListAgenciesResponse(agencies=[agency])
    broker.answers[AGENCIES + "GetAgency"] = lambda _: directory.GetAgencyResponse(agency=agency)
    assert "regional" in run("agency", "list").stdout
    assert "a.example/b" in run("agency", "get", "a.example/b", "--purpose", "audit").stdout
    request = directory.GetAgencyRequest.FromString(broker.calls[-1].request)
    assert request.justification.purpose == exchange_pb2.PURPOSE_AUDIT


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Refuse(Code.UNAUTHENTICATED, "TOKEN_EXPIRED"), 3),
        (Refuse(Code.PERMISSION_DENIED, "METHOD_NOT_PERMITTED"), 4),
        (Refuse(Code.NOT_FOUND, "NOT_FOUND"), 4),
        (Refuse(Code.INVALID_ARGUMENT, "REQUEST_INVALID", fields=(("name", "is odd\x07"),)), 5),
        (Refuse(Code.ABORTED, "ETAG_STALE"), 5),
        (Refuse(Code.INTERNAL, "INTERNAL"), 6),
    ],
)
def test_refusals_have_words_and_an_exit_code(run: Run, broker: FakeBroker, step: Refuse, code: int) -> None:
    # Twice: a token that has expired is asked for anew once.
    broker.script[WHO_AM_I] = [step, step]
    result = run("whoami")
    assert result.exit_code == code
    assert result.stdout == ""
    assert step.reason in result.stderr
    assert re.search(r"Exchange: [0-9a-f]{32}", result.stderr)
    assert "What to do: " in result.stderr
    assert "\x07" not in result.stderr


def test_an_answer_without_a_valid_receipt_ends_with_seven(run: Run, broker: FakeBroker) -> None:
    broker.tamper = lambda path, request, raw: raw.replace(b"o.reyes", b"o.reyet")
    result = run("whoami")
    assert (result.exit_code, result.stdout) == (7, "")
    assert "another response" in result.stderr


def test_a_broker_that_is_not_there_ends_with_six(run: Run) -> None:
    result = run("whoami", env={"ENTENTE_ENDPOINT": "127.0.0.1:1"})
    assert result.exit_code == 6


def test_a_strangers_certificate_ends_with_three(run: Run, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "s").issue_agency("police.example", "northshire")
    found = run("whoami", env={"ENTENTE_CERTIFICATE": str(stranger.certificate), "ENTENTE_KEY": str(stranger.key)})
    assert found.exit_code == 3
    assert "does not accept the certificate" in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("whoami", "-o", "xml"),
        ("whoami", "--profile", "west"),
        ("agency", "list", "--purpose", "curiosity"),
        ("agency", "get"),
        ("nothing",),
        ("report", "search", "--since", "yesterday"),
        ("report", "search", "--name", "a", "--phone", "1"),
        ("audit", "verify", "nowhere"),
    ],
)
def test_usage_errors_end_with_two(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_config_explain_names_each_origin(run: Run, broker: FakeBroker) -> None:
    result = run(
        "config", "explain", "--case", "OP X", "-o", "json", env={"ENTENTE_PURPOSE": "fraud", "ENTENTE_X": "1"}
    )
    document = json.loads(result.stdout)
    config = broker.folder / "config.toml"
    assert document["endpoint"]["from"] == f"{config} [profiles.north]"
    assert document["purpose"] == {"value": "FRAUD", "from": "environment (ENTENTE_PURPOSE)"}
    assert document["case_reference"] == {"value": "OP X", "from": "command line (--case)"}
    assert document["output"]["from"] == "command line (--output)"
    assert document["server_name"] == {"value": None, "from": "not set"}
    table = run("config", "explain", env={"ENTENTE_X": "1"}).stdout
    assert "Ignored, not known here: ENTENTE_X" in table
    assert run("config", "path").stdout.strip() == str(config)


def test_config_explain_works_without_a_configuration(run: Run, tmp_path: Path) -> None:
    result = run("config", "explain", env={"ENTENTE_CONFIG": str(tmp_path / "none.toml")})
    assert result.exit_code == 0
    assert "Not set, but needed: endpoint, ca, log_key" in result.stdout


def test_a_missing_extra_is_said_in_words(run: Run, monkeypatch: pytest.MonkeyPatch, broker: FakeBroker) -> None:
    point = EntryPoint("serve", "no_such_module_here:serve", extensions.GROUP)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [point])
    found = CliRunner().invoke(application(), ["serve"])
    assert found.exit_code == 2
    assert "pip install 'entente[broker]'" in found.stderr
    monkeypatch.setattr(extensions, "entry_points", lambda group: [])
    assert "it is not installed" in CliRunner().invoke(application(), ["serve"]).stderr


def test_a_command_of_another_package_gets_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def greet(name: str = "nobody") -> None:
        """Say hello."""
        typer.echo(f"hello {name}")

    monkeypatch.setattr(extensions, "entry_points", lambda group: [EntryPoint("greet", "x:greet", group)])
    monkeypatch.setattr(extensions, "load", lambda name, point: greet)
    found = CliRunner().invoke(application(), ["greet", "--name", "there"])
    assert (found.exit_code, found.stdout) == (0, "hello there\n")
    assert "Say hello." in CliRunner().invoke(application(), ["greet", "--help"]).stdout


def test_the_program_itself_speaks_tls13_only(broker: FakeBroker) -> None:
    environ = {**os.environ, "ENTENTE_CONFIG": str(broker.config()), "PYTHONPATH": str(ROOT / "clients" / "python")}
    command = [sys.executable, "-m", "entente_sdk", "whoami", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agency"] == "police.example/northshire"
    assert done.stderr == ""
    environ["ENTENTE_LOG_KEY"] = str(Signer.generate("other.example/log").verifier)
    refused = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert (refused.returncode, refused.stdout) == (7, "")
    assert "RECEIPT_UNKNOWN_LOG" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_grpc_is_not_loaded_before_the_program_has_set_its_tls() -> None:
    code = "import entente_sdk.cli, sys; print('grpc' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.strip() == "False"


def test_http_is_loaded_only_where_an_issuer_is_asked() -> None:
    code = "from entente_sdk.cli import application; application(); import sys; print('httpx' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.strip() == "False"


def test_a_rule_is_said_in_words(run: Run) -> None:
    shown = run("rule", "provenance_role")
    assert shown.exit_code == 0
    assert "officers and analysts" in shown.stdout
    unknown = run("rule", "no_such_rule")
    assert unknown.exit_code == 2
    assert "entente rule" in unknown.stderr
