"""Logins at an issuer: discovery, grants, what is kept, and that both a fake and a real provider are served alike."""

from __future__ import annotations

import json
import logging
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certs.authority import AgencyCredentials, Authority
from entente_sdk import ConfigurationError, EntenteError, Profile
from entente_sdk.oidc.discovery import addresses, discover
from entente_sdk.oidc.grants import DeviceLogin, Grants
from entente_sdk.oidc.http import IssuerHttp
from entente_sdk.oidc.source import access_token, grants_of
from entente_sdk.oidc.store import Login, LoginStore
from entente_sdk.tokens import TokenSource, claims
from tests.clients.conftest import Run
from tests.support.fake_broker import FakeBroker
from tests.support.fake_issuer import DEVICE_CODE, FakeIssuer, Reply
from tests.support.oidc import IdentityProvider, Person, oidc_provider

AUDIENCE = "urn:entente:broker:test"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def agency(tmp_path: Path) -> AgencyCredentials:
    return Authority.create(tmp_path / "authority").issue_agency("police.example", "northshire")


@pytest.fixture
def issuer(tmp_path: Path, agency: AgencyCredentials) -> Iterator[FakeIssuer]:
    with FakeIssuer(tmp_path, agency, audience=AUDIENCE) as fake:
        yield fake


def profile_of(issuer: str, ca: Path, agency: AgencyCredentials, **changes: Any) -> Profile:
    values: dict[str, Any] = {
        "endpoint": "localhost:1",
        "ca": agency.root,
        "log_keys": ("x",),
        "certificate": agency.certificate,
        "key": agency.key,
        "issuer": issuer,
        "issuer_ca": ca,
        "client_id": "gateway",
        "resource": AUDIENCE,
        "name": "north",
    }
    return Profile(**{**values, **changes})


@pytest.fixture
def profile(issuer: FakeIssuer, agency: AgencyCredentials) -> Profile:
    return profile_of(issuer.issuer, issuer.ca, agency)


def refusal(profile: Profile) -> EntenteError:
    with pytest.raises(EntenteError) as caught:
        access_token(profile)
    return caught.value


# Discovery


def test_a_document_is_looked_for_at_both_well_known_places() -> None:
    assert addresses("https://a.example/b/") == (
        "https://a.example/b/.well-known/openid-configuration",
        "https://a.example/.well-known/oauth-authorization-server/b",
    )


def test_an_authorization_server_without_openid_is_found(issuer: FakeIssuer, profile: Profile) -> None:
    answer = issuer.answer

    def moved(asked: Any) -> Reply:
        if asked.path == "/.well-known/openid-configuration":
            return Reply(404, {})
        if asked.path == "/.well-known/oauth-authorization-server":
            asked.path = "/.well-known/openid-configuration"
        return answer(asked)

    issuer.answer = moved  # type: ignore[method-assign]
    with IssuerHttp(profile) as http:
        assert discover(http, profile).token == f"{issuer.issuer}/token"


def test_the_endpoint_for_mutual_tls_is_preferred(issuer: FakeIssuer, profile: Profile) -> None:
    issuer.document["token_endpoint"] = "https://not-this-one.example/token"
    issuer.document["mtls_endpoint_aliases"] = {"token_endpoint": f"{issuer.issuer}/token"}
    assert claims(access_token(replace(profile, grant="client_credentials")))["sub"] == "gateway"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": "https://localhost:1"}, "not of 'https://localhost"),
        ({"issuer": None}, "not of 'https://localhost"),
        ({"token_endpoint": "http://localhost/token"}, "not an https URL"),
        ({"token_endpoint": "https://user@localhost/token"}, "not an https URL"),
        ({"token_endpoint": 3}, "token_endpoint is not a text"),
        ({"token_endpoint": None}, "names no token_endpoint"),
        ({"mtls_endpoint_aliases": {"token_endpoint": "ftp://x"}}, "not an https URL"),
        ({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, "by certificate"),
    ],
)
def test_a_document_that_cannot_be_trusted_is_refused(
    issuer: FakeIssuer, profile: Profile, change: dict[str, Any], words: str
) -> None:
    issuer.document.update(change)
    error = refusal(replace(profile, grant="client_credentials"))
    assert words in error.message
    assert not issuer.asked_for("/token")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"issuer": 1, "issuer": 2}', "without duplicate names"),
        (b'{"a": NaN}', "well-formed JSON"),
        (b"\xff\xfe", "well-formed JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 60_000, "well-formed JSON"),
        (b'"' + b"x" * 70_000 + b'"', "over 65536 bytes"),
    ],
    ids=["duplicates", "constants", "encoding", "list", "nesting", "size"],
)
def test_an_answer_is_one_bounded_json_object(issuer: FakeIssuer, profile: Profile, raw: bytes, words: str) -> None:
    issuer.raw = raw
    error = refusal(replace(profile, grant="client_credentials"))
    assert error.reason == "ISSUER_ODD"
    assert words in error.message


