"""What a step of the examination found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from entente_sdk.advice import advice_for
from entente_sdk.errors import EntenteError

Verdict = Literal["OK", "WARN", "FAIL", "SKIP"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `fix` is empty where there is nothing to do."""

    step: str
    verdict: Verdict
    cause: str
    fix: str = ""


def ok(step: str, cause: str) -> Finding:
    """As it should be."""
    return Finding(step, "OK", cause)


def warn(step: str, cause: str, fix: str) -> Finding:
    """It works, and will not for long, or not for everything."""
    return Finding(step, "WARN", cause, fix)


def fail(step: str, cause: str, fix: str) -> Finding:
    """Nothing works before this is mended."""
    return Finding(step, "FAIL", cause, fix)


def skip(step: str, because: str) -> Finding:
    """Not examined."""
    return Finding(step, "SKIP", because)


def failed(step: str, error: EntenteError) -> Finding:
    """An error of the SDK as a finding."""
    return fail(step, f"{error.message} ({error.reason})", advice_for(error.reason, error.default_advice))
