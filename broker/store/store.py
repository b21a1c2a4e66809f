"""The store: reads inline on the event loop, writes on one thread, no read of a record without a Grant.

Guarantees:
1. each read is one transaction, in which the grant is proven fresh first (`fresh.py`), else StaleGrantError;
2. an awaited write is durable, and whole;
3. whatever the database cannot do is UnavailableError, with nothing about it for the caller.
Reads are made from one thread: the event loop's. Each is bounded by its page.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from broker.domain.clock import Clock
from broker.domain.directory import Agency, AgencyFacts, Agreement, Appointment
from broker.domain.grant import Grant
from broker.domain.hit import SilentHit
from broker.domain.issuer import RegisteredIssuer
from broker.domain.marks import MarkSet
from broker.domain.policy import PolicyOnFile
from broker.domain.standing import Revoked
from broker.store import beside, changes, directory, mark_sets, policies, records, registry
from broker.store.beside import Found, Place
from broker.store.changes import Bell, Scanned
from broker.store.counts import VisibleCounts
from broker.store.engine import open_engine
from broker.store.fresh import require_current
from broker.store.migrate import migrate
from broker.store.prepared import Driver, driver_of
from broker.store.records import StoredVersion
from broker.store.search import Conditions
from broker.store.write import WriteTransaction
from broker.store.writer import Writer, refused, unavailable

T = TypeVar("T")


class Store:
    """See the module. Make one with `Store.open`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.clock = clock
        self._write_engine = open_engine(path, writes=True)
        migrate(self._write_engine)
        self._read_engine: Engine = open_engine(path, writes=False)
        with self._read_engine.connect() as connection:
            self._driver = driver_of(connection)
        self._bell = Bell()
        self._writer = Writer(self._write_engine, self._bell.ring)
        self._counts = VisibleCounts()
        self._facts: dict[str, AgencyFacts] = {}
        self._path = path
        self._file = _identity(path)

    @classmethod
    def open(cls, path: Path, clock: Clock) -> Store:
        """Open the database file, made if absent, and bring its schema up to date. Blocks.

        Raises:
            NewerSchemaError: a newer broker has written it.
        """
        return cls(path, clock)

    def close(self) -> None:
        """Finish what is being written, then let go of the file."""
        self._writer.close()
        self._read_engine.dispose()
        self._write_engine.dispose()

    # The directory and the mark sets: what grants are decided on

    def load_directory(
        self,
        agencies: Iterable[Agency],
        agreements: Iterable[Agreement],
        appointments: Iterable[Appointment] = (),
        documents: Mapping[str, str] | None = None,
    ) -> int:
        """Replace what the operator's file says; returns the directory's revision, which grows only if something
        differs. `documents`: agreement id -> what its parties signed. Blocks: for the start."""
        wanted = list(agencies), list(agreements), list(appointments), dict(documents or {}), self.clock.now_us()
        return self._writer.submit(lambda tx: tx.load_directory(*wanted)).result()

    @property
    def directory_revision(self) -> int:
        """The directory's revision, now."""
        with self._read() as connection:
            return directory.revision(connection)

    def facts(self, agency: str) -> AgencyFacts | None:
        """What policy may know of an agency (`trust-domain/agency`), or None. Remembered while the revision stands."""
        with self._read() as connection:
            known = self._facts.get(agency)
            if known is not None and known.revision == directory.revision(connection):
                return known
            found = directory.facts(connection, agency)
        if found is not None:
            self._facts[agency] = found
        return found

    def require_current(self, grant: Grant) -> None:
        """Raises StaleGrantError unless the directory is the one that the grant was decided on."""
        with self._snapshot() as driver:
            require_current(driver, grant)

    def policy_epoch(self) -> int:
        """The epoch of the policy in force; 0 where none has ever been."""
        with self._snapshot() as driver:
            return policies.epoch(driver)

    def policy_in_force(self) -> PolicyOnFile | None:
        """The policy in force, with its bundle, or None where none has ever been."""
        with self._snapshot() as driver:
            return policies.in_force(driver)

    def configure_policy(self, revision: str, archive: bytes, passed_over: str) -> None:
        """Put the operator's policy in force, unless an adopted one stands over it (`policies.configure`). Blocks: for
        the start."""
        now_us = self.clock.now_us()

        def configure(tx: WriteTransaction) -> None:
            policies.configure(tx.driver, revision=revision, archive=archive, passed_over=passed_over, now_us=now_us)

        self._writer.submit(configure).result()

    def mark_sets(self, after: int) -> list[tuple[int, MarkSet]]:
        """(id, mark set) above an id, ascending; 0 for all."""
        with self._read() as connection:
            return mark_sets.after(connection, after)

    def agency(self, name: str) -> Agency | None:
        """An agency of the directory."""
        with self._read() as connection:
            return directory.find(connection, name)

    def agencies(self, after: str, most: int) -> list[Agency]:
        """Agencies by name, from above one."""
        with self._read() as connection:
            return directory.page(connection, after, most)

    # Records, through a grant: each raises StaleGrantError when it has to be decided again

    def find(self, grant: Grant, record_id: str, version: int | None = None, *, agency: str) -> StoredVersion | None:
        """A version, or None where hidden or missing (`records.find`)."""
        if version is None:
            # One statement is a transaction by itself.
            try:
                return records.find(self._driver, grant, record_id, agency=agency)
            except sqlite3.Error as error:
                raise refused(error) from error
        with self._snapshot() as driver:
            return records.find(driver, grant, record_id, version, agency=agency)

    def history(
        self, grant: Grant, record_id: str, below: int, most: int, *, agency: str
    ) -> list[StoredVersion] | None:
        """Versions, newest first (`records.history`)."""
        with self._snapshot() as driver:
            return records.history(driver, grant, record_id, below, most, agency=agency)

    def search(self, grant: Grant, wanted: Conditions, place: Place, most: int, *, agency: str) -> Found:
        """Latest versions, newest first, then pointers; and what was hit silently (`beside.find_all`)."""
        with self._snapshot() as driver:
            return beside.find_all(driver, self._counts, grant, wanted, place, most, agency=agency)

    def silent_holder(self, grant: Grant, record_id: str, *, agency: str) -> SilentHit | None:
        """What was hit silently by naming a record that was not found (`beside.silent_holder`)."""
        with self._snapshot() as driver:
            return beside.silent_holder(driver, grant, record_id, agency=agency)

    def changes(self, grant: Grant, after: int, most: int, *, agency: str, originator: str | None = None) -> Scanned:
        """The feed's next window (`changes.scan`)."""
        with self._snapshot() as driver:
            return changes.scan(driver, grant, after, most, agency=agency, originator=originator)

    def newest_change(self) -> int:
        """The feed's end, now."""
        with self._snapshot() as driver:
            return changes.highest(driver)

    def change_signal(self) -> asyncio.Future[None]:
        """Resolves at the next commit of a change by this process. Take it before looking."""
        return self._bell.listen()

    def exchange_done(self, exchange_id: str) -> bool:
        """Whether an exchange changed a record or the registry. For recovery: it says nothing of the content."""
        with self._snapshot() as driver:
            return changes.was_done(driver, exchange_id) or registry.was_done(driver, exchange_id)

    def owner(self, record_id: str) -> str | None:
        """The originator of a record, or None. For an auditor's scope: it says nothing of the content."""
        with self._snapshot() as driver:
            return records.owner(driver, record_id)

    # The registry, and what tells that any process has committed

    def pulse(self) -> int:
        """A number that changes when another connection, of this process or not, has committed. About 5 us."""
        try:
            if self._driver.in_transaction:
                # A read that could not be ended would show one moment for ever, and its number would stand still.
                self._driver.execute("ROLLBACK")
            # Of this connection alone: it says nothing but whether it is still the same.
            return int(self._driver.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise refused(error) from error

    def require_in_place(self) -> None:
        """Raises UnavailableError where the database's file is gone, or another one is in its place: what other
        processes commit from now on would never be seen here."""
        try:
            found = _identity(self._path)
        except OSError as error:
            raise unavailable(f"{self._path}: {error.strerror}") from error
        if found != self._file:
            raise unavailable(f"{self._path} is another file than the one that was opened")

    def ring(self) -> None:
        """Wake who listens for changes: another process may have committed one."""
        self._bell.ring()

    def registry_revision(self) -> int:
        """The number of the registry's newest change."""
        with self._snapshot() as driver:
            return registry.revision(driver)

    def revoked(self) -> Revoked:
        """All that is revoked, as of one revision."""
        with self._snapshot() as driver:
            return registry.revoked(driver)

    def issuers(self) -> list[RegisteredIssuer]:
        """The issuers that were registered by an approved proposal."""
        with self._snapshot() as driver:
            return registry.issuers(driver)

    def look(self, read: Callable[[Driver], T]) -> T:
        """Run one of the store's functions on the registry within a read transaction."""
        with self._snapshot() as driver:
            return read(driver)

    # Writing

    async def write(self, work: Callable[[WriteTransaction], T]) -> T:
        """Run `work` in a write's transaction, on the writer's thread. Returns when it is durable.

        Cancelled before it began, it is not done; after that, it is done although nobody waits.
        """
        return await asyncio.wrap_future(self._writer.submit(work))

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with self._read_engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise refused(error) from error

    @contextmanager
    def _snapshot(self) -> Iterator[Driver]:
        """A read transaction on the driver."""
        driver = self._driver
        try:
            driver.execute("BEGIN")
            try:
                yield driver
            finally:
                driver.execute("COMMIT")
        except sqlite3.Error as error:
            raise refused(error) from error


def _identity(path: Path) -> tuple[int, int]:
    """Which file a path names now. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino
