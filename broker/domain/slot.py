"""A worker's slot: which log it owns, and where that log's files lie.

Each slot owns one log, and one worker at a time holds the slot. Slot 0 has the names of a broker with one process, so
that a broker may be given more workers, or fewer, with its logs as they are:

    slot 0      data/ledger     data/audit.db     data/log.vkey     data/keys/log.key     origin <broker>
    slot k > 0  data/ledger-k   data/audit-k.db   data/log-k.vkey   data/keys/log-k.key   origin <broker>/k

Does not: open or make anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_LEDGER = re.compile(r"ledger(?:-([1-9][0-9]{0,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One slot, by its number from 0."""

    number: int = 0

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("slots are numbered from 0")

    def origin(self, broker: str) -> str:
        """The log's name, which its checkpoints and its key bear."""
        return f"{broker}/{self.number}" if self.number else broker

    def ledger(self, data: Path) -> Path:
        """The log's folder."""
        return data / self._named("ledger")

    def index(self, data: Path) -> Path:
        """The search index over the log: a projection, which may be deleted."""
        return data / f"{self._named('audit')}.db"

    def public_key(self, data: Path) -> Path:
        """The log's public key, for clients to pin."""
        return data / f"{self._named('log')}.vkey"

    def signing_key(self, data: Path) -> Path:
        """The log's private key."""
        return data / "keys" / f"{self._named('log')}.key"

    def _named(self, stem: str) -> str:
        return f"{stem}-{self.number}" if self.number else stem


def slots_present(data: Path) -> list[Slot]:
    """The slots that have a log in this data folder, whether or not a worker holds them now, in order."""
    if not data.is_dir():
        return []
    found = (_LEDGER.fullmatch(path.name) for path in data.iterdir() if path.is_dir())
    return sorted(Slot(int(match[1] or 0)) for match in found if match is not None)
