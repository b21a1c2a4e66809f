"""Silent hits in the sealed detail of an entry: told to those whose records were looked for, and to nobody else.

MUSTs:
1. The detail of every call that looks for records has them, and is as long without a hit as with many.
2. They are nowhere but there: not in the leaf, not among the records and owners that the searching agency's auditor
   finds the entry by.
3. Read from there alone, so that what the index says of them can be made anew from the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.domain.hit import MOST_HITS, Looks, SilentHit

# The key in the detail.
SILENT = "silent"
# Of characters that JSON writes as they are. `_MORE`, after the last one: there were more.
_END, _MORE = ";", "+"


def sealed_text(looks: Looks) -> str:
    """Ids and originators, padded to the room that a look has: exactly so many bytes, as JSON too."""
    text = ""
    for number, hit in enumerate(looks.hits):
        one = f"{hit.record_id} {hit.originator}{_END}"
        if number == MOST_HITS or len(text) + len(one) + len(_MORE) > looks.room:
            text += _MORE
            break
        text += one
    return text.ljust(looks.room)


def hits_in(detail: Mapping[str, Any]) -> tuple[SilentHit, ...]:
    """The hits of an opened detail, newest record first."""
    found = (one.partition(" ") for one in str(detail.get(SILENT, "")).split(_END)[:-1])
    return tuple(SilentHit(record_id, originator) for record_id, _, originator in found)
