"""Where fdatasync runs: on the loop while it is quick, in a thread when it is slow.

On the loop is cheapest (a thread hop costs more than a good disk's fdatasync), but a slow one would hold up every call.
The first slow one cannot be foreseen; from the next on a thread takes over, until the disk has been quick for a while.
"""

from __future__ import annotations

_QUICK_BEFORE_RETURN = 32


class LatencyGuard:
    """`inline` says where the next fdatasync belongs."""

    def __init__(self, slow_us: int) -> None:
        self._slow_us = slow_us
        self._quick = 0
        self.inline = slow_us > 0

    def observe(self, duration_us: int) -> None:
        """A write with its fdatasync took so long."""
        if duration_us >= self._slow_us:
            self.inline = False
            self._quick = 0
        elif not self.inline:
            # Half of the limit: a disk that hovers at it would otherwise flip on every group.
            self._quick = self._quick + 1 if duration_us * 2 < self._slow_us else 0
            if self._quick >= _QUICK_BEFORE_RETURN:
                self.inline = True
                self._quick = 0
