"""A store of the revision before agreements were signed: nothing in it is lost, and nothing unsigned counts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from broker.store.migrate import SCRIPTS
from broker.store.store import Store
from entente.common.v1 import marks_pb2, record_pb2
from entente.report.v1 import report_service_pb2
from tests.support.grants import a_caller, grant_rows
from tests.support.reports import NORTH, SOUTH, Desk, TickingClock, line, marks, open_store, person, report

BEFORE = "0002"
LIME = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value="Ana Lime")
UNSIGNED = ("old", f'["{NORTH}", "{SOUTH}"]', '["FRAUD"]', "SECRET", 1, 2**50)
POINTER, PROTECTED = marks_pb2.FALLBACK_POINTER, marks_pb2.SANITISATION_SOURCE_PROTECTED
# Of a record and of one of its portions, as far as they could be said then.
SAID: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({}, {}),
    ({"fallback": POINTER}, {}),
    ({"fallback": POINTER}, {"fallback": POINTER}),
    ({"fallback": POINTER}, {"tlp": marks_pb2.TLP_RED}),
    ({"fallback": POINTER}, {"sanitisation": PROTECTED}),
    ({"fallback": POINTER, "sanitisation": PROTECTED}, {"sanitisation": PROTECTED}),
    ({"fallback": POINTER}, {"sanitisation": marks_pb2.SANITISATION_SANITISED}),
    ({}, {"fallback": POINTER}),
)


def before(newest: Path, path: Path) -> None:
    """What a broker of the revision before would have kept in place of the newest store."""
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)
    engine.dispose()
    old = sqlite3.connect(path)
    tables = [name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    old.execute("DELETE FROM directory_revision")
    old.commit()
    old.execute("ATTACH ? AS newest", (str(newest),))
    for name in tables:
        if name not in ("agreement", "alembic_version") and not name.startswith("sqlite_"):
            old.execute(f"INSERT INTO main.{name} SELECT * FROM newest.{name}")
    old.execute("INSERT INTO agreement VALUES (?, ?, ?, ?, ?, ?)", UNSIGNED)
    old.commit()
    old.close()


def beside(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT * FROM beside_index ORDER BY term, seq, portion, container").fetchall()
    connection.close()
    return found


async def test_nothing_is_lost_and_nothing_unsigned_counts(tmp_path: Path) -> None:
    store = open_store(tmp_path / "newest.db")
    revision, desk = store.directory_revision, Desk(store, a_caller(SOUTH))
    for own, of_portion in SAID:
        entity = person("a", "Ana Lime", marks=marks_pb2.Marks(**of_portion))
        header = record_pb2.RecordHeader(marks=marks("SECRET", **own))
        await desk.submit(report("crates", header=header, lines=[line("1", "crates")], entities=[entity]))
    store.close()
    before(tmp_path / "newest.db", tmp_path / "old.db")

    upgraded = Store.open(tmp_path / "old.db", TickingClock())
    facts = upgraded.facts(NORTH)
    assert facts is not None
    assert facts.agreements == ()
    assert facts.revision > revision, "a worker that still runs the version before decides again"
    assert beside(tmp_path / "old.db") == beside(tmp_path / "newest.db")
    every = [number for number, _ in upgraded.mark_sets(0)]
    reader = Desk(upgraded, a_caller(NORTH))
    assert len(reader.search_answer(grant_rows(upgraded, every), text="crates").items) == len(SAID)
    pointed = reader.search_answer(grant_rows(upgraded, (), pointers=every), entity=LIME)
    assert len(pointed.items) == 4, "an originator's choice of then is honoured in a search of now"
    upgraded.close()
