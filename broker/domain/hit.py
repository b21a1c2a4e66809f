"""Silent hits: somebody looked for what a record holds, and its originator alone is told.

A hit travels from the handler to the sealed part of the exchange's entry, and nowhere else. `Looks` takes the same room
there with and without hits, so that no size tells of one.
"""

from __future__ import annotations

from dataclasses import dataclass

# Bytes in the sealed part. A hit takes 34 and its originator's name, which has at most 193.
SEARCH_ROOM = 1024
ID_ROOM = 256
# The newest ones; a search that fits more is noted as one that did.
MOST_HITS = 16


@dataclass(frozen=True, slots=True)
class SilentHit:
    """A record that was looked for, and whose it is (`trust-domain/agency`)."""

    record_id: str
    originator: str


@dataclass(frozen=True, slots=True)
class Looks:
    """What a call that looks for records has hit silently, newest record first. `room`: `SEARCH_ROOM` or `ID_ROOM`."""

    room: int
    hits: tuple[SilentHit, ...] = ()
