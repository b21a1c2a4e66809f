"""Engines on one database file, and the two constructs in which databases differ.

Guarantees: a commit is on disk before it returns (WAL, synchronous=FULL); every block is one transaction, so that what
is read in it is of one moment; readers cannot write; foreign keys hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Integer, TableValuedAlias, Text, bindparam, column, create_engine, event, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

BUSY_MS = 5_000
# Pages in memory, in KiB (negative by SQLite's convention): the inner nodes of every index at 10^6 records.
CACHE_KIB = -64_000


def open_engine(path: Path, *, writes: bool) -> Engine:
    """An engine of one connection: for the writer's thread, or for the event loop's bounded reads."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": BUSY_MS / 1000},
    )
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        for pragma in _pragmas(writes):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _pragmas(writes: bool) -> tuple[str, ...]:
    common = (f"busy_timeout={BUSY_MS}", f"cache_size={CACHE_KIB}", "foreign_keys=ON", "temp_store=MEMORY")
    if writes:
        return ("journal_mode=WAL", "synchronous=FULL", *common)
    return (*common, "query_only=ON")


class flagged(FunctionElement[bool]):  # noqa: N801 - it reads as the SQL function that it stands for
    """flagged(flags, mark_set): whether the mark set's byte in the bound flag string is 1.

    A mark set above the string's end, hence above the grant's watermark, is not flagged.
    """

    # Declared Boolean it would be rendered "... = 1", and computed once more for each row.
    type = Integer()  # type: ignore[assignment]
    inherit_cache = True


@compiles(flagged, "sqlite")
def _flagged_on_sqlite(element: flagged, compiler: SQLCompiler, **options: Any) -> str:
    flags, column = element.clauses
    return f"(substr({compiler.process(flags, **options)}, {compiler.process(column, **options)} + 1, 1) = x'01')"


@compiles(flagged, "postgresql")
def _flagged_on_postgresql(element: flagged, compiler: SQLCompiler, **options: Any) -> str:
    flags, column = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} < length({flags}) AND get_byte({flags}, {column}) = 1)"


def each(name: str, kind: type[Integer] | type[Text]) -> TableValuedAlias:
    """The elements of a bound JSON array as rows, in the column `value`: one statement for arrays of every length."""
    return func.json_each(bindparam(name)).table_valued(column("value", kind), name=f"each_{name}")
