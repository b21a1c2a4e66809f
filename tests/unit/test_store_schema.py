"""The schema: what migrations make is what statements are built from, from wherever the broker is installed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from broker.store.migrate import SCRIPTS, NewerSchemaError
from broker.store.schema import metadata
from broker.store.store import Store
from tests.support.reports import TickingClock


def test_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "100% odd" / "store.db"
    path.parent.mkdir()
    Store.open(path, TickingClock()).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrations_lie_within_the_package() -> None:
    assert (SCRIPTS / "env.py").is_file()
    assert SCRIPTS.parent.name == "store"


def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(path, TickingClock())
    revision = store.load_directory([], [])
    store.close()
    store = Store.open(path, TickingClock())
    assert store.directory_revision == revision
    store.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store.open(path, TickingClock()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(NewerSchemaError, match="9999"):
        Store.open(path, TickingClock())


def test_commits_are_durable_and_reads_cannot_write(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.db", TickingClock())
    with store._write_engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._driver.execute("DELETE FROM agency")
    store.close()
