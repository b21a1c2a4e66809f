"""Floods of refusals: of each agency, method and second the first is an entry of its own, the rest one with a count.

Guarantees: every refusal is on record, by itself or in a count (audit invariant 2); a flood costs its agency's callers
the receipt and nobody else the disk; memory is bounded by the agencies. Who is counted is told the exchange id of the
counting entry. Its certificate is that of the first who was counted in it; the agency is that of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from broker.audit.entry import Entry
from broker.audit.scribe import Scribe
from broker.domain.caller import AgencyId, Peer
from broker.domain.exchange import Exchange

# The path is the caller's: past so many in a second, an agency's further ones are counted together.
METHODS_PER_SECOND = 16
OTHERS = ""


@dataclass(slots=True)
class _Flood:
    exchange: Exchange
    peer: Peer
    status: str
    reason: str
    count: int = 0


class Floods:
    """One for each ledger."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._second = 0
        self._seen: dict[tuple[AgencyId, str], _Flood | None] = {}
        self._methods: Counter[AgencyId] = Counter()
        self._due: dict[tuple[AgencyId, str], _Flood] = {}

    def counted(self, peer: Peer, method: str, status: str, reason: str) -> str | None:
        """Count a refusal, and return its exchange id; None for the first, which is to have an entry of its own."""
        self._turn()
        key = (peer.agency, method)
        if key not in self._seen:
            if self._methods[peer.agency] < METHODS_PER_SECOND:
                self._methods[peer.agency] += 1
                self._seen[key] = None
                return None
            key = (peer.agency, OTHERS)
        flood = self._seen.get(key)
        if flood is None:
            flood = self._seen[key] = _Flood(self._scribe.exchange(key[1]), peer, status, reason)
        flood.count += 1
        return flood.exchange.exchange_id

    def flush(self, *, all_: bool = False) -> None:
        """Write the counts of the seconds that are over, or all. Raises UnavailableError; what is left stays."""
        self._turn(now=all_)
        while self._due:
            key = next(iter(self._due))
            self._scribe.leave(self._scribe.encode(_entry(self._due[key])))
            del self._due[key]

    def _turn(self, *, now: bool = False) -> None:
        """A new second: what was counted is due. While nothing can be written, further counts are added to it."""
        second = self._scribe.second()
        if second == self._second and not now:
            return
        for key, flood in self._seen.items():
            if flood is not None:
                self._due.setdefault(key, flood)
                if self._due[key] is not flood:
                    self._due[key].count += flood.count
        self._second = second
        self._seen.clear()
        self._methods.clear()


def _entry(flood: _Flood) -> Entry:
    return Entry(
        type="denial",
        phase="release",
        exchange=flood.exchange,
        caller=flood.peer,
        outcome="denied",
        status=flood.status,
        reason=flood.reason,
        count=flood.count,
    )
