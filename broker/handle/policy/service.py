"""PolicyService: which policy is in force, since when and by whose hand, and how its engine does.

Guarantees: what is told of a revision is what the store keeps of it, bundle included: who asks for it can prove its
signature, and read the rules by which any decision on record was made.
Refuses: a revision that was never in force here, as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from broker.domain.answer import Answer, Call
from broker.domain.enrolment import Person
from broker.domain.errors import HiddenError
from broker.domain.policy import PolicyOnFile
from broker.handle.times import timestamp
from broker.store import policies
from broker.store.prepared import Driver
from broker.store.store import Store
from entente.directory.v1 import enrolment_pb2
from entente.policy.v1 import policy_service_pb2 as wire


class PolicyHandlers:
    """The handlers, named after their methods. `engine`: (its name, whether it answers from the policy in force)."""

    def __init__(self, store: Store, engine: Callable[[], Awaitable[tuple[str, bool]]]) -> None:
        self._store, self._engine = store, engine

    async def get_policy(self, call: Call) -> Answer:
        """The policy in force, or one that was. Raises HiddenError or StaleGrantError."""
        request = cast(wire.GetPolicyRequest, call.request)
        self._store.require_current(call.grant)

        def read(driver: Driver) -> tuple[PolicyOnFile | None, int]:
            wanted = request.revision
            found = policies.of_revision(driver, wanted) if wanted else policies.in_force(driver)
            return found, policies.epoch(driver)

        found, epoch = self._store.look(read)
        if found is None:
            raise HiddenError("NOT_FOUND", "no policy of this revision was ever in force here")
        message = _message(found)
        if found.epoch == epoch:
            name, answers = await self._engine()
            health = wire.ENGINE_HEALTH_READY if answers else wire.ENGINE_HEALTH_UNAVAILABLE
            message.in_force, message.engine, message.health = True, name, health
        if request.with_bundle:
            message.bundle = found.archive
        return Answer(wire.GetPolicyResponse(policy=message).SerializeToString())


def _message(policy: PolicyOnFile) -> wire.Policy:
    message = wire.Policy(
        revision=policy.revision,
        epoch=policy.epoch,
        since=timestamp(policy.since_us),
        in_force=False,
        origin=wire.PolicyOrigin.Value(f"POLICY_ORIGIN_{policy.origin}"),
        note=policy.note or None,
        proposal_id=policy.proposal_id or None,
    )
    if policy.proposal_id:
        message.proposer.CopyFrom(_person(policy.proposer))
        message.approver.CopyFrom(_person(policy.approver))
    return message


def _person(person: Person) -> enrolment_pb2.Person:
    return enrolment_pb2.Person(agency=person.agency, user=person.user)
