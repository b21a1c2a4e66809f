"""The doctor says what is broken, why, and what to do, whatever is broken; and never shows a traceback."""

from __future__ import annotations

import json
import sqlite3
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from typer.testing import CliRunner

from broker.domain.standing import AGENCY
from certs import network
from certs.authority import Authority
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_service_pb2 as directory
from entente_sdk.cli import application
from entente_sdk.doctor.examination import STEPS, examine
from entente_sdk.doctor.finding import Finding
from entente_sdk.expiry import warning_days
from entente_sdk.settings import load_settings
from entente_tlog.note import Signer
from tests.clients.conftest import Run
from tests.support import broken_servers
from tests.support.fake_broker import FakeBroker, Refuse
from tests.support.fake_issuer import FakeIssuer
from tests.support.identities import Leaf, p256, pem, rsa_key, spiffe
from tests.support.live import LiveBroker, free_port, live_broker, party_named

Code = grpc.StatusCode
WHO_AM_I = "/entente.directory.v1.DirectoryService/WhoAmI"
ROOT = Path(__file__).resolve().parents[2]
MAY = directory.Capability(
    method="entente.report.v1.ReportService/GetReport", allowed=True, purposes=[exchange_pb2.PURPOSE_INVESTIGATION]
)
ITSELF = directory.Capability(
    method="entente.directory.v1.DirectoryService/WhoAmI", allowed=True, purposes=[exchange_pb2.PURPOSE_INVESTIGATION]
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def me(*capabilities: directory.Capability, ahead: float = 0.0, **more: Any) -> Callable[[bytes], Any]:
    def answer(_: bytes) -> directory.WhoAmIResponse:
        made = directory.WhoAmIResponse(
            agency="police.example/northshire", user="o.reyes", roles=["analyst"], capabilities=capabilities, **more
        )
        made.broker_time.FromNanoseconds(int((time.time() + ahead) * 1e9))
        return made

    return answer


@pytest.fixture
def broker(broker: FakeBroker) -> FakeBroker:
    broker.answers[WHO_AM_I] = me(MAY, ITSELF)
    return broker


def doctor(run: Run, *, code: int = 1, **settings: str) -> dict[str, dict[str, str]]:
    """The findings by step, with settings changed by the environment."""
    result = run("doctor", "-o", "json", env={f"ENTENTE_{name.upper()}": value for name, value in settings.items()})
    document = json.loads(result.stdout)
    assert result.exit_code == code, result.output
    assert document["ok"] == (code == 0)
    found = {finding["step"]: finding for finding in document["steps"]}
    assert tuple(found) == STEPS, "every step, in its order"
    for finding in found.values():
        assert finding["cause"]
        assert bool(finding["fix"]) == (finding["verdict"] in ("WARN", "FAIL")), finding
    return found


def verdicts(found: dict[str, dict[str, str]]) -> dict[str, str]:
    """Those that are not OK."""
    return {step: one["verdict"] for step, one in found.items() if one["verdict"] != "OK"}


def test_all_is_well(run: Run, broker: FakeBroker) -> None:
    found = doctor(run, code=0)
    assert verdicts(found) == {"issuer": "SKIP"}
    assert found["identity"]["cause"] == "o.reyes of police.example/northshire, as analyst"
    table = run("doctor")
    assert table.exit_code == 0
    assert "All is well." in table.stdout


def test_an_incomplete_configuration(run: Run, tmp_path: Path) -> None:
    found = doctor(run, config=str(tmp_path / "none.toml"))
    assert "endpoint and ca and log_key not set" in found["configuration"]["cause"]
    assert set(verdicts(found).values()) == {"FAIL", "SKIP"}


@pytest.mark.parametrize(
    "text", ["[profiles.north", "colour = 1", "default_profile = 'west'", "[profiles.a]\npurpose = 'x'"]
)
def test_a_configuration_that_cannot_be_read(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    found = doctor(run, config=str(path))
    assert str(path) in found["configuration"]["cause"]
    assert run("doctor", "-o", "xml", env={"ENTENTE_CONFIG": str(path)}).exit_code == 2


@pytest.mark.parametrize(("name", "value"), [("log_key", "nonsense"), ("endpoint", "broker.example")])
def test_a_setting_that_cannot_be_used(run: Run, name: str, value: str) -> None:
    found = doctor(run, **{name: value})
    assert name.replace("_", "") in found["configuration"]["cause"].replace("_", "")


def test_a_misspelt_variable_is_a_warning(run: Run) -> None:
    assert verdicts(doctor(run, code=0, certficate="x"))["configuration"] == "WARN"


def test_a_host_that_does_not_exist(run: Run) -> None:
    found = doctor(run, endpoint="no-such-host.invalid:7443")
    assert found["name"]["verdict"] == "FAIL"
    assert found["own certificate"]["verdict"] == "OK", "what needs no broker is examined all the same"
    assert found["token"]["verdict"] == "OK"
    assert found["policy"]["verdict"] == "SKIP"


def test_a_closed_port(run: Run) -> None:
    found = doctor(run, endpoint=f"127.0.0.1:{free_port()}")
    assert "nothing listens" in found["connection"]["cause"]


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (broken_servers.silent, "does not answer the TLS handshake"),
        (broken_servers.chatty, "does not speak TLS"),
        (broken_servers.rude, "hung up during the TLS handshake"),
    ],
)
def test_a_server_without_tls(run: Run, talk: broken_servers.Talk, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entente_sdk.doctor.tls.TRY_SECONDS", 0.5)
    with broken_servers.plain(talk) as address:
        found = doctor(run, endpoint=address)
    assert found["connection"]["verdict"] == "OK"
    assert found["tls"]["verdict"] == "FAIL"
    assert words in found["tls"]["cause"] or "does not speak TLS" in found["tls"]["cause"]


def test_a_server_of_tls_12(run: Run, broker: FakeBroker) -> None:
    pair = (broker.credentials.certificate, broker.credentials.key)
    with broken_servers.tls(*pair, version=ssl.TLSVersion.TLSv1_2) as address:
        found = doctor(run, endpoint=address)
    assert "speaks TLSv1.2 at most" in found["tls"]["cause"]


def test_a_server_without_http2(run: Run, broker: FakeBroker) -> None:
    pair = (broker.credentials.certificate, broker.credentials.key)
    with broken_servers.tls(*pair, version=ssl.TLSVersion.TLSv1_3, protocols=()) as address:
        found = doctor(run, endpoint=address)
    assert "but not HTTP/2" in found["tls"]["cause"]


def test_a_server_of_another_authority(run: Run, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "stranger")
    found = doctor(run, ca=str(stranger.root))
    assert "does not lead to ca" in found["server certificate"]["cause"]
    assert "CN=broker" in found["server certificate"]["cause"]
    assert "do not go on" in found["server certificate"]["fix"]


def test_a_server_of_another_name(run: Run) -> None:
    found = doctor(run, server_name="other.example")
    assert "is not for 'other.example', but for localhost, 127.0.0.1" in found["server certificate"]["cause"]


def test_a_server_certificate_that_has_ended(run: Run, broker: FakeBroker) -> None:
    ended = broker.authority.issue_broker(life=timedelta(milliseconds=1))
    time.sleep(1.1)
    with broken_servers.tls(ended.certificate, ended.key, version=ssl.TLSVersion.TLSv1_3) as address:
        found = doctor(run, endpoint=address)
    assert "the server's certificate ended on" in found["server certificate"]["cause"]


def test_a_server_certificate_that_ends_soon(run: Run, broker: FakeBroker) -> None:
    broker.script.clear()
    settings = settings_of(broker)
    later = time.time() + 25 * 86400
    found = {finding.step: finding for finding in examine(settings, lambda: later)}
    assert found["server certificate"].verdict == "WARN"
    assert found["own certificate"].verdict == "WARN"
    assert "ends in 5 days" in found["own certificate"].cause


def test_a_strangers_certificate(run: Run, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "s").issue_agency("police.example", "northshire")
    found = doctor(run, certificate=str(stranger.certificate), key=str(stranger.key))
    assert found["own certificate"]["verdict"] == "OK"
    assert "CERTIFICATE_REFUSED" in found["acceptance"]["cause"]
    assert "bound to another certificate" in found["token"]["cause"]


def test_a_certificate_that_is_due_is_not_renewed_by_looking(run: Run, broker: FakeBroker, tmp_path: Path) -> None:
    # Its life begins a minute before it is issued: two thirds of it have passed.
    broker.authority.issue_agency("police.example", "northshire", life=timedelta(seconds=30))
    ran = tmp_path / "ran"
    words = f"{sys.executable} -c \"open('{ran}', 'w')\""
    assert doctor(run, code=0, renew_command=words, token_file=str(broker.token_file()))
    time.sleep(0.5)
    assert not ran.exists()


def test_a_certificate_that_has_ended_is_not_renewed_by_looking(run: Run, broker: FakeBroker, tmp_path: Path) -> None:
    broker.authority.issue_agency("police.example", "northshire", life=timedelta(milliseconds=1))
    time.sleep(1.1)
    ran = tmp_path / "ran"
    words = f"{sys.executable} -c \"open('{ran}', 'w')\""
    found = doctor(run, renew_command=words, token_file=str(broker.token_file()))
    assert "it ended" in found["own certificate"]["cause"]
    assert found["acceptance"]["verdict"] == "FAIL"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("key", None, "key cannot be read"),
        ("key", b"nothing", "key does not hold"),
        ("key", "other", "key does not belong to certificate"),
        ("certificate", b"nothing", "certificate does not hold"),
        ("ca", b"nothing", "ca does not hold"),
    ],
)
def test_files_that_cannot_be_used(
    run: Run, tmp_path: Path, setting: str, content: bytes | str | None, words: str
) -> None:
    path = tmp_path / "file"
    if isinstance(content, str):
        path = Authority.create(tmp_path / "s").issue_agency("police.example", "northshire").key
    elif content is not None:
        path.write_bytes(content)
    found = doctor(run, **{setting: str(path)})
    assert any(words in finding["cause"] for finding in found.values()), found
    assert not any("examination itself" in finding["cause"] for finding in found.values()), found


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (Leaf(names=None), "not exactly one name"),
        (Leaf(names=[spiffe(), spiffe("beta")]), "not exactly one name"),
        (Leaf(usages=[x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), "not issued for clients"),
        (Leaf(usages=None), "not issued for clients"),
        (Leaf(key_usage=None), "its key usage"),
        (Leaf(ends=100 * 86400), "a life of 100 days"),
        (Leaf(key=rsa_key(1024)), "its key is not"),
    ],
)
def test_a_certificate_outside_the_agencies_profile(run: Run, tmp_path: Path, leaf: Leaf, words: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(leaf.pem())
    key.write_bytes(leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = doctor(run, certificate=str(certificate), key=str(key))
    assert words in found["own certificate"]["cause"]


def test_a_chain_that_is_too_long(run: Run, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(pem(*[Leaf().certificate()] * 4))
    key.write_bytes(p256("leaf").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = doctor(run, certificate=str(certificate), key=str(key))
    assert "a chain of 4 certificates" in found["own certificate"]["cause"]


def settings_of(broker: FakeBroker) -> Any:
    return load_settings(environ={"ENTENTE_CONFIG": str(broker.config())})


def by_step(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.step: finding for finding in findings}


@pytest.mark.parametrize(
    ("off", "verdict", "words"),
    [
        (600, "FAIL", "10 minutes ahead of"),
        (-600, "FAIL", "10 minutes behind"),
        (20, "WARN", "20 s ahead of"),
        (2, "OK", "differ by 2"),
    ],
)
def test_this_machines_clock(broker: FakeBroker, off: float, verdict: str, words: str) -> None:
    found = by_step(examine(settings_of(broker), lambda: time.time() + off))
    assert found["clock"].verdict == verdict
    assert words in found["clock"].cause
    assert found["log key"].verdict == "OK", "an answer's age is not judged: the clock is what is looked for"


def test_a_clock_is_told_from_a_refusal_too(run: Run, broker: FakeBroker) -> None:
    broker.ledger.clock_shift = timedelta(minutes=-10)
    broker.script[WHO_AM_I] = [Refuse(Code.UNAUTHENTICATED, "TOKEN_EXPIRED", read=False)] * 2
    found = doctor(run)
    assert "issued 10 minutes in the future of the broker's clock" in found["clock"]["cause"]
    assert "TOKEN_EXPIRED" in found["identity"]["cause"]


@pytest.mark.parametrize(("minutes", "words"), [(10, "10 minutes behind"), (-4, "4 minutes ahead of")])
def test_an_answer_without_a_time_is_timed_by_the_ledger(broker: FakeBroker, minutes: int, words: str) -> None:
    broker.answers[WHO_AM_I] = lambda _: directory.WhoAmIResponse(capabilities=[MAY])
    broker.ledger.clock_shift = timedelta(minutes=minutes)
    # The token's issuer has the broker's time: what differs is this machine.
    token = broker.agency.token_issuer().mint("o.reyes", now=int(time.time()) + 60 * min(minutes, 0))
    settings = settings_of(broker)
    (broker.folder / "token").write_text(token)
    found = by_step(examine(settings))
    assert words in found["clock"].cause
    assert found["log key"].verdict == "OK", "an old entry is not refused here: it shows the clock"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('locked out')", "locked out"),
        ("print('opaque')", "no JWT"),
        ("pass", "one access token"),
        ("print('e30.e30.x')", "no JWT"),
    ],
)
def test_a_token_source_that_fails(run: Run, broker: FakeBroker, script: str, words: str) -> None:
    lines = [line for line in (broker.folder / "config.toml").read_text().splitlines() if "token_file" not in line]
    command = json.dumps([sys.executable, "-c", script])
    (broker.folder / "config.toml").write_text("\n".join([*lines, f"token_command = {command}"]))
    found = doctor(run)
    assert words in found["token"]["cause"]


def test_a_token_that_has_ended(run: Run, broker: FakeBroker) -> None:
    path = broker.folder / "token"
    path.write_text(broker.agency.token_issuer().mint("o.reyes", now=int(time.time()) - 1000))
    assert "it ended 12 minutes ago" in doctor(run)["token"]["cause"]


def test_a_token_of_another_audience(run: Run) -> None:
    found = doctor(run, resource="urn:entente:broker:other")
    assert "not urn:entente:broker:other" in found["token"]["cause"]


def test_a_token_source_is_missing(run: Run, broker: FakeBroker) -> None:
    lines = [line for line in (broker.folder / "config.toml").read_text().splitlines() if "token_file" not in line]
    (broker.folder / "config.toml").write_text("\n".join(lines))
    found = doctor(run)
    assert "neither token_command nor token_file nor issuer" in found["token"]["cause"]
    assert found["clock"]["verdict"] == "SKIP"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Code.PERMISSION_DENIED, "AGENCY_UNKNOWN"),
        (Code.PERMISSION_DENIED, "AGENCY_LOCKED"),
        (Code.UNAUTHENTICATED, "USER_REVOKED"),
        (Code.UNAUTHENTICATED, "TOKEN_INVALID"),
        (Code.UNAUTHENTICATED, "CERTIFICATE_REVOKED"),
        (Code.UNAVAILABLE, "REVOCATIONS_UNAVAILABLE"),
    ],
)
def test_a_refusal_of_the_broker(run: Run, broker: FakeBroker, status: grpc.StatusCode, reason: str) -> None:
    broker.script[WHO_AM_I] = [Refuse(status, reason, "No.\x1b[31m")] * 4
    found = doctor(run)
    assert reason in found["identity"]["cause"]
    assert found["policy"]["verdict"] == "SKIP"
    assert found["log key"]["verdict"] == "OK", "the refusal has a receipt too"
    broker.script[WHO_AM_I] = [Refuse(status, reason, "No.\x1b[31m")] * 4
    table = run("doctor")
    assert "\x1b" not in table.stdout
    assert "What to do:" in table.stdout
    assert "Begin with the first of what fails: identity." in table.stdout


