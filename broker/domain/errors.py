"""The broker's refusals: one tree, drawn here, mapped to gRPC status in one table in `pipeline.py`.

    BrokerError
    ├── IdentityError      UNAUTHENTICATED    who calls is not proven
    ├── DecisionError      PERMISSION_DENIED  policy says no
    │   └── HiddenError    NOT_FOUND          the same answer for hidden and for missing
    ├── RequestError       INVALID_ARGUMENT   the request is wrong
    │   ├── PreconditionError   FAILED_PRECONDITION
    │   ├── AlreadyExistsError  ALREADY_EXISTS
    │   ├── ConflictError       ABORTED
    │   ├── LimitError          RESOURCE_EXHAUSTED
    │   └── UnknownMethodError  UNIMPLEMENTED
    ├── DeadlineError      DEADLINE_EXCEEDED  the call lasted longer than the broker allows
    └── UnavailableError   UNAVAILABLE        a part that we will not do without is missing

`reason` is a value of `entente.error.v1.Reason` without its prefix (a test compares them all).
`message` is public: it says what to do and never holds a value from a record.
`detail` is private: it goes to the sealed part of the audit entry and nowhere else.
"""

from __future__ import annotations

from broker.domain.exchange import Refusal
from broker.domain.hit import Looks


class BrokerError(Exception):
    """A refusal with a public reason.

    Args:
        reason: a name of `entente.error.v1.Reason` without the `REASON_` prefix.
        message: what happened and what to do, safe for the caller.
        detail: private; sealed in the audit entry.
        fields: paths of the request that are at fault, each with its description.
    """

    def __init__(
        self, reason: str, message: str, *, detail: str = "", fields: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.detail = detail
        self.fields = fields


class IdentityError(BrokerError):
    """The certificate, the token or their binding does not hold."""


class DecisionError(BrokerError):
    """Policy refuses this caller, method or purpose. `refusal`: by which rule, where one did."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        detail: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(reason, message, detail=detail, fields=fields)
        self.refusal = refusal


class HiddenError(DecisionError):
    """Hidden or missing: the two are one answer. `looks`: what was hit silently, for the entry's sealed part alone."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        detail: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        looks: Looks | None = None,
    ) -> None:
        super().__init__(reason, message, detail=detail, fields=fields)
        self.looks = looks


class RequestError(BrokerError):
    """The request is malformed or breaks a rule of its schema."""


class PreconditionError(RequestError):
    """The record's state does not allow this."""


class AlreadyExistsError(RequestError):
    """The originator already has a record under this external reference."""


class ConflictError(RequestError):
    """A stale etag, or an idempotency key with another body."""


class LimitError(RequestError):
    """Too large, too many, too fast. `retry_after_s`: when it may work again; 0 where waiting does not help."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        detail: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(reason, message, detail=detail, fields=fields)
        self.retry_after_s = retry_after_s


class UnknownMethodError(RequestError):
    """No such method; refused on record like any other call."""


class DeadlineError(BrokerError):
    """The call lasted longer than the broker allows, whatever its client allows. A write may have happened."""


class UnavailableError(BrokerError):
    """Policy, ledger or store cannot answer; nothing was released.

    `retry_after_s`: when it may; 0 where nobody knows.
    """

    def __init__(self, reason: str, message: str, *, detail: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(reason, message, detail=detail)
        self.retry_after_s = retry_after_s
