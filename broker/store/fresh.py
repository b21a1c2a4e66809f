"""The lock on every read: a grant opens records only while what it was decided on still holds.

MUST be called in the transaction that reads the rows: asked for in another one, a revoked grant leaks in between.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from broker.domain.grant import Grant, StaleGrantError
from broker.store.schema import directory_revision, mark_set

_STATE = select(
    select(directory_revision.c.revision).scalar_subquery().label("revision"),
    # -1 as in a grant that was made before the first mark set.
    select(func.coalesce(func.max(mark_set.c.id), -1)).scalar_subquery().label("highest"),
)


def require_fresh(connection: Connection, grant: Grant) -> None:
    """Raises StaleGrantError unless the directory and the mark sets are those that the grant was decided on."""
    revision, highest = connection.execute(_STATE).one()
    if revision != grant.data_revision or highest != grant.watermark:
        raise StaleGrantError