def test_no_redirect_is_followed(issuer: FakeIssuer, profile: Profile) -> None:
    issuer.script = [Reply(302, {}, {"location": f"{issuer.issuer}/elsewhere"})]
    assert refusal(replace(profile, grant="client_credentials")).reason == "LOGIN_REFUSED"
    assert not issuer.asked_for("/elsewhere")


def test_no_proxy_of_the_environment_is_used(
    issuer: FakeIssuer, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert access_token(replace(profile, grant="client_credentials"))


def test_an_issuer_of_another_authority_is_not_trusted(profile: Profile, agency: AgencyCredentials) -> None:
    error = refusal(replace(profile, grant="client_credentials", issuer_ca=agency.root))
    assert error.reason == "ISSUER_UNTRUSTED"
    assert refusal(replace(profile, grant="client_credentials", issuer_ca=None)).reason == "ISSUER_UNTRUSTED"


def test_nobody_there_is_said(profile: Profile) -> None:
    error = refusal(replace(profile, grant="client_credentials", issuer="https://localhost:1"))
    assert error.reason == "ISSUER_NO_ANSWER"


# Grants


def test_a_workload_asks_for_the_broker_as_resource(issuer: FakeIssuer, profile: Profile) -> None:
    token = access_token(replace(profile, grant="client_credentials", scope="exchange"))
    assert claims(token)["aud"] == AUDIENCE
    assert issuer.asked_for("/token") == [
        {"grant_type": "client_credentials", "scope": "exchange", "resource": AUDIENCE, "client_id": "gateway"}
    ]


@pytest.mark.parametrize(
    ("reply", "reason", "words"),
    [
        (Reply(400, {"error": "unauthorized_client"}), "LOGIN_REFUSED", "unauthorized_client"),
        (Reply(401, {"error": "x\x1b[31m", "error_description": 'a"b'}), "LOGIN_REFUSED", "x[31m: ab"),
        (Reply(503, {}), "ISSUER_NO_ANSWER", "status 503"),
        (Reply(200, {"access_token": "a.b.c"}), "ISSUER_ODD", "not of type Bearer"),
        (Reply(200, {"access_token": "a.b.c", "token_type": "DPoP"}), "ISSUER_ODD", "not of type Bearer"),
        (Reply(200, {"access_token": 3, "token_type": "Bearer"}), "ISSUER_ODD", "access_token is not a text"),
        (Reply(200, {"access_token": "x" * 9000, "token_type": "Bearer"}), "ISSUER_ODD", "access_token is not"),
        (Reply(200, {"access_token": "opaque", "token_type": "Bearer"}), "ISSUER_ODD", "bound to a certificate"),
        (Reply(200, {"access_token": "a.e30.c", "token_type": "Bearer"}), "ISSUER_ODD", "bound to a certificate"),
        (Reply(200, {}, {"content-type": "text/html"}), "ISSUER_ODD", "not of type Bearer"),
    ],
)
def test_what_is_not_granted_is_said(
    issuer: FakeIssuer, profile: Profile, reply: Reply, reason: str, words: str
) -> None:
    issuer.script = [reply]
    error = refusal(replace(profile, grant="client_credentials"))
    assert error.reason == reason
    assert words in error.message


class Patience:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    now: float
    slept: list[float]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def awaited(grants: Grants, login: DeviceLogin, patience: Patience) -> Any:
    return grants.await_device(login, sleep=patience.sleep, clock=patience.clock)


def test_polling_keeps_the_interval_and_slows_down_when_told(issuer: FakeIssuer, profile: Profile) -> None:
    patience = Patience()
    with grants_of(profile) as grants:
        login = grants.begin_device()
        issuer.script = [
            Reply(400, {"error": "authorization_pending"}),
            Reply(400, {"error": "slow_down"}),
            Reply(400, {"error": "authorization_pending"}),
        ]
        assert awaited(grants, login, patience).refresh_token in issuer.refresh_tokens
    assert patience.slept == [1, 1, 6, 6]
    first = issuer.asked_for("/token")[0]
    assert first["grant_type"] == DEVICE_CODE
    assert first["resource"] == AUDIENCE
    assert issuer.asked_for("/device")[0]["scope"] == "openid offline_access"


def test_polling_backs_off_from_an_issuer_that_is_away(issuer: FakeIssuer, profile: Profile) -> None:
    patience = Patience()
    with grants_of(profile) as grants:
        login = grants.begin_device()
        away = replace(grants, offer=replace(grants.offer, token="https://localhost:1/token"))
        with pytest.raises(EntenteError, match="nobody entered the code"):
            awaited(away, login, patience)
    assert patience.slept == [1, 2, 4, 8, 16]


def test_a_code_that_nobody_enters_ends(issuer: FakeIssuer, profile: Profile) -> None:
    issuer.approved = False
    patience = Patience()
    with grants_of(profile) as grants, pytest.raises(EntenteError, match="in time") as caught:
        awaited(grants, grants.begin_device(), patience)
    assert caught.value.reason == "LOGIN_ENDED"
    assert patience.now < 60


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
def test_a_code_that_is_refused_ends_at_once(issuer: FakeIssuer, profile: Profile, error: str) -> None:
    patience = Patience()
    with grants_of(profile) as grants:
        login = grants.begin_device()
        issuer.script = [Reply(400, {"error": error})]
        with pytest.raises(EntenteError, match=error):
            awaited(grants, login, patience)
    assert patience.slept == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri_complete": "http://x"},
        {"user_code": "A\x1bB"},
        {"device_code": ""},
        {"expires_in": "60"},
        {"interval": 0},
        {"interval": True},
    ],
)
def test_an_odd_device_answer_is_refused(issuer: FakeIssuer, profile: Profile, change: dict[str, Any]) -> None:
    with grants_of(profile) as grants:
        good = issuer._device().document
        issuer.script = [Reply(200, {**good, **change})]
        with pytest.raises(EntenteError) as caught:
            grants.begin_device()
    assert caught.value.reason == "ISSUER_ODD"


