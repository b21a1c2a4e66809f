"""Who may revoke what, asked in the transaction that revokes.

MUSTs:
1. A registrar revokes anything on the network. Everybody else is confined to what is known here to be the own agency's;
   what is another's and what is not known are one answer.
2. An agency or an issuer that is not registered is not revoked: a slip of the pen must not pass for a lock.
3. At least one appointed registrar stays able to act. One person alone revokes, because it cannot wait; without this,
   one mistake, or one stolen token, would shut out everybody who could lift it.

A revoked trust root falls under none of them: the operator puts another one in force, and no registrar has to act.
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.domain import standing
from broker.domain.answer import Call
from broker.domain.errors import BrokerError, ConflictError, DecisionError, HiddenError, PreconditionError
from broker.domain.standing import Revoked, Target
from broker.store import directory, registry, revocations
from broker.store.prepared import Driver

REGISTRAR = "registrar"


def is_registrar(call: Call) -> bool:
    """Whether the caller was appointed to keep the registry."""
    return REGISTRAR in call.grant.roles


def require_right(driver: Driver, call: Call, target: Target, issuers: Mapping[str, str]) -> str:
    """The agency that a revocation concerns, empty where it is not known; `issuers`: URL -> agency.

    Raises DecisionError METHOD_NOT_PERMITTED, or HiddenError NOT_FOUND.
    """
    concerned = _concerned(driver, call, target, issuers)
    if not is_registrar(call):
        if concerned != str(call.caller.agency):
            raise _not_yours()
    elif not concerned and target.kind in (standing.TOKEN, standing.ISSUER):
        raise HiddenError("NOT_FOUND", "there is no such issuer on this network; check its exact `iss`")
    elif target.kind in (standing.USER, standing.AGENCY) and not directory.exists(driver, concerned):
        raise HiddenError("NOT_FOUND", "there is no such agency in this broker's directory; check its name")
    return concerned


def require_registrar_left(driver: Driver, target: Target, issuers: Mapping[str, str]) -> None:
    """Rule 3. Raises PreconditionError STEP_MISSING."""
    revoked = registry.revoked(driver)
    able = {one for one in revocations.appointed(driver, REGISTRAR) if _can_act(one, revoked, issuers)}
    after = revoked.with_target(target)
    if able and not any(_can_act(one, after, issuers) for one in able):
        raise PreconditionError(
            "STEP_MISSING", "no registrar would be left who can act; have one appointed whom this does not stop"
        )


def key_reused() -> BrokerError:
    """Another body under the same key."""
    return ConflictError(
        "IDEMPOTENCY_KEY_REUSED", "this key came with another body; use a fresh UUID for each new revocation"
    )


def _not_yours() -> DecisionError:
    return DecisionError(
        "METHOD_NOT_PERMITTED",
        "an administrator revokes what this broker knows to be the own agency's, and nothing else; ask a registrar",
    )


def _concerned(driver: Driver, call: Call, target: Target, issuers: Mapping[str, str]) -> str:
    first = target.parts[0]
    if target.kind == standing.CERTIFICATE:
        if first == call.caller.thumbprint.hex():
            return str(call.caller.agency)
        return revocations.certificate_agency(driver, first) or ""
    if target.kind in (standing.TOKEN, standing.ISSUER):
        return issuers.get(first, "")
    return first


def _can_act(person: tuple[str, str], revoked: Revoked, issuers: Mapping[str, str]) -> bool:
    """Neither the person nor the agency is revoked, and an issuer is left that can make tokens for it."""
    agency, user = person
    return (
        agency not in revoked.agencies
        and not revoked.holds_user(agency, user)
        and any(of == agency and url not in revoked.issuers for url, of in issuers.items())
    )
