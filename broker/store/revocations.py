"""Revocations on file: made, found, listed and lifted within the transaction of whoever calls.

Guarantees: a target has at most one revocation that stands (one writer at a time looks, then adds); a lifted one stays
on file. Does not: decide who may revoke, or put the change into the journal (`registry.add_change`): its number comes
from there, in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import bindparam, insert, or_, select, update

from broker.domain.standing import Revocation, Target
from broker.store.prepared import Driver, Prepared, Row
from broker.store.registry import SEPARATOR
from broker.store.schema import appointment, certificate, issuer, revocation

_COLUMNS = (
    revocation.c.seq,
    revocation.c.revocation_id,
    revocation.c.kind,
    revocation.c.subject,
    revocation.c.agency,
    revocation.c.reason,
    revocation.c.by_agency,
    revocation.c.by_user,
    revocation.c.time_us,
)
_ADD = Prepared(insert(revocation).values({column.name: bindparam(column.name) for column in _COLUMNS}))
_STANDS = revocation.c.lifted_us.is_(None)
_STANDING = Prepared(
    select(*_COLUMNS).where(
        revocation.c.kind == bindparam("wanted_kind"), revocation.c.subject == bindparam("wanted_subject"), _STANDS
    )
)
_FIND = Prepared(select(*_COLUMNS).where(revocation.c.revocation_id == bindparam("wanted"), _STANDS))
_LIFT = Prepared(
    update(revocation)
    .where(revocation.c.revocation_id == bindparam("wanted"), _STANDS)
    .values(lifted_us=bindparam("at_us"), seq=bindparam("new_seq"))
    .returning(revocation.c.revocation_id)
)
_PAGE = Prepared(
    select(*_COLUMNS)
    .where(
        _STANDS,
        revocation.c.seq < bindparam("below"),
        or_(bindparam("of_agency") == "", revocation.c.agency == bindparam("of_agency")),
    )
    .order_by(revocation.c.seq.desc())
    .limit(bindparam("most"))
)
_CERTIFICATE_AGENCY = Prepared(select(certificate.c.agency).where(certificate.c.thumbprint == bindparam("wanted")))
_ISSUERS = Prepared(select(issuer.c.url, issuer.c.agency))
_APPOINTED = Prepared(select(appointment.c.agency, appointment.c.user).where(appointment.c.role == bindparam("wanted")))


def add(driver: Driver, new: Revocation, seq: int) -> None:
    """Put a revocation on file. The caller has seen that none stands (`standing`)."""
    _ADD.run(
        driver,
        {
            "seq": seq,
            "revocation_id": new.revocation_id,
            "kind": new.target.kind,
            "subject": subject(new.target),
            "agency": new.agency,
            "reason": new.reason,
            "by_agency": new.by_agency,
            "by_user": new.by_user,
            "time_us": new.time_us,
        },
    )


def standing(driver: Driver, target: Target) -> Revocation | None:
    """The revocation of this target that stands, or None."""
    return _one(_STANDING.first(driver, {"wanted_kind": target.kind, "wanted_subject": subject(target)}))


def find(driver: Driver, revocation_id: str) -> Revocation | None:
    """A revocation that stands, by its id, or None."""
    return _one(_FIND.first(driver, {"wanted": revocation_id}))


def lift(driver: Driver, revocation_id: str, seq: int, time_us: int) -> bool:
    """Lift a revocation, by the change with this number in the journal. False: there is none that stands."""
    return _LIFT.first(driver, {"wanted": revocation_id, "new_seq": seq, "at_us": time_us}) is not None


def page(driver: Driver, below: int, most: int, *, agency: str = "") -> list[tuple[int, Revocation]]:
    """(number, revocation) of those that stand, newest first; with `agency`, only what concerns that one."""
    rows = _PAGE.all(driver, {"below": below, "most": most, "of_agency": agency})
    return [(int(row[0]), _revocation(row)) for row in rows]


def subject(target: Target) -> str:
    """A target's parts as they are kept. Only the last one may hold anything, so that the first separator counts."""
    return SEPARATOR.join(target.parts)


# What else is on file, for who may revoke what


def certificate_agency(driver: Driver, thumbprint: str) -> str | None:
    """Whose a certificate is that was filed or seen (thumbprint in hexadecimal), or None."""
    row = _CERTIFICATE_AGENCY.first(driver, {"wanted": thumbprint})
    return None if row is None else str(row[0])


def registered_issuers(driver: Driver) -> dict[str, str]:
    """URL -> agency of the issuers that came by an approved proposal."""
    return {str(url): str(agency) for url, agency in _ISSUERS.all(driver, {})}


def appointed(driver: Driver, role: str) -> frozenset[tuple[str, str]]:
    """(agency, user) of all who are appointed to a role."""
    return frozenset((str(agency), str(user)) for agency, user in _APPOINTED.all(driver, {"wanted": role}))


def _one(row: Row | None) -> Revocation | None:
    return None if row is None else _revocation(row)


def _revocation(row: Row) -> Revocation:
    _, revocation_id, kind, kept, *rest = row
    return Revocation(revocation_id, Target(kind, tuple(kept.split(SEPARATOR, 1))), *rest)
