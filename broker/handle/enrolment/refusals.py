"""This area's refusals, in the words of whoever keeps the registry."""

from __future__ import annotations

from broker.domain.errors import ConflictError, DecisionError, HiddenError, PreconditionError, RequestError


def invalid(path: str, why: str) -> RequestError:
    """A field of the request is at fault."""
    return RequestError("REQUEST_INVALID", f"{path}: {why}", fields=((path, why),))


def second_person_needed(why: str) -> DecisionError:
    """Two people decide."""
    return DecisionError("SECOND_PERSON_NEEDED", f"{why}; another registrar has to do it")


def closed(state: str) -> PreconditionError:
    """Nothing can be done with the proposal any more."""
    return PreconditionError("PROPOSAL_CLOSED", f"the proposal is {state.lower()}; make a new one")


def step_missing(what: str) -> PreconditionError:
    """Something has to be done before."""
    return PreconditionError("STEP_MISSING", what)


def not_found() -> HiddenError:
    """No such proposal, or none that concerns the caller's agency."""
    return HiddenError("NOT_FOUND", "there is no such proposal, or it does not concern your agency")


def unregistered() -> HiddenError:
    """An administrator tests the own agency's issuer, as two registrars have let it be."""
    return HiddenError("NOT_FOUND", "your agency has no such issuer; test it exactly as it is registered")


def personal() -> DecisionError:
    """A registrar decides in person."""
    return DecisionError(
        "ON_BEHALF_NOT_PERMITTED",
        "the registry is changed in person; use a token of your own, not a workload's, that acts on behalf of nobody",
    )


def key_reused() -> ConflictError:
    """The idempotency key was used for another request."""
    return ConflictError(
        "IDEMPOTENCY_KEY_REUSED", "this idempotency key was used for another request; use a fresh one for each"
    )
