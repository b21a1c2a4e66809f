"""Which gRPC status a refusal has: one table for the whole house."""

from __future__ import annotations

from grpc import StatusCode

from broker.domain.errors import (
    AlreadyExistsError,
    BrokerError,
    ConflictError,
    DeadlineError,
    DecisionError,
    HiddenError,
    IdentityError,
    LimitError,
    PreconditionError,
    RequestError,
    UnavailableError,
    UnknownMethodError,
)

# The first class that fits gives the status: the more special before the more general.
STATUS: tuple[tuple[type[BrokerError], StatusCode], ...] = (
    (IdentityError, StatusCode.UNAUTHENTICATED),
    (HiddenError, StatusCode.NOT_FOUND),
    (DecisionError, StatusCode.PERMISSION_DENIED),
    (UnknownMethodError, StatusCode.UNIMPLEMENTED),
    (PreconditionError, StatusCode.FAILED_PRECONDITION),
    (AlreadyExistsError, StatusCode.ALREADY_EXISTS),
    (ConflictError, StatusCode.ABORTED),
    (LimitError, StatusCode.RESOURCE_EXHAUSTED),
    (RequestError, StatusCode.INVALID_ARGUMENT),
    (UnavailableError, StatusCode.UNAVAILABLE),
    (DeadlineError, StatusCode.DEADLINE_EXCEEDED),
    (BrokerError, StatusCode.INTERNAL),
)


def status_of(error: BrokerError) -> StatusCode:
    """The gRPC status of a refusal."""
    return next(status for kind, status in STATUS if isinstance(error, kind))