def test_a_log_key_of_another_broker(run: Run) -> None:
    found = doctor(run, log_key=str(Signer.generate("other.example/log").verifier))
    assert "RECEIPT_UNKNOWN_LOG" in found["log key"]["cause"]
    assert found["identity"]["verdict"] == found["policy"]["verdict"] == found["clock"]["verdict"] == "SKIP"


def test_nothing_may_be_called(run: Run, broker: FakeBroker) -> None:
    broker.answers[WHO_AM_I] = me(ITSELF)
    assert "no method may be called for INVESTIGATION" in doctor(run)["policy"]["cause"]
    broker.answers[WHO_AM_I] = me(MAY)
    assert "no method may be called for FRAUD" in doctor(run, purpose="fraud")["policy"]["cause"]


def test_a_role_that_does_not_count_is_a_warning(run: Run, broker: FakeBroker) -> None:
    broker.answers[WHO_AM_I] = me(MAY, unappointed_roles=["auditor"])
    found = doctor(run, code=0)
    assert found["policy"]["verdict"] == "WARN"
    assert "auditor" in found["policy"]["cause"]
    assert "appointment" in found["policy"]["fix"]
    assert "It works; look at policy." in run("doctor").stdout


def with_issuer(broker: FakeBroker, fake: FakeIssuer) -> dict[str, str]:
    lines = [line for line in (broker.folder / "config.toml").read_text().splitlines() if "token_file" not in line]
    (broker.folder / "config.toml").write_text("\n".join(lines))
    return {"issuer": fake.issuer, "issuer_ca": str(fake.ca), "client_id": "gateway", "grant": "client-credentials"}


