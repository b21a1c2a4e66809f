"""Places in a search, as its page tokens hold them: of one length, whether the page ended with a record or a pointer.

Where the records end and pointers may follow, the place is the last record's: whoever holds the token asks on below it.
"""

from __future__ import annotations

from broker.domain.errors import RequestError
from broker.store.beside import Place
from broker.store.records import StoredVersion

_RECORD, _POINTER = b"\0", b"\1"
_BYTES = 17


def place_after(last: StoredVersion) -> bytes:
    """The place after a page's last item."""
    if last.as_pointer:
        return _POINTER + bytes.fromhex(last.record_id)
    return _RECORD + last.seq.to_bytes(_BYTES - 1, "big")


def opened(place: bytes) -> Place:
    """The place in an opened token. Raises RequestError CURSOR_INVALID for one of an earlier broker."""
    if len(place) != _BYTES:
        raise RequestError("CURSOR_INVALID", "the page token is of an earlier version of this broker; start again")
    if place[:1] == _POINTER:
        return Place(after_pointer=place[1:].hex())
    return Place(below_seq=int.from_bytes(place[1:], "big"))
