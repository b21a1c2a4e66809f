"""Commands of the profile: run without a shell, for a bounded time, with nothing on their standard input."""

from __future__ import annotations

import subprocess

from entente_sdk.errors import ConfigurationError


def run_words(setting: str, command: tuple[str, ...], seconds: float, reason: str) -> str:
    """Run a command without a shell; its standard output. Raises ConfigurationError with its last words."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{setting} {command[0]!r} failed: {error}", reason=reason) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigurationError(
            f"{setting} {command[0]!r} ended with status {done.returncode}: {said[0][:500]}", reason=reason
        )
    return done.stdout
