"""Tokens are asked for once, kept until shortly before they end, and refused when they are not tokens."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from certs.authority import Authority
from entente_sdk import ConfigurationError, Profile
from entente_sdk.tokens import TokenSource, expiry


def profile(tmp_path: Path, script: str) -> Profile:
    return Profile(
        endpoint="localhost:1", ca=tmp_path / "ca", log_keys=("x",), token_command=(sys.executable, "-c", script)
    )


def test_expiry_is_read_from_the_payload(tmp_path: Path) -> None:
    agency = Authority.create(tmp_path / "a").issue_agency("police.example", "northshire")
    token = agency.token_issuer().mint("o.reyes", now=1000, life_seconds=60)
    assert expiry(token) == 1060
    assert expiry("not.a.token") == 0
    assert expiry("opaque") == 0


def test_a_token_is_kept_until_shortly_before_it_ends(tmp_path: Path) -> None:
    issuer = Authority.create(tmp_path / "a").issue_agency("police.example", "northshire").token_issuer()
    asked: list[int] = []

    def fetch() -> str:
        asked.append(1)
        # The second one lives for less than the margin: it is used, but not kept.
        return issuer.mint("o.reyes", life_seconds=300 if len(asked) == 1 else 20, now=int(time.time()))

    source = TokenSource(fetch)
    assert source.cached() is None
    assert source.current() == source.current()
    assert len(asked) == 1
    source.forget()
    source.current()
    source.current()
    assert len(asked) == 3


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    source = TokenSource.of(profile(tmp_path, "print('a.b.c')"))
    assert source.current() == "a.b.c"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('locked out')", "locked out"),
        ("print('two words')", "one access token"),
        ("pass", "one access token"),
        ("print('x' * 9000)", "one access token"),
    ],
)
def test_what_is_not_a_token_is_refused(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TokenSource.of(profile(tmp_path, script)).current()


def test_no_source_is_named(tmp_path: Path) -> None:
    bare = Profile(endpoint="localhost:1", ca=tmp_path, log_keys=("x",))
    with pytest.raises(ConfigurationError, match="neither token_command nor token_file"):
        TokenSource.of(bare).current()


def test_a_missing_command_or_file_is_named(tmp_path: Path) -> None:
    for found in (
        Profile(endpoint="localhost:1", ca=tmp_path, log_keys=("x",), token_command=(str(tmp_path / "no"),)),
        Profile(endpoint="localhost:1", ca=tmp_path, log_keys=("x",), token_file=tmp_path / "no"),
    ):
        with pytest.raises(ConfigurationError, match="token_"):
            TokenSource.of(found).current()
