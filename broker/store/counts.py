"""How many latest versions a caller may see: what a search plans by.

The count is of visible mark sets alone, so that no plan, hence no time, depends on what is hidden. It is remembered
for a thousand changes, because a wrong guess costs time and never rows.
"""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy import Connection, LargeBinary, bindparam, func, select

from broker.store.engine import flagged
from broker.store.mark_sets import flags
from broker.store.schema import change, mark_set_count

# Up to so many visible records they are listed by mark set instead of being looked for among all (policy.md, 3).
FEW = 20_000
_REMEMBERED = 1024
_CHANGES_PER_COUNT = 1000

_LATEST_SEQ = select(func.coalesce(func.max(change.c.seq), 0))
_VISIBLE = select(func.coalesce(func.sum(mark_set_count.c.records), 0)).where(
    flagged(bindparam("rows", type_=LargeBinary()), mark_set_count.c.mark_set)
)


class VisibleCounts:
    """Remembers, per bitmap of visible mark sets, how many records they hold. Bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int], int] = OrderedDict()

    def few(self, connection: Connection, visible: int) -> bool:
        """Whether these mark sets hold few enough records to be listed."""
        key = (visible, connection.execute(_LATEST_SEQ).scalar_one() // _CHANGES_PER_COUNT)
        total = self._known.get(key)
        if total is None:
            total = connection.execute(_VISIBLE, {"rows": flags(visible)}).scalar_one()
            self._known[key] = total
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return total <= FEW