# What is kept


def logged_in(issuer: FakeIssuer, profile: Profile) -> LoginStore:
    issuer.refresh_tokens.add("first")
    store = LoginStore(profile)
    store.save(Login("device_code", "first"))
    return store


def test_a_refresh_token_is_rotated_on_use(issuer: FakeIssuer, profile: Profile) -> None:
    store = logged_in(issuer, profile)
    assert claims(access_token(profile))["sub"] == "o.reyes"
    second = store.load()
    assert second is not None
    assert issuer.refresh_tokens == {second.refresh_token}
    access_token(profile)
    assert [form["refresh_token"] for form in issuer.asked_for("/token")] == ["first", second.refresh_token]


def test_many_at_once_use_each_refresh_token_once(issuer: FakeIssuer, profile: Profile) -> None:
    logged_in(issuer, profile)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(access_token(profile))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    used = [form["refresh_token"] for form in issuer.asked_for("/token")]
    assert len(got) == len(set(used)) == 4


def test_a_login_that_ended_is_said_and_not_replaced_by_the_workload(issuer: FakeIssuer, profile: Profile) -> None:
    logged_in(issuer, profile)
    issuer.refresh_tokens.clear()
    error = refusal(profile)
    assert error.reason == "LOGIN_ENDED"
    assert "it was used[31m before" in error.message
    assert [form["grant_type"] for form in issuer.asked_for("/token")] == ["refresh_token"]


