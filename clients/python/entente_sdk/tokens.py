"""Where the access token comes from: a command, a file, or a function of the caller's.

Guarantees: a command's or function's token is used again until 30 s before its expiry, and asked for once at a time;
what is not one token (empty, several words, over 8 KiB) is refused before it is sent.
Does not: verify the token. Its binding to the certificate is the issuer's business and the broker's to check.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import Profile

RENEW_BEFORE_SECONDS = 30
COMMAND_SECONDS = 30
MAX_TOKEN_CHARACTERS = 8192

Fetch = Callable[[], str]


class TokenSource:
    """A token that is current. `current` may block: it can run a command."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    @classmethod
    def of(cls, profile: Profile) -> TokenSource:
        """The source that the profile names. Raises ConfigurationError when used, where it names none."""
        if profile.token_command:
            return cls(lambda: _run(profile.token_command))
        if profile.token_file is not None:
            return cls(lambda: _read(profile.token_file))
        return cls(_nothing)

    def cached(self) -> str | None:
        """The token in hand, if it is current; never blocks."""
        return self._token if time.time() < self._renew_at else None

    def current(self) -> str:
        """A current token. Raises ConfigurationError when there is none to be had."""
        with self._lock:
            found = self.cached()
            if found is None:
                found = _checked(self._fetch())
                self._token = found
                self._renew_at = expiry(found) - RENEW_BEFORE_SECONDS
            return found

    def forget(self) -> None:
        """Ask anew next time: the broker has said that the token's time is over."""
        self._renew_at = 0.0


def expiry(token: str) -> float:
    """`exp` of the payload in epoch seconds, unverified; 0 where it cannot be read, so that nothing is kept."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, binascii.Error, RecursionError):
        return 0.0


def _checked(text: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or len(token.split()) != 1 or len(token) > MAX_TOKEN_CHARACTERS:
        raise ConfigurationError("the token source did not yield one access token", reason="TOKEN_SOURCE")
    return token


def _run(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise ConfigurationError(f"token_command {command[0]!r} failed: {error}", reason="TOKEN_SOURCE") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigurationError(
            f"token_command {command[0]!r} ended with status {done.returncode}: {said[0][:500]}", reason="TOKEN_SOURCE"
        )
    return done.stdout


def _read(path: Path | None) -> str:
    assert path is not None
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"token_file cannot be read: {error}", reason="TOKEN_SOURCE") from error


def _nothing() -> str:
    raise ConfigurationError("the profile has neither token_command nor token_file", reason="TOKEN_SOURCE")
