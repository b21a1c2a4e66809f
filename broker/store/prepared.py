"""Statements that are compiled once and run on the driver itself: the toolkit's own execution costs more than the read.

They are still written with SQLAlchemy, which knows the dialects; only running them and fetching rows goes past it.
Rows are plain tuples, in the order of the statement's columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, Executable
from sqlalchemy.dialects import sqlite

Row = tuple[Any, ...]


class Cursor(Protocol):
    """A result of the driver."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Driver(Protocol):
    """The driver's connection, as far as it is needed."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: tuple[Any, ...] = ..., /) -> Cursor: ...
    def executemany(self, sql: str, parameters: Iterable[tuple[Any, ...]], /) -> Cursor: ...


def driver_of(connection: Connection) -> Driver:
    """The driver's connection under a toolkit's one: the same session, hence the same transaction."""
    found: Any = connection.connection.driver_connection
    driver: Driver = found
    return driver


class Prepared:
    """One statement. Values are given by the names of its bound parameters; more names than it has do no harm."""

    __slots__ = ("_fixed", "_names", "_sql")

    def __init__(self, statement: Executable) -> None:
        compiled: Any = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"))  # type: ignore[attr-defined]
        self._sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def first(self, driver: Driver, values: Mapping[str, Any]) -> Row | None:
        """The first row, or None."""
        row: Row | None = self.run(driver, values).fetchone()
        return row

    def all(self, driver: Driver, values: Mapping[str, Any]) -> list[Row]:
        """Every row."""
        return self.run(driver, values).fetchall()

    def many(self, driver: Driver, rows: Iterable[Row]) -> None:
        """Run it for each row; a row holds the values in the order of the statement's columns."""
        driver.executemany(self._sql, rows)

    def run(self, driver: Driver, values: Mapping[str, Any]) -> Cursor:
        """Run it once."""
        fixed = self._fixed
        return driver.execute(self._sql, tuple(values[n] if n in values else fixed[n] for n in self._names))
