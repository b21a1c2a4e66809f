"""A small circuit breaker: after some failures running, refuse at once; soon after, let one call try.

Guarantees: once the other side answers again, so does the breaker within `PAUSE_US` and one call.
"""

from __future__ import annotations

from broker.domain.clock import Clock

FAILURES = 3
PAUSE_US = 1_000_000


class Breaker:
    """Closed, open, or half open with one call on trial."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._retry_at_us = 0

    def lets_through(self) -> bool:
        """Whether a call may be made now; when open, one each pause, whose outcome `note` must be told."""
        if self._failures < FAILURES:
            return True
        now_us = self._clock.monotonic_us()
        if now_us < self._retry_at_us:
            return False
        self._retry_at_us = now_us + PAUSE_US
        return True

    def note(self, *, answered: bool) -> None:
        """The outcome of a call that was let through. An answer closes the breaker, whatever else is under way."""
        if answered:
            self._failures = 0
            return
        self._failures += 1
        if self._failures == FAILURES:
            self._retry_at_us = self._clock.monotonic_us() + PAUSE_US
