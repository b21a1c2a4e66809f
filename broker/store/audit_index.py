"""Search over the ledger in SQL: a projection that holds nothing the ledger does not, and can be dropped at any time.

Guarantees: rows are added in the order of their index, a batch in one transaction with the new size, so that a crash
leaves a prefix. Durability is left to the ledger (synchronous=NORMAL).

Holds no case reference and no record id in clear: both are HMAC indexes ("blinds") made by the caller. Knows nothing of
leaves, keys or scopes' meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    or_,
    select,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DBAPIError

from broker.store.audit_rows import DecisionRow, EntryRow, IndexQuery, Projected
from broker.store.prepared import Prepared, driver_of
from broker.store.writer import refused

_metadata = MetaData()
_entries = Table(
    "entry",
    _metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger, nullable=False),
    *(
        Column(name, String, nullable=False)
        for name in ("type", "phase", "exchange_id", "method", "agency", "user", "purpose")
    ),
    *(Column(name, String, nullable=False) for name in ("outcome", "status", "reason")),
    Column("case_blind", LargeBinary),
    Column("bytes", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
)
Index("entry_time", _entries.c.time_us)
Index("entry_agency", _entries.c.agency, _entries.c.user, _entries.c.index)
Index("entry_exchange", _entries.c.exchange_id)
Index("entry_case", _entries.c.case_blind, sqlite_where=_entries.c.case_blind.is_not(None))

_records = Table(
    "record",
    _metadata,
    Column("blind", LargeBinary, primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
_owners = Table(
    "owner",
    _metadata,
    Column("agency", String, primary_key=True),
    Column("index", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
_outcomes = Table(
    "outcome",
    _metadata,
    Column("exchange_id", String, primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("outcome", String, nullable=False),
    sqlite_with_rowid=False,
)
# Whose records an exchange hit silently, and which. Apart from the records that it touched: who looked must not find
# them there.
_hits = Table(
    "hit",
    _metadata,
    Column("originator", String, primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("blind", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
Index("hit_record", _hits.c.blind)
Index("hit_entry", _hits.c.index)
# Equal decisions of policy, together: how many there are, and the newest entry of one, which holds the sealed input.
_decisions = Table(
    "decision",
    _metadata,
    *(Column(name, String, primary_key=True) for name in ("input_hash", "bundle", "method")),
    Column("allowed", Boolean, primary_key=True),
    Column("index", BigInteger, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("decision_time", _decisions.c.time_us)
_EXACT = ("agency", "user", "method", "type", "outcome", "purpose", "reason", "exchange_id", "case_blind")


# Fed for every exchange on the thread that readers share: as little Python for each row as can be.
_ADD_ENTRY, _ADD_RECORD, _ADD_OWNER, _ADD_END, _ADD_HIT = (
    Prepared(insert(table)) for table in (_entries, _records, _owners, _outcomes, _hits)
)
# One row for equal decisions, however many there are.
_insert_decision = upsert(_decisions)
_ADD_DECISION = Prepared(
    _insert_decision.on_conflict_do_update(
        index_elements=list(_decisions.primary_key.columns),
        set_={
            "index": _insert_decision.excluded["index"],
            "time_us": _insert_decision.excluded.time_us,
            "count": _decisions.c["count"] + _insert_decision.excluded["count"],
        },
    )
)
_ROW = attrgetter(*EntryRow.__dataclass_fields__)


class AuditIndex:
    """The projection's database. Calls block; keep them on one thread. `feeds`: False for another worker's, to read."""

    def __init__(self, path: Path, *, feeds: bool = True) -> None:
        self._engine = create_engine(f"sqlite:///{path}" if feeds else f"sqlite:///file:{path}?mode=rw&uri=true")
        event.listen(self._engine, "connect", _configure)
        self._has_hits = feeds
        if feeds:
            _metadata.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def size(self) -> int:
        """How many entries are in: the index of the next. Raises UnavailableError, as `search` does."""
        with self._reading() as connection:
            newest = connection.execute(select(func.max(_entries.c.index))).scalar()
        return 0 if newest is None else int(newest) + 1

    def add(self, batch: Sequence[Projected]) -> None:
        """Add entries, contiguous with what is in, in one transaction."""
        statements = (_ADD_ENTRY, _ADD_RECORD, _ADD_OWNER, _ADD_END, _ADD_HIT, _ADD_DECISION)
        rows: dict[Prepared, list[tuple[object, ...]]] = {statement: [] for statement in statements}
        for one in batch:
            index = one.row.index
            rows[_ADD_ENTRY].append(_ROW(one.row))
            rows[_ADD_RECORD] += [(blind, index, version) for blind, version in set(one.records)]
            rows[_ADD_OWNER] += [(agency, index) for agency in set(one.owners)]
            # A stream's batches may end differently within one leaf: the last ending counts.
            rows[_ADD_END] += [(exchange_id, index, end) for exchange_id, end in dict(one.outcomes).items()]
            rows[_ADD_HIT] += [(originator, index, blind) for originator, blind in set(one.hits)]
            if one.decision is not None:
                rows[_ADD_DECISION].append((*one.decision, index, one.row.time_us, 1))
        with self._engine.begin() as connection:
            driver = driver_of(connection)
            for statement, values in rows.items():
                statement.many(driver, values)

    def clear(self) -> None:
        """Forget everything; the ledger still has it."""
        with self._engine.begin() as connection:
            for table in _metadata.sorted_tables:
                connection.execute(delete(table))

    def search(
        self,
        query: IndexQuery,
        *,
        cursor: int | None = None,
        limit: int = 100,
        newest_first: bool = True,
        size: int | None = None,
    ) -> list[EntryRow]:
        """Rows beyond `cursor` (an index, exclusive) in the direction asked for, at most `limit`, of the first `size`
        entries."""
        if not self._holds_hits():
            # Fed by a broker that knew of none.
            if query.hits_of is not None:
                return []
            query = replace(query, with_hits=False)
        statement = _conditions(select(_entries), query)
        index = _entries.c.index
        if size is not None:
            statement = statement.where(index < size)
        if cursor is not None:
            statement = statement.where(index < cursor if newest_first else index > cursor)
        statement = statement.order_by(index.desc() if newest_first else index).limit(limit)
        with self._reading() as connection:
            return [EntryRow(*row) for row in connection.execute(statement)]

    def hitting(self, indexes: Sequence[int]) -> set[int]:
        """Those of these entries that hit a record silently."""
        if not indexes or not self._holds_hits():
            return set()
        statement = select(_hits.c.index).where(_hits.c.index.in_(indexes))
        with self._reading() as connection:
            return set(connection.execute(statement).scalars())

    def _holds_hits(self) -> bool:
        if not self._has_hits:
            with self._reading() as connection:
                self._has_hits = inspect(connection).has_table(_hits.name)
        return self._has_hits

    def decisions(self, since_us: int, most: int) -> list[DecisionRow]:
        """Distinct decisions that were taken at or after a time, at most so many, those that were taken last first. Of
        entries that were fed by a broker that kept none there are none."""
        statement = (
            select(_decisions)
            .where(_decisions.c.time_us >= since_us)
            .order_by(_decisions.c.time_us.desc(), *_decisions.primary_key.columns)
            .limit(most)
        )
        with self._reading() as connection:
            if not inspect(connection).has_table(_decisions.name):
                return []
            return [DecisionRow(*row) for row in connection.execute(statement)]

    def open_releases(self, before_us: int, limit: int = 1000) -> list[str]:
        """Exchanges begun before a time that released something, or meant to, and have no outcome since."""
        # An outcome closes what came before it: a stream's next batch opens its exchange again.
        closed = select(_outcomes.c.exchange_id).where(
            _outcomes.c.exchange_id == _entries.c.exchange_id, _outcomes.c.index > _entries.c.index
        )
        later = _entries.alias("later")
        resolved = select(later.c.index).where(
            later.c.exchange_id == _entries.c.exchange_id, later.c.outcome.in_(("denied", "aborted"))
        )
        statement = (
            select(_entries.c.exchange_id)
            .distinct()
            .where(
                _entries.c.phase.in_(("intent", "release")),
                _entries.c.outcome.in_(("allowed", "indeterminate")),
                _entries.c.time_us < before_us,
                ~closed.exists(),
                ~resolved.exists(),
            )
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [str(row[0]) for row in connection.execute(statement)]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Another worker may be making the file just now, or be gone with it."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise refused(error) from error

    def dump(self) -> list[tuple[Any, ...]]:
        """Every row of every table, in order: two projections are equal when their dumps are."""
        with self._engine.connect() as connection:
            return [
                (table.name, *row)
                for table in _metadata.sorted_tables
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]


def _conditions(statement: Select[Any], query: IndexQuery) -> Select[Any]:
    columns = _entries.c
    for name in _EXACT:
        value = getattr(query, name)
        if value is not None:
            statement = statement.where(columns[name] == value)
    if query.start_us is not None:
        statement = statement.where(columns.time_us >= query.start_us)
    if query.end_us is not None:
        statement = statement.where(columns.time_us < query.end_us)
    if query.record_blind is not None:
        touched = [columns.index.in_(select(_records.c.index).where(_records.c.blind == query.record_blind))]
        if query.with_hits:
            touched.append(columns.index.in_(select(_hits.c.index).where(_hits.c.blind == query.record_blind)))
        statement = statement.where(or_(*touched))
    if query.hits_of is not None:
        statement = statement.where(columns.index.in_(select(_hits.c.index).where(_hits.c.originator == query.hits_of)))
    if query.scope is not None:
        owned = select(_owners.c.index).where(_owners.c.agency.in_(query.scope))
        statement = statement.where(columns.agency.in_(query.scope) | columns.index.in_(owned))
    return statement


def _configure(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
