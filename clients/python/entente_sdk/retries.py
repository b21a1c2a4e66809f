"""When an attempt may be repeated, and after what wait.

MUSTs:
1. Only UNAVAILABLE, CANCELLED that this side did not cause, and RESOURCE_EXHAUSTED with a time to come back
   (`google.rpc.RetryInfo`) are repeated; every other answer is an answer.
2. A repeated write carries the bytes of the first attempt, so the same idempotency key: it happens once.
3. No wait outlasts the call's deadline, and none is shorter than the broker asks for.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import grpc

RETRIED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
# The caller's right ended, or what proves it did: with a fresh token, or another certificate, the call may succeed.
TOKEN_REFUSED = frozenset({"TOKEN_EXPIRED", "TOKEN_NOT_BOUND", "TOKEN_REVOKED", "STREAM_EXPIRED"})
CERTIFICATE_REFUSED = frozenset({"CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential waits with jitter. `attempts` counts the first one: 1 never repeats."""

    attempts: int = 6
    first_wait_seconds: float = 0.1
    longest_wait_seconds: float = 4.0

    def wait_seconds(self, attempts_made: int) -> float:
        """Half of it fixed, half of it random: callers that failed together do not come back together."""
        full = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** (attempts_made - 1))
        return full / 2 + random.uniform(0, full / 2)  # noqa: S311 - spreads load, keeps no secret


@dataclass(slots=True)
class Budget:
    """The time and the attempts of one logical call."""

    policy: RetryPolicy
    seconds: float
    attempts_made: int = 0
    renewed: bool = False
    _started: float = field(default_factory=time.monotonic)

    def remaining_seconds(self) -> float:
        """Until the deadline, never negative."""
        return max(0.0, self._started + self.seconds - time.monotonic())

    def next_wait(
        self, code: grpc.StatusCode, retry_after_s: float | None = None, *, renewed: bool = False
    ) -> float | None:
        """Seconds to wait before another attempt, or None when there must not be one.

        Args:
            code: how the attempt ended.
            retry_after_s: what the broker asks to wait at least.
            renewed: another attempt has a fresh token or certificate to show.
        """
        self.attempts_made += 1
        told = code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_s is not None
        if not (code in RETRIED or told or renewed) or self.attempts_made >= self.policy.attempts:
            return None
        # On top of what the broker asks: all whom it sent away would come back in the same moment.
        wait = self.policy.wait_seconds(self.attempts_made) + (retry_after_s or 0.0)
        return wait if wait < self.remaining_seconds() else None
