"""Refusals that more than one method gives, made in one place so that they are one answer."""

from __future__ import annotations

from broker.domain.errors import ConflictError, DecisionError, HiddenError, PreconditionError
from broker.domain.hit import Looks


def not_found(looks: Looks | None = None) -> HiddenError:
    """Hidden or missing: nothing in the answer tells which. `looks`: of a call that only looks for it."""
    return HiddenError("NOT_FOUND", "there is no such report, or it is hidden from you", looks=looks)


def not_originator() -> DecisionError:
    """The record is another agency's."""
    return DecisionError("NOT_ORIGINATOR", "only the originator changes a report; ask it")


def retracted() -> PreconditionError:
    """The record no longer stands."""
    return PreconditionError("RECORD_RETRACTED", "the report is retracted; submit a new one")


def etag_stale() -> ConflictError:
    """Somebody else has changed the record."""
    return ConflictError("ETAG_STALE", "the report has a newer version; fetch it and apply the change again")


def key_reused() -> ConflictError:
    """Another body under the same key."""
    return ConflictError(
        "IDEMPOTENCY_KEY_REUSED", "this key came with another body; use a fresh UUID for each new write"
    )
