"""How many latest versions a caller may see: what a search plans by.

The count is of visible mark sets alone, so that no plan, hence no time, depends on what is hidden. It is remembered
for a thousand changes, because a wrong guess costs time and never rows.
"""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy import LargeBinary, bindparam, func, select

from broker.store.engine import flagged
from broker.store.mark_sets import flags
from broker.store.prepared import Driver, Prepared, Row
from broker.store.schema import change, mark_set_count

# Up to so many visible records they are listed by mark set and tested, instead of being met in an index among hidden
# ones, whose number would tell by the time that it takes to pass them. Listing costs about 1 us for each:
# from about here on, passing is cheaper.
FEW = 4_000
_REMEMBERED = 1024
_CHANGES_PER_COUNT = 1000

_LATEST_SEQ = Prepared(select(func.coalesce(func.max(change.c.seq), 0)))
_VISIBLE = Prepared(
    select(func.coalesce(func.sum(mark_set_count.c.records), 0)).where(
        flagged(bindparam("rows", type_=LargeBinary()), mark_set_count.c.mark_set)
    )
)


class VisibleCounts:
    """Remembers, per bitmap of visible mark sets, how many records they hold. Bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int], int] = OrderedDict()

    def few(self, driver: Driver, visible: int) -> bool:
        """Whether these mark sets hold few enough records to be listed."""
        key = (visible, _number(_LATEST_SEQ.first(driver, {})) // _CHANGES_PER_COUNT)
        total = self._known.get(key)
        if total is None:
            total = _number(_VISIBLE.first(driver, {"rows": flags(visible)}))
            self._known[key] = total
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return total <= FEW


def _number(row: Row | None) -> int:
    return 0 if row is None else int(row[0])
