"""The change feed: what subscriptions follow, what recovery asks, and the wake-up that a commit gives.

Guarantees: a change is returned only where its version could be read by `GetReport` now; whether there is more to come
is told by visible changes alone. The feed's order is that of commits, because one writer at a time takes the numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass

from sqlalchemy import LargeBinary, and_, bindparam, func, or_, select, true

from broker.domain.grant import Grant
from broker.store.engine import flagged
from broker.store.fresh import require_fresh
from broker.store.mark_sets import flags
from broker.store.prepared import Driver, Prepared
from broker.store.records import VERSIONS, StoredVersion, stored
from broker.store.schema import change, record, version

# A read on the event loop looks at no more rows than this before it lets others run.
WINDOW = 2_000

_HIGHEST = Prepared(select(func.coalesce(func.max(change.c.seq), 0)))
_BY_EXCHANGE = Prepared(select(change.c.seq).where(change.c.exchange_id == bindparam("exchange")).limit(1))
_rows = bindparam("rows", type_=LargeBinary())
_FEED = Prepared(
    VERSIONS.where(
        version.c.seq > bindparam("after"),
        version.c.seq <= bindparam("upto"),
        flagged(_rows, version.c.mark_set),
        flagged(_rows, record.c.mark_set),
        or_(
            record.c.active.is_(true()),
            record.c.seq == version.c.seq,
            record.c.originator == bindparam("agency"),
        ),
        or_(
            bindparam("originator") == "",
            and_(
                record.c.originator == bindparam("originator"),
                flagged(bindparam("heads", type_=LargeBinary()), version.c.mark_set),
                flagged(bindparam("heads", type_=LargeBinary()), record.c.mark_set),
            ),
        ),
    )
    .order_by(version.c.seq)
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Visible changes, in order; all up to `upto` was looked at, and `end` says that nothing lies beyond it."""

    found: tuple[StoredVersion, ...]
    upto: int
    end: bool


def highest(driver: Driver) -> int:
    """The number of the newest change, visible or not: it never leaves the broker unsealed."""
    row = _HIGHEST.first(driver, {})
    return 0 if row is None else int(row[0])


def scan(driver: Driver, grant: Grant, after: int, most: int, *, agency: str, originator: str | None) -> Scanned:
    """At most so many visible changes after a number, from at most `WINDOW` numbers. `agency` is the caller's own."""
    require_fresh(driver, grant)
    last = highest(driver)
    upto = min(last, after + WINDOW)
    values = {
        "after": after,
        "upto": upto,
        "rows": flags(grant.rows),
        "heads": flags(_heads(grant)),
        "agency": agency,
        "originator": originator or "",
        "most": most,
    }
    found = tuple(stored(row) for row in _FEED.all(driver, values))
    if len(found) == most:
        upto = found[-1].seq
    return Scanned(found, max(upto, after), upto >= last)


def _heads(grant: Grant) -> int:
    """Where a condition on the head may be tested: the head's class in full."""
    held = grant.classes.get("HEADER")
    return 0 if held is None else held.full & grant.rows


def was_done(driver: Driver, exchange_id: str) -> bool:
    """Whether this exchange wrote a version: whether an intent was carried out."""
    return _BY_EXCHANGE.first(driver, {"exchange": exchange_id}) is not None


class Bell:
    """Wakes those who wait for a change. Rung from the writer's thread; waited for on any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def ring(self) -> None:
        """Wake everybody who waits now."""
        with self._lock:
            woken, self._waiting = self._waiting, []
        for loop, future in woken:
            # A loop that has closed has nobody left to wake.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, future)

    def listen(self) -> asyncio.Future[None]:
        """A future that the next ring resolves. Take it before looking, so that no ring is missed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting = [pair for pair in self._waiting if not pair[1].done()]
            self._waiting.append((loop, future))
        return future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