def test_without_a_login_nobody_is_asked(issuer: FakeIssuer, profile: Profile) -> None:
    assert refusal(profile).reason == "LOGIN_NEEDED"
    assert not issuer.asked


def test_a_login_is_its_owners_alone(issuer: FakeIssuer, profile: Profile, state: Path) -> None:
    store = logged_in(issuer, profile)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert state in store.path.parents
    store.path.chmod(0o640)
    assert "others than its owner" in refusal(profile).message
    assert not issuer.asked


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"grant": "password", "refresh_token": ""}'])
def test_a_damaged_login_is_not_used(issuer: FakeIssuer, profile: Profile, content: bytes) -> None:
    store = logged_in(issuer, profile)
    store.path.write_bytes(content)
    assert refusal(profile).reason == "LOGIN_NEEDED"


def test_a_link_in_place_of_a_login_is_not_followed(issuer: FakeIssuer, profile: Profile, tmp_path: Path) -> None:
    store = logged_in(issuer, profile)
    store.path.rename(tmp_path / "elsewhere")
    store.path.symlink_to(tmp_path / "elsewhere")
    assert refusal(profile).reason == "LOGIN_NEEDED"


def test_a_login_belongs_to_one_issuer_and_client(profile: Profile) -> None:
    LoginStore(profile).save(Login("device_code", "secret"))
    for other in (
        replace(profile, issuer="https://elsewhere.example"),
        replace(profile, client_id="other"),
        replace(profile, name="south"),
    ):
        assert LoginStore(other).load() is None


