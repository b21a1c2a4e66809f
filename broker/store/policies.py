"""The policies that are and were in force, each with its whole bundle: a decision on record can be explained later.

Guarantees: an epoch is never reused, and the highest one is in force in the moment that its transaction is; a row and
its change in the registry's journal are one transaction, so that whoever watches the journal hears of it. Nothing is
ever removed.
Does not: decide whether a bundle may come into force, or read it.
"""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, select, update

from broker.domain.enrolment import Person
from broker.domain.policy import CONFIGURED, PolicyOnFile
from broker.store import registry
from broker.store.prepared import Driver, Prepared, Row
from broker.store.schema import policy, proposal

# For whatever is read under a grant: the epoch, in the same statement (`fresh.py`).
EPOCH = select(func.coalesce(func.max(policy.c.epoch), 0)).scalar_subquery()

_NAMES = ("seq", "revision", "archive", "origin", "note", "since_us", "proposal_id")
_EPOCH = Prepared(select(EPOCH))
_ADD = Prepared(insert(policy).values({name: bindparam(name) for name in _NAMES}).returning(policy.c.epoch))
_CREDIT = Prepared(update(policy).where(policy.c.seq == bindparam("of_seq")).values(proposal_id=bindparam("credited")))
_ROWS = (
    select(
        policy.c.epoch,
        policy.c.revision,
        policy.c.archive,
        policy.c.origin,
        policy.c.note,
        policy.c.since_us,
        policy.c.proposal_id,
        proposal.c.proposer_agency,
        proposal.c.proposer_user,
        proposal.c.decider_agency,
        proposal.c.decider_user,
    )
    .outerjoin_from(policy, proposal, policy.c.proposal_id == proposal.c.proposal_id)
    .order_by(policy.c.epoch.desc())
    .limit(1)
)
_IN_FORCE = Prepared(_ROWS)
_OF_REVISION = Prepared(_ROWS.where(policy.c.revision == bindparam("wanted")))


def epoch(driver: Driver) -> int:
    """The epoch of the policy in force; 0 where none has ever been."""
    row = _EPOCH.first(driver, {})
    return 0 if row is None else int(row[0])


def in_force(driver: Driver) -> PolicyOnFile | None:
    """The policy in force, or None where none has ever been."""
    row = _IN_FORCE.first(driver, {})
    return None if row is None else _policy(row)


def of_revision(driver: Driver, revision: str) -> PolicyOnFile | None:
    """The policy of a revision that is or was in force, as of its last epoch, or None."""
    row = _OF_REVISION.first(driver, {"wanted": revision})
    return None if row is None else _policy(row)


def put_in_force(
    driver: Driver, seq: int, *, revision: str, archive: bytes, origin: str, note: str, now_us: int
) -> int:
    """Put a policy in force, by the change with this number in the journal; its epoch. Within a write's transaction."""
    values = {
        "seq": seq,
        "revision": revision,
        "archive": archive,
        "origin": origin,
        "note": note,
        "since_us": now_us,
        "proposal_id": "",
    }
    row = _ADD.first(driver, values)
    assert row is not None
    return int(row[0])


def credit(driver: Driver, seq: int, proposal_id: str) -> None:
    """Note whose proposal the change with this number carried out, if it put a policy in force."""
    _CREDIT.run(driver, {"of_seq": seq, "credited": proposal_id})


def configure(driver: Driver, *, revision: str, archive: bytes, passed_over: str, now_us: int) -> None:
    """Put what the operator configured in force, unless it is already, or two registrars' policy stands over it.

    `passed_over`: the revision of an adopted policy over which the configured one comes after all.
    """
    present = in_force(driver)
    if present is not None and (present.revision == revision or present.stands(passed_over)):
        return
    # No exchange made it: it is in the journal so that every other process hears of it.
    seq = registry.add_change(driver, "", "POLICY_CONFIGURED", revision, now_us)
    put_in_force(driver, seq, revision=revision, archive=archive, origin=CONFIGURED, note="", now_us=now_us)


def _policy(row: Row) -> PolicyOnFile:
    number, revision, archive, origin, note, since_us, proposal_id, *people = row
    by_agency, by_user, of_agency, of_user = (one or "" for one in people)
    return PolicyOnFile(
        int(number),
        revision,
        bytes(archive),
        origin,
        note,
        since_us,
        proposal_id,
        Person(by_agency, by_user),
        Person(of_agency, of_user),
    )
