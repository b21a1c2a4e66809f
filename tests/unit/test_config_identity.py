"""What the configuration says of issuers: where their keys are, exactly once, and for how long they count."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.config import ConfigError, load

REST = """
[broker]
name = "broker.example"
listen = "127.0.0.1:0"
data = "data"
directory = "directory.toml"
audience = "entente"
trust_domains = ["police.example"]

[tls]
certificate = "cert.pem"
key = "key.pem"
roots = "root.pem"
revocation_lists = ["root.crl"]

[policy]

[[issuers]]
agency = "police.example/northshire"
issuer = "https://login.northshire.example"
"""


def write(folder: Path, *lines: str) -> Path:
    path = folder / "broker.toml"
    path.write_text(REST + "\n".join(lines), encoding="utf-8")
    return path


def test_keys_are_in_a_file_or_at_a_url(tmp_path: Path) -> None:
    (issuer,) = load(write(tmp_path, 'jwks = "keys.json"')).issuers
    assert (issuer.jwks, issuer.jwks_uri, issuer.ca) == (tmp_path / "keys.json", "", None)
    config = load(
        write(
            tmp_path,
            'jwks_uri = "https://login.northshire.example/jwks"',
            'ca = "web.pem"',
            "[identity]",
            "jwks_refresh_seconds = 30",
            "jwks_oldest_seconds = 600",
            'jwks_ca = "network.pem"',
        )
    )
    assert (config.issuers[0].jwks, config.issuers[0].ca) == (None, tmp_path / "web.pem")
    identity = config.identity
    assert (identity.jwks_refresh_seconds, identity.jwks_oldest_seconds) == (30, 600)
    assert identity.jwks_ca == tmp_path / "network.pem"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "one of them"),
        (['jwks = "keys.json"', 'jwks_uri = "https://a.example"'], "one of them"),
        (['jwks = "keys.json"', 'ca = "web.pem"'], "ca"),
        (['jwks = "keys.json"', "[identity]", "jwks_oldest_seconds = 30"], "jwks_oldest_seconds"),
        (['jwks = "keys.json"', "[identity]", "jwks_refresh_seconds = 0"], "above 0"),
        (['jwks = "keys.json"', "[identity]", "verify = false"], "unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load(write(tmp_path, *lines))


def test_a_relative_path_names_the_same_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and a restart read it again by its whole path; nothing may seem to have changed."""
    path = write(tmp_path, 'jwks = "keys.json"')
    monkeypatch.chdir(tmp_path.parent)
    assert load(Path(tmp_path.name) / path.name) == load(path)
