"""What can be wrong with a log's files, notes, proofs and receipts: one tree.

TlogError
├── FormatError        bytes or text that do not follow their specification
├── VerificationError  well formed, but the mathematics or the signature does not hold
└── ReceiptError       a response that must not be handed to its reader
"""

from __future__ import annotations

from typing import Literal

ReceiptReason = Literal[
    "missing",  # no receipt at the end of the response
    "malformed",  # the receipt, its leaf or its proof does not parse
    "wrong_content",  # the leaf binds other response bytes
    "wrong_request",  # the leaf binds other request bytes
    "bad_proof",  # signature or Merkle path does not hold
    "unknown_log",  # no trusted key bears the checkpoint's origin
    "stale",  # key out of its time, or a leaf older than the call
]


class TlogError(Exception):
    """Anything wrong with the log's formats."""


class FormatError(TlogError):
    """The input does not follow its specification."""


class VerificationError(TlogError):
    """A proof or a signature does not hold."""


class ReceiptError(TlogError):
    """The response is not covered by a valid receipt; its data must not be used.

    `reason` is one of `ReceiptReason`; `message` says what failed, without any content of the response.
    """

    def __init__(self, reason: ReceiptReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: ReceiptReason = reason
        self.message = message
