"""The one thread that writes.

Guarantees: writes run one at a time, each all or nothing; an awaited write is on disk when it returns. Writes that
arrive together share one commit, because the disk's flush is what costs. A write that was cancelled before it began is
not done.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from broker.domain.errors import UnavailableError
from broker.store.write import WriteTransaction

# One flush carries at most so many writes.
GROUP = 64

T = TypeVar("T")
_Job = tuple[Callable[[WriteTransaction], Any], "Future[Any]"]


class Writer:
    """Runs functions within write transactions, on its own thread. `on_change` follows a commit with changes."""

    def __init__(self, engine: Engine, on_change: Callable[[], None]) -> None:
        self._engine = engine
        self._on_change = on_change
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[WriteTransaction], T]) -> Future[T]:
        """Enqueue a write. Its future holds what `work` returns or raises, once that is durable or undone."""
        if self._closing:
            raise unavailable("the store is closed")
        future: Future[T] = Future()
        self._jobs.put((work, future))
        return future

    def close(self) -> None:
        """Finish what is enqueued, then stop."""
        self._closing = True
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            job = self._jobs.get()
            group: list[_Job] = []
            while True:
                if job is None:
                    open_ = False
                    break
                if job[1].set_running_or_notify_cancel():
                    group.append(job)
                if len(group) == GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            if group:
                self._commit(group)

    def _commit(self, group: list[_Job]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        changed = False
        try:
            with self._engine.begin() as connection:
                for work, future in group:
                    result, error, wrote = _one(connection, work)
                    outcomes.append((future, result, error))
                    changed = changed or wrote
        except Exception as error:  # the transaction is undone: nobody in the group has written anything
            refusal = unavailable(f"{type(error).__name__}: {error}")
            for _, future in group:
                future.set_exception(refusal)
            return
        if changed:
            self._on_change()
        for future, result, failure in outcomes:
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)


def _one(connection: Connection, work: Callable[[WriteTransaction], T]) -> tuple[T | None, BaseException | None, bool]:
    """One write within the group's transaction: (result, error, whether it made a change). An error undoes it alone."""
    transaction = WriteTransaction(connection)
    savepoint = connection.begin_nested()
    try:
        result = work(transaction)
    except Exception as error:
        savepoint.rollback()
        return None, refused(error), False
    savepoint.commit()
    return result, None, transaction.changed


def refused(error: Exception) -> Exception:
    """What the database cannot do, as a refusal; every other error as it is."""
    if isinstance(error, DBAPIError | sqlite3.Error):
        return unavailable(f"{type(error).__name__}: {error}")
    return error


def unavailable(detail: str) -> UnavailableError:
    """The store cannot answer. `detail` is private."""
    return UnavailableError("STORE_UNAVAILABLE", "the store cannot answer; try again later", detail=detail)