def test_nothing_shows_a_token(issuer: FakeIssuer, profile: Profile, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store = logged_in(issuer, profile)
        token = access_token(profile)
        with grants_of(profile) as grants:
            begun = grants.begin_device()
            granted = grants.client_credentials()
    kept = store.load()
    assert kept is not None
    shown = caplog.text + repr((kept, begun, granted))
    for secret in (token, kept.refresh_token, begun.device_code, granted.access_token):
        assert secret not in shown


# The command line


@pytest.fixture
def cli(run: Run, broker: FakeBroker, tmp_path: Path) -> Iterator[tuple[Run, FakeIssuer]]:
    """A configuration whose profile has an issuer."""
    with FakeIssuer(tmp_path / "idp", broker.agency) as fake:
        lines = [line for line in broker.config().read_text().splitlines() if not line.startswith("token_file")]
        lines += [f'issuer = "{fake.issuer}"', f'issuer_ca = "{fake.ca}"', 'client_id = "gateway"']
        (broker.folder / "config.toml").write_text("\n".join(lines))
        yield run, fake


def test_login_shows_address_and_code_and_then_calls_work(cli: tuple[Run, FakeIssuer], broker: FakeBroker) -> None:
    run, issuer = cli
    needed = run("whoami")
    assert (needed.exit_code, needed.stdout) == (3, "")
    assert "Log in: `entente login`" in needed.stderr
    found = run("login", "-o", "json")
    assert found.exit_code == 0, found.output
    assert "WDJB-MJHT" in found.stderr
    assert f"{issuer.issuer}/enter" in found.stderr
    document = json.loads(found.stdout)
    assert (document["subject"], document["grant"], document["profile"]) == ("o.reyes", "device_code", "north")
    assert run("whoami").exit_code == 0
    assert claims(broker.calls[-1].token)["cnf"]["x5t#S256"] == broker.calls[-1].thumbprint
    gone = run("logout", "-o", "json")
    assert json.loads(gone.stdout) == {"removed": True, "issuer_told": True}
    assert not issuer.refresh_tokens
    assert run("whoami").exit_code == 3
    assert "Nobody was logged in" in run("logout").stdout


def test_login_as_the_workload(cli: tuple[Run, FakeIssuer], broker: FakeBroker) -> None:
    run, _ = cli
    table = run("login", "--client-credentials").stdout
    assert "gateway" in table
    assert "Logged in" in table
    assert run("whoami").exit_code == 0
    assert claims(broker.calls[-1].token)["sub"] == "gateway"
    assert run("login", "--device", "--client-credentials").exit_code == 2


def test_logout_removes_also_when_the_issuer_is_away(cli: tuple[Run, FakeIssuer]) -> None:
    run, issuer = cli
    assert run("login").exit_code == 0
    issuer.document["issuer"] = "https://another.example"
    gone = run("logout")
    assert "Logged out." in gone.stdout
    assert "the issuer was not told" in gone.stderr


def test_a_profile_without_issuer_says_so(run: Run) -> None:
    found = run("login")
    assert found.exit_code == 2
    assert "no issuer to log in at" in found.stderr


# Both providers


@pytest.fixture(params=["fake", "real"])
def provider(
    request: pytest.FixtureRequest, tmp_path: Path, agency: AgencyCredentials
) -> Iterator[FakeIssuer | IdentityProvider]:
    if request.param == "fake":
        with FakeIssuer(tmp_path, agency, audience=AUDIENCE) as fake:
            yield fake
    else:
        with oidc_provider(tmp_path / "idp", agency, people=[Person("o.reyes")], audience=AUDIENCE) as real:
            yield real


def bound_to_us(token: str, agency: AgencyCredentials) -> dict[str, Any]:
    from certs.issuer import encode_segment

    found = claims(token)
    assert found["cnf"]["x5t#S256"] == encode_segment(agency.thumbprint)
    assert found["aud"] == AUDIENCE
    assert found["exp"] - found["iat"] <= 300
    return found


def test_a_workload_is_served_by_both(provider: FakeIssuer | IdentityProvider, agency: AgencyCredentials) -> None:
    profile = profile_of(provider.issuer, provider.ca, agency, grant="client_credentials")
    source = TokenSource.of(profile)
    assert bound_to_us(source.current(), agency)["sub"] == "gateway"
    assert source.cached() is not None


def test_a_person_is_served_by_both(provider: FakeIssuer | IdentityProvider, agency: AgencyCredentials) -> None:
    real = isinstance(provider, IdentityProvider)
    client_id = provider.device_client_id if real else "entente-cli"
    profile = profile_of(provider.issuer, provider.ca, agency, client_id=client_id, scope="openid exchange")
    with grants_of(profile) as grants:
        login = grants.begin_device()
        assert login.whole_address.startswith(provider.issuer)
        if isinstance(provider, IdentityProvider):
            provider.approve_device(login.user_code, "o.reyes")
        granted = grants.await_device(replace(login, interval=1))
    assert bound_to_us(granted.access_token, agency)["sub"] == "o.reyes"
    LoginStore(profile).save(Login("device_code", granted.refresh_token))
    first, second = access_token(profile), access_token(profile)
    assert first != second
    assert bound_to_us(second, agency)["sub"] == "o.reyes"
    kept = LoginStore(profile).load()
    assert kept is not None
    with grants_of(profile) as grants:
        assert grants.revoke(kept.refresh_token)
    assert refusal(profile).reason == "LOGIN_ENDED"


def test_a_stranger_to_the_issuer_is_refused_by_both(
    provider: FakeIssuer | IdentityProvider, agency: AgencyCredentials, tmp_path: Path
) -> None:
    stranger = Authority.create(tmp_path / "stranger").issue_agency("police.example", "northshire")
    profile = profile_of(provider.issuer, provider.ca, stranger, grant="client_credentials")
    with pytest.raises(EntenteError) as caught:
        access_token(profile)
    assert caught.value.reason in ("LOGIN_REFUSED", "ISSUER_NO_ANSWER")
    assert not isinstance(caught.value, ConfigurationError)
