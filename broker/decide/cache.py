"""Bounded caches of decisions, and one flight per question.

Guarantees: a cache never holds more than its entries and its bytes; callers who ask the same at once share one
evaluation, and a caller who gives up does not end it for the others. Failures are never kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """Least recently used goes first. `weigh` gives an entry's bytes."""

    def __init__(self, max_entries: int, max_bytes: int, weigh: Callable[[Value], int]) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._weigh = weigh
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> Value | None:
        """The entry, which becomes the most recently used."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Value) -> None:
        """Keep an entry, and let others go until all fit; one that is too large alone is not kept."""
        self._drop(key)
        weight = self._weigh(value)
        self._entries[key] = (value, weight)
        self.bytes += weight
        while self._entries and (len(self._entries) > self._max_entries or self.bytes > self._max_bytes):
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None:
            self.bytes -= gone[1]

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)


class SingleFlight:
    """Concurrent callers with one key share one task."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}

    def run(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Value]]) -> Awaitable[Value]:
        """Join the flight of this key or start one. Cancelling a caller leaves the flight to the others."""
        task = self._flights.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(make())
            self._flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return asyncio.shield(task)

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._flights[key]
        # Looked at, so that a failure whose callers all gave up is not reported as forgotten.
        if not task.cancelled():
            task.exception()
