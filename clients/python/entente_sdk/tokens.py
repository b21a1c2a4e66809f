"""Where the access token comes from: a command, a file, the agency's issuer, or a function of the caller's.

Guarantees: a token is asked for once at a time, and used again until half a minute before its life has passed (half of
it, when it is short), counted on this machine's monotonic clock: a wall clock that is wrong does not make renewals
fail. It is kept for one certificate: after a change of certificate it is asked for anew. What is not one token (empty,
several words, over 8 KiB) is refused before it is sent.
Does not: verify the token. Its binding to the certificate is the issuer's business and the broker's to check.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from entente_sdk._commands import run_words
from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import Profile

RENEW_BEFORE_SECONDS = 30
COMMAND_SECONDS = 30
MAX_TOKEN_CHARACTERS = 8192

Fetch = Callable[[], str]


class TokenSource:
    """A token that is current. `current` may block: it can run a command or ask the issuer."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[str, str, float] | None = None

    @classmethod
    def of(cls, profile: Profile) -> TokenSource:
        """The source that the profile names. Raises ConfigurationError when used, where it names none."""
        return cls(lambda: fetch(profile))

    def cached(self, binding: str = "") -> str | None:
        """The token in hand, if it is current and was asked for under this certificate; never blocks."""
        kept = self._kept
        if kept is None:
            return None
        token, bound_to, renew_at = kept
        return token if bound_to == binding and self._clock() < renew_at else None

    def current(self, binding: str = "") -> str:
        """A current token for a certificate's thumbprint. Raises ConfigurationError when there is none to be had."""
        with self._lock:
            found = self.cached(binding)
            if found is None:
                asked = self._clock()
                found = checked(self._fetch())
                self._kept = (found, binding, asked + keep_seconds(found))
            return found

    def forget(self, token: str | None = None) -> None:
        """Ask anew next time: the broker has refused this token, or whichever is kept."""
        kept = self._kept
        # Another call may have renewed it already: that one is not at fault.
        if token is None or (kept is not None and kept[0] == token):
            self._kept = None


def fetch(profile: Profile) -> str:
    """A token from the source that the profile names; may block. Raises EntenteError."""
    if profile.token_command:
        return run_words("token_command", profile.token_command, COMMAND_SECONDS, "TOKEN_SOURCE")
    if profile.token_file is not None:
        return _read(profile.token_file)
    if profile.issuer is not None:
        # Only then: a profile without an issuer needs no HTTP.
        from entente_sdk.oidc.source import access_token

        return access_token(profile)
    raise ConfigurationError("the profile has neither token_command nor token_file nor issuer", reason="TOKEN_SOURCE")


def claims(token: str) -> dict[str, Any]:
    """The payload, unverified; empty where it cannot be read."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def moment(found: dict[str, Any], claim: str) -> float | None:
    """A NumericDate among the claims; None where it is absent or none."""
    value = found.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def keep_seconds(token: str) -> float:
    """How long from now the token may be used again; 0 where its life cannot be read, so that nothing is kept."""
    found = claims(token)
    ends, issued = moment(found, "exp"), moment(found, "iat")
    if ends is None:
        return 0.0
    left = ends - time.time()
    life = left if issued is None else ends - issued
    # A source may hand out a token of some age; the wall clock says so, and is believed where it makes sense.
    if 0 < left < life:
        life = left
    return max(0.0, life - min(RENEW_BEFORE_SECONDS, life / 2))


def checked(text: str) -> str:
    """One access token. Raises ConfigurationError."""
    token = text.strip()
    if not token or not token.isascii() or len(token.split()) != 1 or len(token) > MAX_TOKEN_CHARACTERS:
        raise ConfigurationError("the token source did not yield one access token", reason="TOKEN_SOURCE")
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"token_file cannot be read: {error}", reason="TOKEN_SOURCE") from error
