"""Tokens are asked for once, kept until shortly before they end, and refused when they are not tokens."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from certs.authority import Authority
from certs.issuer import TokenIssuer
from entente_sdk import ConfigurationError, Profile
from entente_sdk.tokens import TokenSource, claims, keep_seconds


def profile(tmp_path: Path, script: str) -> Profile:
    return Profile(
        endpoint="localhost:1", ca=tmp_path / "ca", log_keys=("x",), token_command=(sys.executable, "-c", script)
    )


class Clock:
    """Monotonic seconds, set by the test."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer(tmp_path: Path) -> TokenIssuer:
    return Authority.create(tmp_path / "a").issue_agency("police.example", "northshire").token_issuer()


def test_claims_are_read_from_the_payload(issuer: TokenIssuer) -> None:
    token = issuer.mint("o.reyes", now=1000, life_seconds=60)
    assert claims(token)["exp"] == 1060
    for odd in ("not.a.token", "opaque", "a.W10.c", "a.eyJleHAiOm51bGx9.c", "a.eyJleHAiOjFlOTk5fQ.c"):
        assert keep_seconds(odd) == 0


@pytest.mark.parametrize(("life", "kept"), [(300, 270), (60, 30), (20, 10)])
@pytest.mark.parametrize("ahead", [-600, 0, 600], ids=["clock behind", "clock right", "clock ahead"])
def test_a_token_is_kept_by_its_life_whatever_the_wall_clock_says(
    issuer: TokenIssuer, life: int, kept: int, ahead: int
) -> None:
    clock, asked = Clock(), 0

    def fetch() -> str:
        nonlocal asked
        asked += 1
        # What this machine's clock says is `ahead` of the issuer's.
        return issuer.mint("o.reyes", life_seconds=life, now=int(time.time()) - ahead)

    source = TokenSource(fetch, clock)
    assert source.cached() is None
    first = source.current()
    clock.seconds = kept - 3
    assert source.current() == first
    clock.seconds = kept + 1
    assert source.current() != first
    assert asked == 2


def test_an_old_token_of_a_source_is_kept_for_what_is_left_of_it(issuer: TokenIssuer) -> None:
    clock = Clock()
    source = TokenSource(lambda: issuer.mint("o.reyes", now=int(time.time()) - 200), clock)
    first = source.current()
    clock.seconds = 60
    assert source.current() == first
    clock.seconds = 75
    assert source.current() != first


def test_a_token_is_kept_for_one_certificate(issuer: TokenIssuer) -> None:
    source = TokenSource(lambda: issuer.mint("o.reyes"))
    first = source.current("one")
    assert source.cached("one") == first
    assert source.cached("other") is None
    assert source.current("other") != first


def test_only_the_refused_token_is_forgotten(issuer: TokenIssuer) -> None:
    source = TokenSource(lambda: issuer.mint("o.reyes"))
    first = source.current()
    source.forget("another")
    assert source.current() == first
    source.forget(first)
    second = source.current()
    assert second != first
    source.forget()
    assert source.current() != second


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
    with pytest.raises(ConfigurationError, match="neither token_command nor token_file nor issuer"):
        TokenSource.of(bare).current()


def test_a_missing_command_or_file_is_named(tmp_path: Path) -> None:
    for found in (
        Profile(endpoint="localhost:1", ca=tmp_path, log_keys=("x",), token_command=(str(tmp_path / "no"),)),
        Profile(endpoint="localhost:1", ca=tmp_path, log_keys=("x",), token_file=tmp_path / "no"),
    ):
        with pytest.raises(ConfigurationError, match="token_"):
            TokenSource.of(found).current()
