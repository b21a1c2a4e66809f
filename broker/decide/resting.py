"""What a grant rests on, looked at once more before something is handed over: are its agreements still in force?

MUSTs:
1. What rests on an agreement is not handed over at or after its end, nor once its withdrawal was seen (`forget`, which
   the watch calls at the glance before every release).
2. An agreement is in force only as the directory has it: one that is gone, or says something else now, has ended too.

The usual answer is two comparisons: nothing ends before now, and the directory is the one that was decided on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from broker.domain.clock import Clock
from broker.domain.directory import AgencyFacts, Agreement
from broker.domain.errors import ConflictError


class Facts(Protocol):
    """What the store knows of an agency."""

    def facts(self, agency: str) -> AgencyFacts | None: ...


class InForce:
    """One per event loop."""

    def __init__(self, source: Facts, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._facts: dict[str, AgencyFacts | None] = {}

    def forget(self) -> None:
        """The registry has changed: the directory is read again when it is next asked for."""
        self._facts.clear()

    def require(self, agency: str, agreements: Collection[Agreement], revision: int) -> None:
        """Raises ConflictError AGREEMENT_ENDED unless all of these, which counted at a revision, count still."""
        if not agreements:
            return
        now_us = self._clock.now_us()
        if any(one.valid_until_us <= now_us for one in agreements):
            raise ended()
        facts = self._known(agency)
        if facts is not None and facts.revision == revision:
            return
        if facts is None or any(one not in facts.agreements for one in agreements):
            raise ended()

    def seconds_left(self, agreements: Collection[Agreement]) -> float | None:
        """Until the first of these ends; None where there is none."""
        end_us = min((one.valid_until_us for one in agreements), default=None)
        return None if end_us is None else (end_us - self._clock.now_us()) / 1_000_000

    def _known(self, agency: str) -> AgencyFacts | None:
        if agency not in self._facts:
            self._facts[agency] = self._source.facts(agency)
        return self._facts[agency]


def ended() -> ConflictError:
    """The refusal."""
    return ConflictError(
        "AGREEMENT_ENDED",
        "an agreement that this rested on has ended; ask again, or resume from the last cursor: what remains allowed "
        "is delivered",
    )
