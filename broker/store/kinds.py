"""The present records by their marks, for whoever looks at all of them: ids and mark sets, nothing of the content."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, select

from broker.store.prepared import Driver, Prepared
from broker.store.records import unpack
from broker.store.schema import record, version


class Marked(NamedTuple):
    """A record that stands, with the mark sets of its latest version."""

    record_id: str
    originator: str
    mark_set: int
    portions: tuple[int, ...]


_PAGE = Prepared(
    select(record.c.record_id, record.c.originator, record.c.mark_set, version.c.portion_mark_sets)
    .join_from(record, version, version.c.seq == record.c.seq)
    .where(record.c.record_id > bindparam("after"), record.c.active)
    .order_by(record.c.record_id)
    .limit(bindparam("most"))
)


def page(driver: Driver, after: str, most: int) -> list[Marked]:
    """At most so many records that stand, by their ids, from above one."""
    rows = _PAGE.all(driver, {"after": after, "most": most})
    return [Marked(row[0], row[1], row[2], tuple(sorted(set(unpack(row[3]))))) for row in rows]
