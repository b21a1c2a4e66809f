"""Brings a database to the newest revision of the schema, in one transaction, from wherever the broker is installed.

Refuses a database that a newer broker has written: opening it could lose what this one does not know.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

SCRIPTS = Path(__file__).parent / "migrations"


class NewerSchemaError(Exception):
    """The database was written by a newer broker; start that one, or restore a copy of this one's."""


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision. Two processes may do so at once: the second finds it done.

    Raises:
        NewerSchemaError: the database is at a revision that this broker does not have.
    """
    config = Config()
    # Config interpolates percent signs, which paths may hold.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        command.upgrade(config, "head")


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise NewerSchemaError(f"the database is at revision {current!r}, which this broker does not know")
