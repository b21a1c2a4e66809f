"""From a gRPC error to the SDK's tree: status, `google.rpc.ErrorInfo`, `BadRequest`, `RetryInfo` and the receipt.

A refusal's receipt is verified when there is one; the broker sends none only when the ledger itself is down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from entente.common.v1 import exchange_pb2
from entente_sdk.errors import (
    AlreadyExistsError,
    ConflictError,
    DecisionError,
    EntenteError,
    IdentityError,
    InternalError,
    LimitError,
    NotFoundError,
    PreconditionError,
    RequestError,
    UnavailableError,
)

if TYPE_CHECKING:
    from entente_sdk._verification import Exchange

DOMAIN = "entente"
_DETAILS = "grpc-status-details-bin"
_Code = grpc.StatusCode

KINDS: dict[grpc.StatusCode, type[EntenteError]] = {
    _Code.UNAUTHENTICATED: IdentityError,
    _Code.PERMISSION_DENIED: DecisionError,
    _Code.NOT_FOUND: NotFoundError,
    _Code.INVALID_ARGUMENT: RequestError,
    _Code.OUT_OF_RANGE: RequestError,
    _Code.UNIMPLEMENTED: RequestError,
    _Code.FAILED_PRECONDITION: PreconditionError,
    _Code.ALREADY_EXISTS: AlreadyExistsError,
    _Code.ABORTED: ConflictError,
    _Code.RESOURCE_EXHAUSTED: LimitError,
    _Code.UNAVAILABLE: UnavailableError,
    _Code.CANCELLED: UnavailableError,
    _Code.DEADLINE_EXCEEDED: UnavailableError,
}
"""What is not here (INTERNAL, UNKNOWN, DATA_LOSS) is a defect of the broker: InternalError."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, as the transport reports it. `info` is None where the broker itself did not answer."""

    code: grpc.StatusCode
    message: str
    info: error_details_pb2.ErrorInfo | None = None
    fields: tuple[tuple[str, str], ...] = ()
    receipt: bytes = b""
    retry_after_s: float | None = None

    @property
    def reason(self) -> str:
        """The broker's reason, or the SDK's own where the broker gave none."""
        if self.info is not None:
            return str(self.info.reason)
        return "NO_ANSWER" if self.code in (_Code.UNAVAILABLE, _Code.CANCELLED) else self.code.name

    def error(self, exchange: Exchange) -> EntenteError:
        """The error to raise. Raises ReceiptError when the refusal's receipt does not hold."""
        exchange_id = self.info.metadata.get("exchange_id", "") if self.info is not None else ""
        receipt = exchange.refusal(self.receipt, self.reason, exchange_id) if self.receipt else None
        kind = KINDS.get(self.code, InternalError)
        return kind(
            self.reason,
            self.message,
            exchange_id=exchange_id,
            fields=self.fields,
            receipt=receipt,
            retry_after_s=self.retry_after_s,
        )


def failure(error: grpc.RpcError) -> Failure:
    """Read a gRPC error of either colour. Details that do not parse, or contradict the status, are ignored."""
    code, message = error.code(), error.details() or error.code().name
    status = status_pb2.Status()
    try:
        status.ParseFromString(_value(error.trailing_metadata()))
    except DecodeError:
        return Failure(code, message)
    if status.code != code.value[0]:
        return Failure(code, message)
    info: error_details_pb2.ErrorInfo | None = None
    fields: list[tuple[str, str]] = []
    receipt, retry_after_s = b"", None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo.FromString(detail.value)
            info = found if found.domain == DOMAIN else info
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            violations = error_details_pb2.BadRequest.FromString(detail.value).field_violations
            fields += [(one.field, one.description) for one in violations]
        elif detail.Is(exchange_pb2.Receipt.DESCRIPTOR):
            receipt = detail.value
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_after_s = _seconds(error_details_pb2.RetryInfo.FromString(detail.value))
    return Failure(code, status.message or message, info, tuple(fields), receipt, retry_after_s)


def _seconds(info: error_details_pb2.RetryInfo) -> float | None:
    found = float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return found if found > 0 else None


def _value(metadata: Iterable[Any] | None) -> bytes:
    for key, value in metadata or ():
        if key == _DETAILS and isinstance(value, bytes):
            return value
    return b""
