"""How long a group waits for company before its fdatasync.

Group commit does not group by itself: flushing whenever idle averaged 1.2 entries for each fdatasync. Waiting a fixed
time would slow the single caller. So the wait follows what was observed:

- alone (the last groups held one entry): no wait, except a rare probe of one tick, to notice that others have come;
- among others: wait in ticks of 1 ms while entries keep coming, until as many wait as usually do, at most 8 ms.

Pure: it is told what happens and says what to do; `log.py` owns the timers.
"""

from __future__ import annotations

TICK_S = 0.001
MAX_TICKS = 8
_PROBE_FIRST = 16
_PROBE_RAREST = 256
_GROW_EVERY = 16


class Linger:
    """The adaptive wait. `usual` is how many entries a group usually gets."""

    def __init__(self) -> None:
        self.usual = 1.0
        self._until_probe = _PROBE_FIRST
        self._probe_gap = _PROBE_FIRST
        self._full_groups = 0
        self._ticks = 0
        self._seen = 0
        self._probing = False

    def begin(self) -> bool:
        """The first entry of a group has come: True to wait a tick, False to flush now."""
        self._ticks = self._seen = 0
        self._probing = False
        if self.usual >= 1.5:
            return True
        self._until_probe -= 1
        self._probing = self._until_probe <= 0
        return self._probing

    def enough(self, waiting: int) -> bool:
        """As many wait as usually do: nobody else is expected."""
        return waiting >= round(self.usual) and not self._probing

    def tick(self, waiting: int) -> bool:
        """A tick has passed: True to wait another, False to flush."""
        self._ticks += 1
        still_coming = waiting > max(self._seen, 1)
        self._seen = waiting
        return still_coming and self._ticks < MAX_TICKS

    def flushed(self, size: int) -> None:
        """A group of this size was taken."""
        if self._probing:
            self._probe_gap = _PROBE_FIRST if size > 1 else min(self._probe_gap * 2, _PROBE_RAREST)
            self._until_probe = self._probe_gap
        if size > self.usual:
            self.usual = float(size)
        elif size < self.usual:
            self.usual += (size - self.usual) * 0.25
        self._full_groups = self._full_groups + 1 if size >= self.usual else 0
        if self._full_groups >= _GROW_EVERY and size > 1:
            # Every group is as large as expected: expect one more now and then, or we would never see a larger one.
            self.usual += 1
            self._full_groups = 0
