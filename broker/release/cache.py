"""Released views, kept under what decided them: ready bytes for the next caller who may see exactly the same.

MUSTs:
1. A view is served only under the same record, version, decisions (`decisions.py`, MUST 1) and payload; the payload is
   compared byte for byte, so that a key that was used twice is harmless.
2. A view that holds pseudonyms is served only to the recipient and for the case that they were made for.
3. Memory is bounded in bytes; the least recently used goes first. What is larger than the whole is not kept.

For one event loop: it takes no lock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from broker.release.pseudonyms import Scope
from broker.release.shapes import Keys, Shape

# What an entry costs beside its bytes: key, objects, two dictionary slots.
OVERHEAD_BYTES = 600

# Record id, version, number of the vector of decisions; for whom, where a pseudonym is among what is released; and on
# what terms, as they are written into it.
Key = tuple[str, int, int, Scope | None, bytes]


@dataclass(frozen=True, slots=True)
class ReleasedView:
    """One record as some callers may see it: `framed` is length and bytes of its disclosed form."""

    payload: bytes
    framed: bytes
    shape: Shape
    keys: Keys

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.payload) + len(self.framed) + OVERHEAD_BYTES


class ViewCache:
    """At most `capacity` bytes of released views, by their `Key`."""

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError("a cache's capacity is in bytes, 0 for none")
        self._capacity = capacity
        self._views: OrderedDict[Key, ReleasedView] = OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._views)

    def get(self, key: Key, payload: bytes) -> ReleasedView | None:
        """The view of this very payload, now the most recently used; None when there is none."""
        found = self._views.get(key)
        if found is None or found.payload != payload:
            self.misses += 1
            return None
        self._views.move_to_end(key)
        self.hits += 1
        return found

    def put(self, key: Key, view: ReleasedView) -> None:
        """Keeps a view and forgets the oldest ones that no longer fit."""
        self._forget(self._views.pop(key, None))
        if view.size > self._capacity:
            return
        self._views[key] = view
        self.size += view.size
        while self.size > self._capacity:
            self._forget(self._views.popitem(last=False)[1])

    def _forget(self, view: ReleasedView | None) -> None:
        if view is not None:
            self.size -= view.size
