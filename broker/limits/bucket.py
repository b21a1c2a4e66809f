"""A bucket that fills with time and empties by use: the use of all workers, as their shared counters tell it.

Each worker keeps its own bucket and reads the use from the counters, so nothing is locked. What it may be wrong by is
what the other workers admit between two looks: a part of a second's worth. It never runs ahead for good: what was used
beyond the level is a debt, and is paid first.
"""

from __future__ import annotations


class Bucket:
    """At most `most` at once, and `per_second` in the long run."""

    __slots__ = ("_at_us", "_level", "_most", "_per_second", "_used")

    def __init__(self, per_second: int, most: int, used: int, now_us: int) -> None:
        self._per_second = per_second
        self._most = most
        # What was used before is not known to be long ago: a worker that has just started is stricter for a moment.
        self._level = max(0.0, float(most - used))
        self._used = used
        self._at_us = now_us

    def wait_s(self, needed: float, used: int, now_us: int) -> float:
        """Seconds until there is as much as is needed; 0 when there is now. `used`: in all, by all workers."""
        self.look(used, now_us)
        return max(0.0, (needed - self._level) / self._per_second)

    def look(self, used: int, now_us: int) -> None:
        """Take in what time gave and the workers used since the last look."""
        gained = (now_us - self._at_us) * self._per_second / 1_000_000
        self._level = min(float(self._most), self._level + gained - (used - self._used))
        self._used = used
        self._at_us = now_us
