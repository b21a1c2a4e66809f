"""What a caller is handed: a message, the proof that it is on the ledger, and the bytes that the proof is about.

An `Answer` exists only after its receipt was verified on the bytes received; there is no way to make one before.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

M_co = TypeVar("M_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signed state of the ledger that the receipt's proof leads to."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A verified receipt: entry `index` of the ledger, under `checkpoint`, binds the request and the response."""

    exchange_id: str
    index: int
    checkpoint: Checkpoint
    leaf: Mapping[str, Any]
    leaf_bytes: bytes


@dataclass(frozen=True, slots=True)
class Answer(Generic[M_co]):
    """One response.

    Attributes:
        message: the parsed response.
        receipt: its verified receipt.
        raw: the response's bytes as received: evidence, with `request`.
        request: the request's bytes as sent.
        method: the path of the method that answered.
    """

    message: M_co
    receipt: Receipt
    raw: bytes
    request: bytes
    method: str

    def evidence(self) -> str:
        """JSON that anyone can verify later with the log's key: method, request and response, base64 (RFC 4648)."""
        return json.dumps(
            {
                "method": self.method,
                "request": base64.b64encode(self.request).decode(),
                "response": base64.b64encode(self.raw).decode(),
            },
            indent=2,
        )
