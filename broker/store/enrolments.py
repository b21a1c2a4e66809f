"""Proposals and what they bring: kept, found and closed within the transaction of whoever calls.

Guarantees: a proposal is closed once (`close` says whether it was this call that did it), and stays on file.
Does not: decide who may close it, or put the change into the journal (`registry.add_change`): its number comes from
there, in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import BindParameter, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from broker.domain.enrolment import LAPSED, OPEN, PROPOSAL_LIFE_US, Person, Proposal
from broker.domain.issuer import RegisteredIssuer
from broker.store.prepared import Driver, Prepared, Row
from broker.store.schema import issuer, proposal

_NAMES = (
    "seq",
    "proposal_id",
    "change",
    "agency",
    "key_fingerprint",
    "state",
    "proposer_agency",
    "proposer_user",
    "propose_us",
    "decider_agency",
    "decider_user",
    "decide_us",
)
_COLUMNS = tuple(proposal.c[name] for name in _NAMES)
_ADD = Prepared(insert(proposal).values({name: bindparam(name) for name in _NAMES}))
_FIND = Prepared(select(*_COLUMNS).where(proposal.c.proposal_id == bindparam("wanted")))
_CLOSE = Prepared(
    update(proposal)
    .where(proposal.c.proposal_id == bindparam("wanted"), proposal.c.state == OPEN)
    .values(
        state=bindparam("new_state"),
        decider_agency=bindparam("new_agency"),
        decider_user=bindparam("new_user"),
        decide_us=bindparam("new_us"),
    )
    .returning(proposal.c.proposal_id)
)
_IN_STATE: BindParameter[str] = bindparam("in_state")
_LIVE = proposal.c.propose_us > bindparam("lapsed_us")
_PAGE = Prepared(
    select(*_COLUMNS)
    .where(
        proposal.c.seq < bindparam("below"),
        or_(bindparam("of_agency") == "", proposal.c.agency == bindparam("of_agency")),
        or_(
            _IN_STATE == "",
            and_(_IN_STATE == OPEN, proposal.c.state == OPEN, _LIVE),
            and_(_IN_STATE == LAPSED, proposal.c.state == OPEN, ~_LIVE),
            and_(_IN_STATE != OPEN, proposal.c.state == _IN_STATE),
        ),
    )
    .order_by(proposal.c.seq.desc())
    .limit(bindparam("most"))
)
_PUT = upsert(issuer)
_PUT_ISSUER = Prepared(
    _PUT.on_conflict_do_update(
        index_elements=["url"],
        set_={name: getattr(_PUT.excluded, name) for name in ("agency", "jwks", "jwks_uri")},
    )
)
_DROP_ISSUERS = Prepared(delete(issuer).where(issuer.c.agency == bindparam("of_agency")))
_ISSUER = Prepared(
    select(issuer.c.url, issuer.c.agency, issuer.c.jwks, issuer.c.jwks_uri).where(issuer.c.url == bindparam("wanted"))
)


def add(driver: Driver, new: Proposal, seq: int) -> None:
    """Put a proposal on file."""
    _ADD.run(
        driver,
        {
            "seq": seq,
            "proposal_id": new.proposal_id,
            "change": new.change,
            "agency": new.agency,
            "key_fingerprint": new.key_fingerprint,
            "state": new.state,
            "proposer_agency": new.proposer.agency,
            "proposer_user": new.proposer.user,
            "propose_us": new.propose_us,
            "decider_agency": new.decider.agency,
            "decider_user": new.decider.user,
            "decide_us": new.decide_us,
        },
    )


def find(driver: Driver, proposal_id: str) -> Proposal | None:
    """A proposal by its id, or None."""
    row = _FIND.first(driver, {"wanted": proposal_id})
    return None if row is None else _proposal(row)


def close(driver: Driver, proposal_id: str, state: str, decider: Person, time_us: int) -> bool:
    """Close an open proposal. False: it is closed already."""
    values = {
        "wanted": proposal_id,
        "new_state": state,
        "new_agency": decider.agency,
        "new_user": decider.user,
        "new_us": time_us,
    }
    return _CLOSE.first(driver, values) is not None


def page(driver: Driver, below: int, most: int, *, state: str, agency: str, now_us: int) -> list[tuple[int, Proposal]]:
    """(number, proposal), newest first; those in a state and those that concern an agency, where one is named."""
    values = {
        "below": below,
        "most": most,
        "in_state": state,
        "of_agency": agency,
        "lapsed_us": now_us - PROPOSAL_LIFE_US,
    }
    return [(int(row[0]), _proposal(row)) for row in _PAGE.all(driver, values)]


def put_issuer(driver: Driver, new: RegisteredIssuer) -> None:
    """Register an issuer, or other keys of one. The caller has seen that it speaks for nobody else."""
    _PUT_ISSUER.run(driver, {"url": new.url, "agency": new.agency, "jwks": new.jwks, "jwks_uri": new.jwks_uri})


def drop_issuers(driver: Driver, agency: str) -> None:
    """No registered issuer speaks for this agency any more."""
    _DROP_ISSUERS.run(driver, {"of_agency": agency})


def find_issuer(driver: Driver, url: str) -> RegisteredIssuer | None:
    """A registered issuer by its URL, or None."""
    row = _ISSUER.first(driver, {"wanted": url})
    return None if row is None else RegisteredIssuer(*row)


def _proposal(row: Row) -> Proposal:
    _, proposal_id, change, agency, key_fingerprint, state, *rest = row
    by_agency, by_user, propose_us, of_agency, of_user, decide_us = rest
    return Proposal(
        proposal_id,
        bytes(change),
        agency,
        key_fingerprint,
        state,
        Person(by_agency, by_user),
        propose_us,
        Person(of_agency, of_user),
        decide_us,
    )
