"""How long keys count that nobody has confirmed.

MUST: keys count until `oldest_seconds` after they were last confirmed, by the wall clock and by the monotonic one,
whichever says that it is later: a clock that is set back prolongs nothing.
"""

from __future__ import annotations

from broker.domain.clock import Clock


class Lease:
    """Of one issuer's keys. Unconfirmed at first, so that nothing counts."""

    def __init__(self, clock: Clock, oldest_seconds: float) -> None:
        self._clock = clock
        self._oldest_us = round(oldest_seconds * 1_000_000)
        self._confirmed: tuple[int, int] | None = None

    def confirm(self, at_us: int | None = None) -> None:
        """The keys were looked at just now, or at `at_us` (UTC). A moment ahead of the clock confirms nothing."""
        now = self._clock.now_us()
        age = 0 if at_us is None else now - at_us
        if age >= 0:
            self._confirmed = (now - age, self._clock.monotonic_us() - age)

    def holds(self) -> bool:
        """Whether the keys count now."""
        if self._confirmed is None:
            return False
        wall, monotonic = self._confirmed
        return max(self._clock.now_us() - wall, self._clock.monotonic_us() - monotonic) <= self._oldest_us
