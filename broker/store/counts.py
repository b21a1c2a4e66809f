"""How many latest versions a caller may see: what a search plans by.

The count is of visible mark sets alone, so that no plan, hence no time, depends on what is hidden. Counts are read anew
when the store has grown by a sixty-fourth, because a wrong guess costs time and never rows.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import func, select

from broker.store.prepared import Driver, Prepared, Row
from broker.store.schema import change, mark_set_count

# Up to so many visible records they are listed by mark set and tested, instead of being met in an index among hidden
# ones, whose number would tell by the time that it takes to pass them. Listing costs about 1 us for each:
# from about here on, passing is cheaper.
FEW = 4_000
_LEAST_CHANGES = 1_000

_LATEST_SEQ = Prepared(select(func.coalesce(func.max(change.c.seq), 0)))
_COUNTS = Prepared(select(mark_set_count.c.mark_set, mark_set_count.c.records).where(mark_set_count.c.records > 0))


class VisibleCounts:
    """How many records each mark set holds, cut into binary digits: digit j of all counts is one bitmap.

    So the sum over any bitmap is a few `&` and bit counts (0.1 ms for 235,000 mark sets), whoever asks.
    """

    def __init__(self) -> None:
        self._digits: list[int] = []
        self._until = -1

    def few(self, driver: Driver, visible: int) -> bool:
        """Whether these mark sets hold few enough records to be listed."""
        newest = _number(_LATEST_SEQ.first(driver, {}))
        if newest > self._until:
            self._digits = _digits(_COUNTS.all(driver, {}))
            self._until = newest + max(_LEAST_CHANGES, newest // 64)
        total = 0
        for place in reversed(range(len(self._digits))):
            total += (visible & self._digits[place]).bit_count() << place
            if total > FEW:
                return False
        return True


def _digits(counts: list[Row]) -> list[int]:
    """Bitmap j: the mark sets whose count has a 1 in its binary digit j."""
    by_count: dict[int, list[int]] = defaultdict(list)
    for number, records in counts:
        by_count[records].append(number)
    found = [0] * max((records.bit_length() for records in by_count), default=0)
    for records, numbers in by_count.items():
        packed = bytearray((max(numbers) >> 3) + 1)
        for number in numbers:
            packed[number >> 3] |= 1 << (number & 7)
        bitmap = int.from_bytes(packed, "little")
        for place in range(records.bit_length()):
            if records >> place & 1:
                found[place] |= bitmap
    return found


def _number(row: Row | None) -> int:
    return 0 if row is None else int(row[0])
