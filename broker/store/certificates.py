"""Certificates that were filed or seen calling, so that nobody is surprised by their end.

Guarantees: of each certificate and each threshold one caller alone is told that the warning is its to leave, over all
workers (`claim` is one statement).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from broker.domain.enrolment import DAY_US, WARNING_DAYS, CertificateOnFile
from broker.store.prepared import Driver, Prepared
from broker.store.schema import agency, certificate

_NAMES = ("thumbprint", "agency", "spiffe_id", "not_after_us", "proposal_id", "warned_days")
_COLUMNS = tuple(certificate.c[name] for name in _NAMES)
_NEW = upsert(certificate).values({name: bindparam(name) for name in _NAMES})
_SEE = Prepared(_NEW.on_conflict_do_nothing())
_FILE = Prepared(
    _NEW.on_conflict_do_update(index_elements=["thumbprint"], set_={"proposal_id": _NEW.excluded.proposal_id})
)
_KNOWN = Prepared(select(agency.c.name).where(agency.c.name == bindparam("wanted")))
_OF_PROPOSAL = Prepared(
    select(*_COLUMNS)
    .where(certificate.c.proposal_id == bindparam("wanted"))
    .order_by(certificate.c.not_after_us.desc())
    .limit(1)
)
_PAGE = Prepared(
    select(*_COLUMNS)
    .where(
        or_(
            certificate.c.not_after_us > bindparam("after_us"),
            and_(
                certificate.c.not_after_us == bindparam("after_us"), certificate.c.thumbprint > bindparam("after_print")
            ),
        ),
        certificate.c.not_after_us <= bindparam("until_us"),
        or_(bindparam("of_agency") == "", certificate.c.agency == bindparam("of_agency")),
    )
    .order_by(certificate.c.not_after_us, certificate.c.thumbprint)
    .limit(bindparam("most"))
)
_DUE = Prepared(
    select(*_COLUMNS)
    .where(
        certificate.c.not_after_us > bindparam("now_us"),
        or_(
            *(
                and_(
                    certificate.c.not_after_us <= bindparam(f"until_{days}"),
                    or_(certificate.c.warned_days == 0, certificate.c.warned_days > days),
                )
                for days in WARNING_DAYS
            )
        ),
    )
    .order_by(certificate.c.not_after_us, certificate.c.thumbprint)
    .limit(bindparam("most"))
)
_CLAIM = Prepared(
    update(certificate)
    .where(
        certificate.c.thumbprint == bindparam("wanted"),
        or_(certificate.c.warned_days == 0, certificate.c.warned_days > bindparam("days")),
    )
    .values(warned_days=bindparam("days"))
    .returning(certificate.c.thumbprint)
)
_RELEASE = Prepared(
    update(certificate)
    .where(certificate.c.thumbprint == bindparam("wanted"), certificate.c.warned_days == bindparam("days"))
    .values(warned_days=bindparam("before"))
)
_FORGET = Prepared(delete(certificate).where(certificate.c.not_after_us < bindparam("before_us")))


def see(driver: Driver, seen: Iterable[CertificateOnFile], ended_us: int) -> None:
    """Note certificates that called: those of agencies in the directory, and the broker's own (no agency). Those that
    ended before a time are forgotten."""
    _FORGET.run(driver, {"before_us": ended_us})
    for one in seen:
        if not one.agency or _KNOWN.first(driver, {"wanted": one.agency}) is not None:
            _SEE.run(driver, _values(one))


def put_on_file(driver: Driver, new: CertificateOnFile) -> None:
    """File a certificate for an enrolment; one that was seen before is filed now."""
    _FILE.run(driver, _values(new))


def of_proposal(driver: Driver, proposal_id: str) -> CertificateOnFile | None:
    """The certificate that was filed for an enrolment, the one that lasts longest, or None."""
    row = _OF_PROPOSAL.first(driver, {"wanted": proposal_id})
    return None if row is None else CertificateOnFile(*row)


def page(driver: Driver, after: tuple[int, str], most: int, *, until_us: int, agency: str) -> list[CertificateOnFile]:
    """Certificates that end until a time, those that end first before the others, from above (end, thumbprint)."""
    values = {"after_us": after[0], "after_print": after[1], "until_us": until_us, "of_agency": agency, "most": most}
    return [CertificateOnFile(*row) for row in _PAGE.all(driver, values)]


def due(driver: Driver, now_us: int, most: int) -> list[CertificateOnFile]:
    """Certificates of which a threshold has been reached that nobody has announced, those that end first first."""
    values: dict[str, object] = {"now_us": now_us, "most": most}
    values |= {f"until_{days}": now_us + days * DAY_US for days in WARNING_DAYS}
    return [CertificateOnFile(*row) for row in _DUE.all(driver, values)]


def claim(driver: Driver, thumbprint: str, days: int) -> bool:
    """Whether the warning for this threshold is the caller's to leave: nobody has left it, or a later one."""
    return _CLAIM.first(driver, {"wanted": thumbprint, "days": days}) is not None


def release(driver: Driver, thumbprint: str, days: int, before: int) -> None:
    """Give a claimed warning back that could not be left."""
    _RELEASE.run(driver, {"wanted": thumbprint, "days": days, "before": before})


def _values(one: CertificateOnFile) -> dict[str, object]:
    return {name: getattr(one, name) for name in _NAMES}
