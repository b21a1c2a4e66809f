"""Two people decide. Each rule is named by a test.

MUSTs:
1. Who approves is another person than who proposed: not the same user with another role, certificate, token, letter
   case or agency account.
2. Neither acts on behalf of anybody, so that one cannot lend the other's name; and each is a person: a workload that
   acts by itself is whoever runs it.
3. Neither decides on an appointment of the own person.
4. Who proposed still holds the office, and is not revoked, when the other approves.
5. For a key, both have heard its fingerprint read back, and typed it.
6. What was decided or has lapsed is not decided again.
7. Who was revoked decides nothing, however early the call began (the service asks, in the transaction that decides).
"""

from __future__ import annotations

import hmac

from broker.domain.answer import Call
from broker.domain.directory import Appointment
from broker.domain.enrolment import OPEN, REGISTRAR, Person, Proposal
from broker.domain.standing import folded
from broker.handle.enrolment.changes import Change
from broker.handle.enrolment.refusals import closed, invalid, personal, second_person_needed
from broker.store import directory, registry
from broker.store.prepared import Driver


def require_in_person(call: Call) -> Person:
    """Rule 2: who decides. Raises DecisionError."""
    if call.caller.on_behalf_of or call.caller.user == call.caller.client:
        raise personal()
    return Person(str(call.caller.agency), call.caller.user)


def require_disinterested(change: Change, person: Person) -> None:
    """Rule 3. Raises DecisionError."""
    if change.beneficiary and folded(change.beneficiary) == folded(person.user):
        raise second_person_needed("nobody decides on an appointment of their own")


def require_read_back(change: Change, typed: str) -> None:
    """Rule 5. Raises RequestError."""
    if not change.fingerprint:
        if typed:
            raise invalid("key_fingerprint", "this change has no key; leave it out")
        return
    if not hmac.compare_digest(change.fingerprint, typed):
        why = "it is not the fingerprint of the request's key; have the agency read it back again, and trust no other"
        raise invalid("key_fingerprint", why if typed else "have the agency read its key's fingerprint back to you")


def require_open(proposal: Proposal, now_us: int) -> None:
    """Rule 6. Raises PreconditionError."""
    state = proposal.state_at(now_us)
    if state != OPEN:
        raise closed(state)


def require_second_person(driver: Driver, proposal: Proposal, person: Person) -> None:
    """Rules 1 and 4. Raises DecisionError, or PreconditionError."""
    proposer = proposal.proposer
    if folded(proposer.user) == folded(person.user):
        raise second_person_needed("you proposed it yourself")
    in_office = directory.appointed(driver, Appointment(proposer.agency, proposer.user, REGISTRAR))
    revoked = registry.revoked(driver)
    if not in_office or proposer.agency in revoked.agencies or revoked.holds_user(proposer.agency, proposer.user):
        raise closed("without a proposer who is in office")
