"""The logs of this broker's other slots, opened as they appear in the data folder.

A slot counts once its log, its key and its index are there: the first that a worker does is to make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from broker.audit.published import PublishedLog
from broker.domain.slot import Slot, slots_present
from broker.store.audit_index import AuditIndex
from entente_tlog.note import Verifier


class Siblings:
    """Every slot's log but one's own. Looks at the folder at each call: a handful of names."""

    def __init__(self, data: Path, own: Slot) -> None:
        self._data, self._own = data, own
        self._open: dict[Slot, PublishedLog] = {}

    def __call__(self) -> Sequence[PublishedLog]:
        """In the order of their slots."""
        for slot in slots_present(self._data):
            key, index = slot.public_key(self._data), slot.index(self._data)
            if slot != self._own and slot not in self._open and key.exists() and index.exists():
                verifier = Verifier.parse(key.read_text(encoding="ascii").strip())
                self._open[slot] = PublishedLog(slot.ledger(self._data), verifier, AuditIndex(index, feeds=False))
        return [self._open[slot] for slot in sorted(self._open)]

    def close(self) -> None:
        """Let go of their indexes."""
        for log in self._open.values():
            log.close()
        self._open.clear()
