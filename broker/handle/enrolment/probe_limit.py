"""How often the broker goes and looks at an address because somebody asks.

Guarantees: an agency's people together have `BURST` live tests at once, and one more every `SECONDS_EACH` seconds, in
each worker; the memory is bounded by the agencies of the directory: nobody else comes this far. A test tells whether
something answers at an address, so that without a limit whoever may test could search the broker's surroundings.
"""

from __future__ import annotations

from broker.domain.clock import Clock
from broker.domain.errors import LimitError

BURST = 10
SECONDS_EACH = 10


class ProbeLimit:
    """See the module."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Agency -> when all its tests are there again, on the monotonic clock.
        self._full_us: dict[str, int] = {}

    def take(self, agency: str) -> None:
        """One test. Raises LimitError."""
        now_us = self._clock.monotonic_us()
        full_us = max(now_us, self._full_us.get(agency, 0)) + SECONDS_EACH * 1_000_000
        over_us = full_us - now_us - BURST * SECONDS_EACH * 1_000_000
        if over_us > 0:
            raise LimitError(
                "LIMIT_EXCEEDED",
                "your agency has had many issuers tested just now; wait before the next test",
                retry_after_s=over_us / 1_000_000,
            )
        self._full_us[agency] = full_us
