"""When an attempt may be repeated, and after what wait.

MUSTs:
1. Only UNAVAILABLE, and CANCELLED that this side did not cause, are repeated; every other answer is an answer.
2. A repeated write carries the bytes of the first attempt, so the same idempotency key: it happens once.
3. No wait outlasts the call's deadline.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import grpc

RETRIED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


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
    _started: float = field(default_factory=time.monotonic)

    def remaining_seconds(self) -> float:
        """Until the deadline, never negative."""
        return max(0.0, self._started + self.seconds - time.monotonic())

    def next_wait(self, code: grpc.StatusCode) -> float | None:
        """Seconds to wait before another attempt, or None when there must not be one."""
        self.attempts_made += 1
        if code not in RETRIED or self.attempts_made >= self.policy.attempts:
            return None
        wait = self.policy.wait_seconds(self.attempts_made)
        return wait if wait < self.remaining_seconds() else None
