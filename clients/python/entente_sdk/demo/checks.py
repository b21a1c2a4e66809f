"""What a step asserts about itself, and the clock of the first answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from entente_sdk.errors import EntenteError

FIRST_ANSWERS_SECONDS = 60.0


class DemoError(EntenteError):
    """The demo could not be set up, or a step did not do what the story says."""

    default_advice = "Run it again with `--keep DIR`, and look into broker.log there."

    def __init__(self, message: str, reason: str = "DEMO_FAILED") -> None:
        super().__init__(reason, message)


def expect(holds: bool, what: str) -> None:
    """Raises DemoError where the story does not hold; `what` says what should have been."""
    if not holds:
        raise DemoError(f"expected, but not so: {what}")


@contextmanager
def step_named(title: str) -> Iterator[None]:
    """Every error within names the step. Raises DemoError."""
    try:
        yield
    except EntenteError as error:
        raise DemoError(f"at the step {title!r}: {error.message} ({error.reason})") from error
    except TimeoutError as error:
        raise DemoError(f"at the step {title!r}: nothing came within the time allowed") from error


@dataclass(slots=True)
class FirstAnswers:
    """Seconds from the set-up's end to the first granted and the first denied answer."""

    started: float = field(default_factory=time.monotonic)
    granted: float | None = None
    denied: float | None = None

    def note_granted(self) -> None:
        """A call was answered."""
        if self.granted is None:
            self.granted = time.monotonic() - self.started

    def note_denied(self) -> None:
        """A call was refused by policy."""
        if self.denied is None:
            self.denied = time.monotonic() - self.started

    def within_limit(self) -> tuple[float, float]:
        """(granted, denied). Raises DemoError when one is missing or late."""
        expect(self.granted is not None and self.granted < FIRST_ANSWERS_SECONDS, "a granted answer within 60 s")
        expect(self.denied is not None and self.denied < FIRST_ANSWERS_SECONDS, "a denied answer within 60 s")
        return self.granted or 0.0, self.denied or 0.0
