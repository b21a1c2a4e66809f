"""From received bytes to an answer: the receipt is verified first, on the bytes, and only then is anything parsed.

MUSTs, beyond those of `entente_tlog.receipt`:
1. the ledger's entry is of the method that was called: two methods can share a request's bytes;
2. an answer's entry is not that of a refusal, and a refusal's entry binds the empty response;
3. a refusal's reason and exchange id are those of its entry;
4. an entry from before the call is stale: an old answer to the same bytes was replayed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from entente_sdk._methods import Method
from entente_sdk.answers import Answer, Checkpoint, Receipt
from entente_sdk.errors import ReceiptError
from entente_tlog import errors as tlog
from entente_tlog.commitment import content_hash
from entente_tlog.receipt import LogKey, VerifiedReceipt, verify_receipt, verify_refusal

CLOCK_TOLERANCE_SECONDS = 120
M = TypeVar("M", bound=Message)


def moment_us() -> int:
    """When a call begins, less the tolerated difference between two clocks: microseconds since the epoch."""
    return time.time_ns() // 1000 - CLOCK_TOLERANCE_SECONDS * 1_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a call sent, and when: what its receipt must bind."""

    path: str
    request: bytes
    not_before_us: int
    keys: tuple[LogKey, ...]

    def answer(self, method: Method[M], raw: bytes) -> Answer[M]:
        """The verified answer. Raises ReceiptError, and then nothing of the response has been parsed."""
        try:
            verified = verify_receipt(
                request=self.request, response=raw, keys=self.keys, not_before_us=self.not_before_us
            )
        except tlog.ReceiptError as error:
            raise _refused(error) from error
        self._check_method(verified.leaf)
        if verified.leaf.get("status", "OK") != "OK":
            raise ReceiptError("RECEIPT_WRONG_CONTENT", "the ledger's entry is a refusal, and this is an answer")
        try:
            message = method.response.FromString(verified.response)
        except DecodeError as error:
            raise ReceiptError("RECEIPT_MALFORMED", "the response does not parse as the method's type") from error
        return Answer(message, _receipt(verified), raw, self.request, method.path)

    def refusal(self, raw: bytes, reason: str, exchange_id: str) -> Receipt:
        """The verified receipt of a refusal. Raises ReceiptError."""
        try:
            verified = verify_refusal(
                request=self.request, receipt=raw, keys=self.keys, not_before_us=self.not_before_us
            )
        except tlog.ReceiptError as error:
            raise _refused(error, exchange_id) from error
        leaf = verified.leaf
        self._check_method(leaf)
        if leaf.get("response_hash") != content_hash(verified.salt, b""):
            raise ReceiptError("RECEIPT_WRONG_CONTENT", "the ledger's entry is an answer, and this is a refusal")
        if leaf.get("exchange_id") != exchange_id or leaf.get("reason", reason) != reason:
            raise ReceiptError("RECEIPT_WRONG_CONTENT", "the ledger's entry is of another refusal")
        return _receipt(verified)

    def _check_method(self, leaf: Mapping[str, Any]) -> None:
        if leaf.get("method", self.path) != self.path:
            raise ReceiptError("RECEIPT_WRONG_REQUEST", "the ledger's entry is of another method")


def _receipt(verified: VerifiedReceipt) -> Receipt:
    return Receipt(
        exchange_id=str(verified.leaf.get("exchange_id", "")),
        index=verified.index,
        checkpoint=Checkpoint(verified.origin, verified.size, verified.root),
        leaf=verified.leaf,
        leaf_bytes=verified.leaf_bytes,
    )


def _refused(error: tlog.ReceiptError, exchange_id: str = "") -> ReceiptError:
    return ReceiptError(
        f"RECEIPT_{error.reason.upper()}", f"the receipt does not hold: {error.message}", exchange_id=exchange_id
    )
