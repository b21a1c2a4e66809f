"""Everything that can go wrong, in one tree that mirrors the broker's:

    EntenteError
    ├── IdentityError          who calls is not proven: certificate, token or their binding
    ├── DecisionError          policy refuses this caller, method or purpose
    │   └── NotFoundError      missing, or hidden from this caller: the answer is the same
    ├── RequestError           the request is wrong
    │   ├── PreconditionError  the record's state does not allow it
    │   ├── AlreadyExistsError the originator already has a record under this external reference
    │   ├── ConflictError      a stale etag, or an idempotency key with another body
    │   └── LimitError         too large, too many, too fast
    ├── UnavailableError       no answer: broker, policy, ledger or store; nothing was released
    │   └── InternalError      a defect in the broker; quote the exchange id
    ├── ReceiptError           an answer without proof that it is on the ledger: its data was not handed over
    ├── HandshakeError         the TLS handshake failed; the message says whose certificate and why
    └── ConfigurationError     the profile or the call cannot be used as it is

Each has `reason` (a name of `entente.error.v1.Reason` without its prefix, or one of the SDK's own), `message`,
`exchange_id` (empty where there was no exchange), `fields` (path and description of each request field at fault) and
`diagnostics()`, which says what happened and what to do.
"""

from __future__ import annotations

from entente_sdk.advice import advice_for
from entente_sdk.answers import Receipt


class EntenteError(Exception):
    """Anything that the SDK raises on purpose.

    Args:
        reason: why, as a stable name.
        message: why, in words. Text from the broker is not trusted: escape it before a terminal shows it.
        exchange_id: the entry on the audit log.
        fields: (path, description) of each field of the request that is at fault.
        receipt: the verified receipt of a refusal.
        retry_after_s: how long the broker asks to wait before the next attempt, in seconds; None where it does not.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        exchange_id: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        receipt: Receipt | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.exchange_id = exchange_id
        self.fields = fields
        self.receipt = receipt
        self.retry_after_s = retry_after_s

    def diagnostics(self) -> str:
        """What happened, where it is recorded, and what to do: a few lines for a person."""
        lines = [f"{self.message} ({self.reason})"]
        lines += [f"  {path}: {description}" for path, description in self.fields]
        if self.exchange_id:
            told = f" (`entente explain {self.exchange_id}` tells why)" if self.explained else ""
            lines.append(f"Exchange: {self.exchange_id}{told}")
        if self.retry_after_s is not None:
            lines.append(f"Wait at least {self.retry_after_s:.3g} s.")
        lines.append(f"What to do: {advice_for(self.reason, self.default_advice)}")
        return "\n".join(lines)

    default_advice = "Read the message above; if it does not help, ask the broker's operator."
    # Whether the broker explains the exchange to whom it happened to.
    explained = False


class IdentityError(EntenteError):
    """The certificate, the token or their binding does not hold."""

    default_advice = "Check the profile's certificate and token with `entente whoami` and `entente config explain`."


class DecisionError(EntenteError):
    """Policy refuses this caller, method or purpose."""

    default_advice = "See with `entente whoami` what you may do, and for which purposes."
    explained = True


class NotFoundError(DecisionError):
    """Missing, or hidden from this caller: the two are one answer."""


class RequestError(EntenteError):
    """The request is malformed or breaks a rule of its schema."""

    default_advice = "Correct the request; the message and the fields say where."


class PreconditionError(RequestError):
    """The record's state does not allow this."""


class AlreadyExistsError(RequestError):
    """The originator already has a record under this external reference."""


class ConflictError(RequestError):
    """A stale etag, or an idempotency key with another body."""


class LimitError(RequestError):
    """Too large, too many, too fast."""


class UnavailableError(EntenteError):
    """No answer in time, or a part that the broker will not do without is missing; nothing was released."""

    default_advice = "Try again later; a write may be repeated with the same idempotency key."


class InternalError(UnavailableError):
    """A defect in the broker."""


class ReceiptError(EntenteError):
    """The answer is not proven to be on the ledger, so its data was not handed over."""

    default_advice = "Do not use the data. Report it to the auditor: an answer outside the ledger is an incident."


class HandshakeError(EntenteError):
    """TLS failed before any exchange; nothing about it is on the broker's audit log."""

    default_advice = "Correct the certificate, key or ca of the profile; `entente config explain` shows each."


class ConfigurationError(EntenteError):
    """The profile or the call cannot be used as it is."""

    default_advice = "See each setting and its origin with `entente config explain`."

    def __init__(self, message: str, *, reason: str = "CONFIGURATION") -> None:
        super().__init__(reason, message)
