"""Revocations between the wire and the domain."""

from __future__ import annotations

from broker.domain import standing
from broker.domain.standing import Revocation, Target
from broker.handle.times import timestamp
from entente.directory.v1 import enrolment_pb2, revocation_service_pb2


def target(wire: revocation_service_pb2.RevocationTarget) -> Target:
    """What is to be revoked. The protos' rules have seen that it is one of them."""
    match wire.WhichOneof("target"):
        case "certificate":
            return Target(standing.CERTIFICATE, (wire.certificate,))
        case "user":
            return Target(standing.USER, (wire.user.agency, wire.user.user))
        case "token":
            return Target(standing.TOKEN, (wire.token.issuer, wire.token.token_id))
        case "issuer":
            return Target(standing.ISSUER, (wire.issuer,))
        case "agency":
            return Target(standing.AGENCY, (wire.agency,))
    raise ValueError("a target without a kind")


def to_wire(one: Revocation) -> revocation_service_pb2.Revocation:
    """A revocation as it is answered."""
    return revocation_service_pb2.Revocation(
        revocation_id=one.revocation_id,
        target=_target(one.target),
        reason=one.reason,
        revoker=enrolment_pb2.Person(agency=one.by_agency, user=one.by_user),
        revoke_time=timestamp(one.time_us),
    )


def _target(one: Target) -> revocation_service_pb2.RevocationTarget:
    made = revocation_service_pb2.RevocationTarget()
    if one.kind == standing.CERTIFICATE:
        (made.certificate,) = one.parts
    elif one.kind == standing.USER:
        made.user.agency, made.user.user = one.parts
    elif one.kind == standing.TOKEN:
        made.token.issuer, made.token.token_id = one.parts
    elif one.kind == standing.ISSUER:
        (made.issuer,) = one.parts
    else:
        (made.agency,) = one.parts
    return made
