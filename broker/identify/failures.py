"""A limit on failed tokens for each certificate: a bucket that empties by a failure and fills with time.

Guarantees: a certificate that fails no tokens never meets it; the memory is bounded. A token that is already accepted
is not stopped, so a flood of bad tokens costs its own certificate new tokens only, and no other certificate anything.
"""

from __future__ import annotations

from broker.domain.clock import Clock
from broker.domain.errors import LimitError
from broker.identify.cache import BoundedCache

# A signature costs about 100 us: 100 a second from one certificate is 1% of a core.
BURST = 1000
PER_SECOND = 100


class FailureLimit:
    """At most `burst` failures at once, and `per_second` in the long run, for each certificate."""

    def __init__(
        self, clock: Clock, *, burst: int = BURST, per_second: int = PER_SECOND, certificates: int = 4096
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._buckets: BoundedCache[bytes, tuple[float, int]] = BoundedCache(certificates)

    def require_room(self, thumbprint: bytes) -> None:
        """Raises LimitError when this certificate has failed too often of late."""
        if self._room(thumbprint) < 1:
            raise LimitError(
                "LIMIT_EXCEEDED",
                "Too many tokens of this certificate were refused. Correct the client, then try again in a second.",
                retry_after_s=1.0,
            )

    def record(self, thumbprint: bytes) -> None:
        """Counts one failure."""
        self._buckets.put(thumbprint, (self._room(thumbprint) - 1, self._clock.monotonic_us()))

    def _room(self, thumbprint: bytes) -> float:
        bucket = self._buckets.get(thumbprint)
        if bucket is None:
            return float(self._burst)
        room, at_us = bucket
        return min(float(self._burst), room + (self._clock.monotonic_us() - at_us) * self._per_second / 1_000_000)
