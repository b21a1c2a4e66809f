"""Sealed page tokens and cursors: a place in a list that its bearer can neither read nor move.

MUSTs:
1. a token says nothing: places count hidden rows, so they are encrypted (AES-256-GCM) and of one length per list;
2. a token serves only the method, the agency and the query that it was made for; whatever else is CURSOR_INVALID, and
   damaged, foreign and forged are one answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from broker.domain.answer import Call
from broker.domain.errors import RequestError

KEY_BYTES = 32
_NONCE_BYTES = 12
# Fields that may differ between two pages of one query.
_FREE = ("justification", "page_size", "page_token")


class Cursors:
    """Seals places in lists. `key`: 32 random bytes that all workers share and keep over a restart."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a cursor key has {KEY_BYTES} bytes")
        self._cipher = AESGCM(key)

    def seal(self, call: Call, query: bytes, place: bytes) -> str:
        """A token for a place in the list that this call and query (`query_digest`) stand for."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, place, _bound_to(call, query))
        return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()

    def open(self, call: Call, query: bytes, token: str) -> bytes:
        """The place in a token. Raises RequestError CURSOR_INVALID."""
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(call, query))
        except (InvalidTag, binascii.Error, ValueError):
            raise RequestError(
                "CURSOR_INVALID", "the page token or cursor is damaged or of another query or caller; start again"
            ) from None

    def seal_number(self, call: Call, query: bytes, place: int) -> str:
        """`seal` for a place that is a number from 0 to 2^64-1."""
        return self.seal(call, query, place.to_bytes(8, "big"))

    def open_number(self, call: Call, query: bytes, token: str) -> int:
        """`open` for a place that is a number."""
        return int.from_bytes(self.open(call, query, token), "big")


def query_digest(request: Message) -> bytes:
    """What a page token is bound to: the request without its justification and its paging."""
    query = type(request)()
    query.CopyFrom(request)
    for field in _FREE:
        if field in query.DESCRIPTOR.fields_by_name:
            query.ClearField(field)
    return hashlib.sha256(query.SerializeToString(deterministic=True)).digest()


def _bound_to(call: Call, query: bytes) -> bytes:
    return b"\0".join((call.exchange.method.encode(), str(call.caller.agency).encode(), query))
