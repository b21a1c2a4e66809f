"""Each setting has one origin, and it is known: command line, environment, file, default."""

from __future__ import annotations

from pathlib import Path

import pytest

from entente_sdk import ConfigurationError
from entente_sdk.settings import FIELDS, config_path, load_profile, load_settings
from entente_tlog.note import Signer

LOG_KEY = str(Signer("broker.example/log", bytes(32)).verifier)
FILE = f"""
default_profile = "north"

[profiles.north]
endpoint = "broker.example:7443"
ca = "pki/root.pem"
certificate = "/etc/entente/cert.pem"
key = "~/key.pem"
token_command = "issue-token --user 'o reyes'"
log_key = ["{LOG_KEY}"]
purpose = "threat-to-life"

[profiles.south]
endpoint = "south.example:7443"
ca = "root.pem"
log_key = "{LOG_KEY}"
token_file = "token"
output = "yaml"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return {"ENTENTE_CONFIG": str(path)}


def test_the_file_gives_the_profile(environ: dict[str, str], tmp_path: Path) -> None:
    profile = load_profile(environ=environ)
    assert profile.endpoint == "broker.example:7443"
    assert profile.ca == tmp_path / "pki" / "root.pem"
    assert profile.certificate == Path("/etc/entente/cert.pem")
    assert profile.key == Path.home() / "key.pem"
    assert profile.token_command == ("issue-token", "--user", "o reyes")
    assert profile.log_keys == (LOG_KEY,)
    assert profile.purpose == "THREAT_TO_LIFE"
    assert profile.output == "table"
    assert profile.trusted_logs()[0].verifier.name == "broker.example/log"


def test_profiles_are_chosen_by_option_then_environment_then_file(environ: dict[str, str]) -> None:
    environ["ENTENTE_PROFILE"] = "south"
    assert load_settings(environ=environ).profile().endpoint == "south.example:7443"
    chosen = load_settings("north", environ=environ)
    assert (chosen.profile_name.value, chosen.profile_name.origin) == ("north", "command line (--profile)")
    del environ["ENTENTE_PROFILE"]
    assert load_settings(environ=environ).profile_name.origin == "file (default_profile)"


def test_the_environment_overrides_the_file_and_options_override_both(environ: dict[str, str]) -> None:
    environ |= {"ENTENTE_PURPOSE": "fraud", "ENTENTE_OUTPUT": "json", "ENTENTE_CA": "elsewhere.pem"}
    values = load_settings(overrides={"output": ("yaml", "--output")}, environ=environ).values
    assert (values["purpose"].value, values["purpose"].origin) == ("FRAUD", "environment (ENTENTE_PURPOSE)")
    assert (values["output"].value, values["output"].origin) == ("yaml", "command line (--output)")
    assert values["ca"].value == Path.cwd() / "elsewhere.pem"
    assert values["endpoint"].origin == f"{environ['ENTENTE_CONFIG']} [profiles.north]"
    assert values["case_reference"].origin == "not set"


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    environ = {
        "ENTENTE_CONFIG": str(tmp_path / "absent.toml"),
        "ENTENTE_ENDPOINT": "localhost:1",
        "ENTENTE_CA": "/ca.pem",
        "ENTENTE_LOG_KEY": f"{LOG_KEY} {LOG_KEY}",
    }
    assert load_profile(environ=environ).log_keys == (LOG_KEY, LOG_KEY)


def test_the_configuration_lies_in_the_users_folder() -> None:
    assert config_path({}).parts[-2:] == ("entente", "config.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 'red'", "unknown key 'colour'"),
        ("[profiles.north]\nendpont = 'x'", r"\[profiles.north\]: unknown key 'endpont'"),
        ("[profiles.north", "cannot be read"),
        ("profiles = 3", "profiles are tables"),
        ("[profiles.north]\npurpose = 'curiosity'", "purpose: there is no purpose 'curiosity'"),
        ("[profiles.north]\noutput = 'xml'", "output: 'xml' is not one of"),
        ("[profiles.north]\nendpoint = 3", "endpoint: a text is needed"),
        ('[profiles.north]\ntoken_command = "a \'b"', "token_command: the quoting is wrong"),
        ("[profiles.north]\nissuer = 'http://issuer.example'", "issuer: an https URL without query"),
        ("[profiles.north]\nissuer = 'https://a@issuer.example/x'", "issuer: an https URL without query"),
        ("[profiles.north]\nissuer = 'https://issuer.example/?x'", "issuer: an https URL without query"),
        ("[profiles.north]\ngrant = 'password'", "grant: 'password' is not one of"),
        ("default_profile = 'west'\n[profiles.north]", "there is no profile 'west'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        load_settings(environ={"ENTENTE_CONFIG": str(path)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "endpoint and ca and log_key not set"),
        ("endpoint = 'a:1'\nca = 'x'\nlog_key = 'k'\ncertificate = 'c'", "certificate and key go together"),
        ("endpoint = 'a:1'\nca = 'x'\nlog_key = 'k'\ntoken_command = 'a'\ntoken_file = 'b'", "exclude each other"),
        (
            "endpoint = 'a:1'\nca = 'x'\nlog_key = 'k'\nissuer = 'https://a'\ncertificate = 'c'\nkey = 'k'",
            "an issuer needs client_id",
        ),
        ("endpoint = 'a:1'\nca = 'x'\nlog_key = 'k'\nrenew_command = 'a'", "renews a certificate, and none is set"),
    ],
)
def test_an_incomplete_profile_says_what_is_missing(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[profiles.north]\n" + text)
    with pytest.raises(ConfigurationError, match=words):
        load_profile(environ={"ENTENTE_CONFIG": str(path)})


def test_a_log_key_that_is_none_is_named(environ: dict[str, str]) -> None:
    environ["ENTENTE_LOG_KEY"] = LOG_KEY.replace("+", "-")
    with pytest.raises(ConfigurationError, match="log_key is not a log's public key"):
        load_profile(environ=environ).trusted_logs()


def test_a_variable_that_is_not_known_is_shown(environ: dict[str, str]) -> None:
    environ["ENTENTE_CERTFICATE"] = "x"
    assert load_settings(environ=environ).unknown_variables == ("ENTENTE_CERTFICATE",)


def test_every_field_can_come_from_the_environment() -> None:
    assert set(FIELDS) == {
        *("endpoint", "server_name", "ca", "certificate", "key", "token_command", "token_file", "log_key"),
        *("renew_command", "issuer", "issuer_ca", "client_id", "scope", "resource", "grant"),
        *("purpose", "case_reference", "legal_basis", "output"),
    }