def test_an_issuer_is_examined(run: Run, broker: FakeBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeIssuer(tmp_path / "idp", broker.agency) as fake:
        settings = with_issuer(broker, fake)
        assert verdicts(doctor(run, code=0, **settings)) == {}
        assert fake.asked_for("/token")
        for name, value in settings.items():
            monkeypatch.setenv(f"ENTENTE_{name.upper()}", value)
        found = by_step(examine(load_settings(), lambda: time.time() + 600))
        assert "10 minutes ahead of the issuer's" in found["issuer"].cause
        assert found["issuer"].verdict == "FAIL"
    away = doctor(run, **settings)
    assert "ISSUER_NO_ANSWER" in away["issuer"]["cause"]
    assert "ISSUER_NO_ANSWER" in away["token"]["cause"]


def test_nobody_is_logged_in(run: Run, broker: FakeBroker, tmp_path: Path) -> None:
    with FakeIssuer(tmp_path / "idp", broker.agency) as fake:
        settings = {**with_issuer(broker, fake), "grant": "device-code"}
        found = doctor(run, **settings)
    assert "LOGIN_NEEDED" in found["token"]["cause"]
    assert "entente login" in found["token"]["fix"]


def test_what_nobody_thought_of_is_a_finding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(profile: Any) -> Any:
        raise RuntimeError("odd")

    monkeypatch.setattr("entente_sdk.doctor.network.examine_name", odd)
    found = doctor(run)
    assert "RuntimeError: odd" in found["name"]["cause"]


@pytest.mark.parametrize(
    ("left_days", "life_days", "warned"),
    [
        *((80, 89, None), (60, 89, 60), (31, 89, 60), (30, 89, 30), (7, 89, 7), (0.5, 89, 1), (0, 89, 0), (-1, 89, 0)),
        *((30, 30, None), (8, 30, None), (7, 30, 7), (1, 1, None)),
    ],
)
def test_warnings_are_at_60_30_7_and_1_days(left_days: float, life_days: float, warned: int | None) -> None:
    assert warning_days(left_days * 86400, life_days * 86400) == warned


# A real broker


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    with live_broker(tmp_path_factory.mktemp("live")) as running:
        yield running


def examined(net: network.Network, profile: str, **settings: str) -> dict[str, dict[str, str]]:
    variables = {"ENTENTE_CONFIG": str(net.client_config), "PYTHONPATH": str(ROOT)}
    variables |= {f"ENTENTE_{name.upper()}": value for name, value in settings.items()}
    result = CliRunner().invoke(application(), ["doctor", "--profile", profile, "-o", "json"], env=variables)
    assert "Traceback" not in result.output
    assert result.exit_code in (0, 1), result.output
    return {finding["step"]: finding for finding in json.loads(result.stdout)["steps"]}


def test_a_real_broker_is_well(live: LiveBroker) -> None:
    assert verdicts(examined(live.network, "regional")) == {"issuer": "SKIP"}


def test_a_real_broker_refuses_a_token_of_another_audience(live: LiveBroker, tmp_path: Path) -> None:
    party = party_named["regional"]
    credentials = Authority.open(live.network.directory / "authority").agency(*party.agency.split("/"))
    config = tmp_path / "config.toml"
    lines = live.network.client_config.read_text().partition("[profiles.regional]")[2].partition("[profiles.")[0]
    kept = [line for line in lines.splitlines() if not line.startswith("token_command")]
    (tmp_path / "token").write_text(credentials.token_issuer().mint(party.user, audience="urn:entente:broker:other"))
    config.write_text("\n".join(["[profiles.regional]", *kept, f'token_file = "{tmp_path / "token"}"']))
    found = examined(live.network, "regional", config=str(config))
    assert "TOKEN_INVALID" in found["identity"]["cause"]
    assert found["clock"]["verdict"] == "OK", "the refusal's entry tells the broker's time"


def test_a_real_broker_locks_an_agency(live: LiveBroker) -> None:
    agency = party_named["neighbourhood"].agency
    assert examined(live.network, "neighbourhood")["identity"]["verdict"] == "OK"
    lock(live.network.directory / "data" / "store.db", agency)
    deadline = time.monotonic() + 10
    found = examined(live.network, "neighbourhood")
    while found["identity"]["verdict"] == "OK" and time.monotonic() < deadline:
        found = examined(live.network, "neighbourhood")
    assert "AGENCY_LOCKED" in found["identity"]["cause"]
    assert "two of them lift the lock" in found["identity"]["fix"]


def test_a_real_broker_does_not_know_an_agency(tmp_path: Path) -> None:
    net = network.create(tmp_path / "net", f"127.0.0.1:{free_port()}")
    path = net.directory / "directory.toml"
    agency = party_named["liaison"].agency
    blocks = path.read_text().split("[[")
    path.write_text("[[".join(block for block in blocks if agency not in block))
    running = LiveBroker(net).start()
    try:
        found = examined(net, "liaison")
    finally:
        running.stop()
    assert "AGENCY_UNKNOWN" in found["identity"]["cause"]
    assert "enrol your agency" in found["identity"]["fix"]


def lock(store: Path, agency: str) -> None:
    """What two registrars do, straight in the broker's store."""
    now = time.time_ns() // 1000
    connection = sqlite3.connect(store, timeout=10)
    with connection:
        change = connection.execute(
            "INSERT INTO registry_change (exchange_id, kind, subject, time_us) VALUES (?, 'AGENCY', ?, ?)",
            ("0" * 32, agency, now),
        )
        connection.execute(
            "INSERT INTO revocation (revocation_id, seq, kind, subject, agency, reason, by_agency, by_user, time_us)"
            " VALUES (?, ?, ?, ?, ?, 'drill', ?, 'registrar', ?)",
            ("0" * 32, change.lastrowid, AGENCY, agency, agency, agency, now),
        )
    connection.close()
