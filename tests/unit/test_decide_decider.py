"""The decider: who is refused, what is kept and for how long, and what no engine can grant."""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import replace

import pytest

from broker.decide.catalogue import MethodRule
from broker.decide.ceiling import OWNER_CLASSES
from broker.decide.decider import Decider
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import EngineAnswer, PolicyEngine
from broker.decide.rollout import FixedPolicy
from broker.decide.vocabulary import FIELD_CLASSES
from broker.domain.caller import Caller
from broker.domain.directory import Agreement
from broker.domain.errors import DecisionError, IdentityError, UnavailableError
from broker.domain.exchange import Justification
from broker.domain.grant import FULL, Grant
from broker.domain.marks import MarkSet
from tests.support.engines import ALL_GRANTED, ALLOWED, AnsweringEngine, SmallEngine
from tests.support.questions import (
    AGENCIES,
    BUNDLE,
    CATALOGUE,
    GET_REPORT,
    LATER_US,
    FakeClock,
    FakeFacts,
    caller,
    marks,
    random_marks,
    world,
)

INVESTIGATE = Justification("INVESTIGATION")
LIST_AGENCIES = "/entente.directory.v1.DirectoryService/ListAgencies"
WHO_AM_I = "/entente.directory.v1.DirectoryService/WhoAmI"


def rule(path: str = GET_REPORT) -> MethodRule:
    found = CATALOGUE.find(path)
    assert found is not None
    return found


async def started(source: FakeFacts, engine: PolicyEngine | None = None, clock: FakeClock | None = None) -> Decider:
    decider = Decider(FixedPolicy(engine or EmbeddedEngine(BUNDLE), BUNDLE), CATALOGUE, source, clock or FakeClock())
    await decider.start()
    return decider


async def refusal(decider: Decider, who: Caller, asked: Justification | None, path: str = GET_REPORT) -> DecisionError:
    with pytest.raises(DecisionError) as refused:
        await decider.decide(who, rule(path), asked)
    return refused.value


async def test_roles_and_purposes_refuse_with_their_reason() -> None:
    decider = await started(world(marks()))
    auditor = caller(roles=frozenset({"auditor"}))
    assert (await refusal(decider, auditor, Justification("AUDIT"))).reason == "METHOD_NOT_PERMITTED"
    narrow = caller(purposes=frozenset({"FRAUD"}))
    denied = await refusal(decider, narrow, INVESTIGATE)
    assert denied.reason == "PURPOSE_NOT_PERMITTED"
    assert denied.refusal is not None
    assert denied.refusal.rule == "purpose_in_token"
    # What was asked is sealed with the refusal, so that it can be asked again.
    assert denied.refusal.policy.input_hash == hashlib.sha256(denied.refusal.policy_input).hexdigest()
    assert (await refusal(decider, caller(), None)).reason == "PURPOSE_NOT_PERMITTED"
    assert (await refusal(decider, caller(), Justification("NONSENSE"))).reason == "PURPOSE_NOT_PERMITTED"
    assert (await refusal(decider, caller(roles=frozenset({"janitor"})), INVESTIGATE)).reason == "METHOD_NOT_PERMITTED"


async def test_a_request_selects_a_party_and_never_adds_one() -> None:
    decider = await started(world(marks()))
    asked = replace(INVESTIGATE, on_behalf_of="a.lime")
    assert (await refusal(decider, caller(), asked)).reason == "ON_BEHALF_NOT_PERMITTED"
    await decider.decide(caller(on_behalf_of=("a.lime",)), rule(), asked)
    # What one caller was granted is not another's: the token without the party is still refused.
    assert (await refusal(decider, caller(), asked)).reason == "ON_BEHALF_NOT_PERMITTED"


async def test_an_agency_that_is_not_in_the_directory_is_refused() -> None:
    decider = await started(world())
    with pytest.raises(IdentityError) as refused:
        await decider.decide(caller("elsewhere.example/x"), rule(), INVESTIGATE)
    assert refused.value.reason == "AGENCY_UNKNOWN"


async def test_a_grant_is_what_the_trees_say_and_explains_itself() -> None:
    decider = await started(world(marks(), marks(classification="TOP_SECRET"), marks(AGENCIES[0])))
    grant = await decider.decide(caller(), rule(), INVESTIGATE)
    assert grant.rows == 0b101
    assert grant.explain("ROWS", 1, True) == ("clearance", "CLEARANCE")
    assert grant.refusal("PROVENANCE", 0, 0, full=False) == ("provenance_level", "NOT_GRANTED")
    assert dict(grant.view(2, 2).levels)["INTERNAL"] == FULL
    assert grant.classes.keys() == set(FIELD_CLASSES)
    assert (grant.watermark, grant.data_revision, grant.valid_until_us) == (2, 1, LATER_US)
    assert (grant.policy.engine, grant.policy.bundle, grant.policy.data) == ("embedded", BUNDLE.revision, 1)
    assert b'"grant":{' in grant.policy_input


async def test_unmarked_methods_see_no_record() -> None:
    decider = await started(world(marks()))
    grant = await decider.decide(caller(), rule(LIST_AGENCIES), INVESTIGATE)
    assert (grant.rows, grant.pointers, grant.answer_classes) == (0, 0, {"ENVELOPE", "DIRECTORY"})
    assert not any(held.full or held.part for held in grant.classes.values())
    assert (await decider.decide(caller(), rule(WHO_AM_I), None)).answer_classes == {"ENVELOPE"}


async def test_officers_alike_share_one_grant() -> None:
    decider = await started(world(marks()))
    first = await decider.decide(caller(user="a"), rule(), INVESTIGATE)
    assert await decider.decide(caller(user="b", token_id="other"), rule(), INVESTIGATE) is first
    different = (
        caller(clearance="OFFICIAL"),
        caller(roles=frozenset({"analyst"})),
        caller(nationalities=frozenset({"DE"})),
        caller(AGENCIES[1]),
        caller(purposes=frozenset({"INVESTIGATION"})),
    )
    for other in different:
        assert await decider.decide(other, rule(), INVESTIGATE) is not first
    assert await decider.decide(caller(), rule(), replace(INVESTIGATE, authoriser="ch.supt")) is not first


AUDIT = Justification("AUDIT")
SEARCH_AUDIT = "/entente.audit.v1.AuditService/SearchAuditEntries"


async def test_a_role_by_appointment_counts_for_the_appointed_alone() -> None:
    source = world()
    source.appointed = {(AGENCIES[0], "o.vale", "auditor"), (AGENCIES[1], "o.reyes", "auditor")}
    decider = await started(source)

    def auditor(user: str, *roles: str, agency: str = AGENCIES[0]) -> Caller:
        return caller(agency, user=user, roles=frozenset({"auditor", *roles}))

    granted = await decider.decide(auditor("o.vale", "janitor"), rule(SEARCH_AUDIT), AUDIT)
    assert granted.roles == {"auditor"}
    # Equal in everything but the name, and just after: no grant is shared with somebody who was not appointed.
    assert (await refusal(decider, auditor("o.reyes"), AUDIT, SEARCH_AUDIT)).reason == "METHOD_NOT_PERMITTED"
    assert (await refusal(decider, auditor("o.vale", agency=AGENCIES[2]), AUDIT, SEARCH_AUDIT)).reason
    assert await decider.decide(auditor("o.reyes", agency=AGENCIES[1]), rule(SEARCH_AUDIT), AUDIT)
    # The roles that need no appointment still count.
    assert (await decider.decide(auditor("o.reyes", "officer"), rule(), INVESTIGATE)).roles == {"officer"}
    found = {path: allowed for path, allowed, _, _ in await decider.capabilities(auditor("o.reyes"))}
    assert not found[SEARCH_AUDIT]


async def test_a_dismissal_ends_what_was_granted() -> None:
    source = world()
    source.appointed = {(AGENCIES[0], "o.reyes", "auditor")}
    decider = await started(source)
    auditor = caller(roles=frozenset({"auditor"}))
    await decider.decide(auditor, rule(SEARCH_AUDIT), AUDIT)
    source.appointed.clear()
    decider.forget()
    assert (await refusal(decider, auditor, AUDIT, SEARCH_AUDIT)).reason == "METHOD_NOT_PERMITTED"


async def test_callers_at_once_share_one_evaluation() -> None:
    engine = SmallEngine()
    decider = await started(world(marks()), engine)
    grants = await asyncio.gather(*(decider.decide(caller(), rule(), INVESTIGATE) for _ in range(20)))
    assert len(set(map(id, grants))) == 1
    assert [entry for entry, _ in engine.asked] == ["method", "grant"]


async def test_a_caller_who_gives_up_does_not_end_the_others_decision() -> None:
    decider = await started(world(marks()), SmallEngine())
    impatient = asyncio.create_task(decider.decide(caller(), rule(), INVESTIGATE))
    patient = asyncio.create_task(decider.decide(caller(), rule(), INVESTIGATE))
    await asyncio.sleep(0)
    impatient.cancel()
    assert isinstance(await patient, Grant)


async def test_a_grant_ends_with_the_first_agreement() -> None:
    source, clock = world(marks()), FakeClock(utc_us=1_000)
    source.agreements = [replace(source.agreements[0], valid_until_us=2_000)]
    decider = await started(source, clock=clock)
    grant = await decider.decide(caller(), rule(), INVESTIGATE)
    assert (grant.rows, grant.valid_until_us) == (1, 2_000)
    clock.pass_us(1_000)
    assert (await decider.decide(caller(), rule(), INVESTIGATE)).rows == 0


async def test_a_clock_that_steps_back_revives_no_grant() -> None:
    source, clock = world(marks()), FakeClock(utc_us=1_000)
    source.agreements = [replace(source.agreements[0], valid_until_us=2_000)]
    decider = await started(source, clock=clock)
    grant = await decider.decide(caller(), rule(), INVESTIGATE)
    clock.pass_us(1_000)
    clock.utc_us = 1_500
    assert await decider.decide(caller(), rule(), INVESTIGATE) is not grant
    clock.utc_us = 500
    again = await decider.decide(caller(), rule(), INVESTIGATE)
    clock.utc_us = 400
    assert await decider.decide(caller(), rule(), INVESTIGATE) is not again


async def test_an_agreement_that_begins_ends_the_grant_before_it() -> None:
    source, clock = world(marks()), FakeClock(utc_us=1_000)
    source.agreements = [replace(source.agreements[0], valid_from_us=2_000)]
    decider = await started(source, clock=clock)
    assert (await decider.decide(caller(), rule(), INVESTIGATE)).rows == 0
    clock.pass_us(1_000)
    assert (await decider.decide(caller(), rule(), INVESTIGATE)).rows == 1


async def test_refresh_takes_in_new_mark_sets_and_a_new_directory() -> None:
    source = world(marks())
    decider = await started(source)
    first = await decider.decide(caller(), rule(), INVESTIGATE)
    source.sets += [marks(tlp="GREEN"), marks(releasable_to=frozenset())]
    assert await decider.decide(caller(), rule(), INVESTIGATE) is first
    await decider.refresh()
    grown = await decider.decide(caller(), rule(), INVESTIGATE)
    assert (grown.rows, grown.watermark) == (0b011, 2)
    source.agreements, source.revision = [], 2
    await decider.refresh()
    alone = await decider.decide(caller(), rule(), INVESTIGATE)
    assert (alone.rows, alone.data_revision) == (0b010, 2)


async def test_extending_equals_evaluating_afresh() -> None:
    rnd = random.Random(40)
    sets = [random_marks(rnd) for _ in range(300)]
    source = world()
    growing = await started(source)
    for number in range(0, 300, 37):
        source.sets = sets[: number + 37]
        await growing.refresh()
        grown = await growing.decide(caller(), rule(), INVESTIGATE)
    fresh = await (await started(source)).decide(caller(), rule(), INVESTIGATE)
    assert (grown.rows, grown.pointers, grown.classes) == (fresh.rows, fresh.pointers, fresh.classes)
    assert grown.watermark == 299


async def test_a_decision_that_began_before_refresh_is_not_kept() -> None:
    source = world(marks())
    engine = SmallEngine()
    decider = await started(source, engine)
    slow = asyncio.create_task(decider.decide(caller(AGENCIES[1]), rule(), INVESTIGATE))
    while not engine.asked:
        await asyncio.sleep(0)
    source.revision = 2
    await decider.refresh()
    assert (await slow).data_revision == 1
    assert (await decider.decide(caller(AGENCIES[1]), rule(), INVESTIGATE)).data_revision == 2


async def test_the_ceiling_holds_whatever_an_engine_grants() -> None:
    rnd = random.Random(41)
    sets = [random_marks(rnd) for _ in range(500)]
    source = world(*sets)
    me, others = AGENCIES[0], 0
    decider = Decider(FixedPolicy(AnsweringEngine(), BUNDLE), CATALOGUE, source, FakeClock())
    await decider.refresh()
    grant = await decider.decide(caller(), rule(), INVESTIGATE)
    for number, held in enumerate(sets):
        own = held.originator == me
        allowed = not held.compartments and (own or _released(held, me))
        assert grant.sees(number, number) == allowed
        others += allowed and not own
        instead = held.fallback == "POINTER" and held.reach in ("", "REDACTED", "POINTER")
        at_most = held.reach == "POINTER" and _released(replace(held, reach=""), me)
        told = (instead or at_most) and not held.compartments and not allowed
        assert bool(grant.pointers >> number & 1) == told
        for name in OWNER_CLASSES:
            assert bool(grant.classes[name].full >> number & 1) == (allowed and own)
        if not allowed:
            assert not any((bits.full | bits.part) >> number & 1 for bits in grant.classes.values())
            assert grant.explain("INFORMATION", number, False)[0].startswith("ceiling_")
    assert others > 20


def _released(held: MarkSet, me: str) -> bool:
    named = held.releasable_to is None or me in held.releasable_to
    return named and held.sanitisation != "SOURCE_PROTECTED" and held.reach in ("", "REDACTED")


@pytest.mark.parametrize(
    ("method", "grant"),
    [(None, ALL_GRANTED), (ALLOWED, None), (ALLOWED | {"x": 1}, ALL_GRANTED), (ALLOWED, {"rows": {"all": []}})],
)
async def test_an_answer_that_is_none_is_a_refusal(method: object, grant: object) -> None:
    decider = Decider(FixedPolicy(AnsweringEngine(method, grant), BUNDLE), CATALOGUE, world(marks()), FakeClock())
    with pytest.raises(UnavailableError) as refused:
        await decider.decide(caller(), rule(), INVESTIGATE)
    assert refused.value.reason == "POLICY_UNAVAILABLE"


async def test_a_failure_is_not_kept() -> None:
    class Recovering(AnsweringEngine):
        failures = 1

        async def grant(self, question: bytes) -> EngineAnswer:
            if self.failures:
                self.failures -= 1
                raise UnavailableError("POLICY_UNAVAILABLE", "not now")
            return await super().grant(question)

    decider = Decider(FixedPolicy(Recovering(), BUNDLE), CATALOGUE, world(marks()), FakeClock())
    with pytest.raises(UnavailableError):
        await decider.decide(caller(), rule(), INVESTIGATE)
    assert await decider.decide(caller(), rule(), INVESTIGATE)


async def test_capabilities_say_what_each_method_allows_and_which_rule_refuses() -> None:
    source = world()
    source.appointed = {(AGENCIES[0], "o.reyes", "auditor")}
    decider = await started(source)
    auditor = caller(roles=frozenset({"auditor"}), purposes=frozenset({"AUDIT", "INVESTIGATION"}))
    found = {path: rest for path, *rest in await decider.capabilities(auditor)}
    assert len(found) == len(CATALOGUE)
    assert found[GET_REPORT] == [False, (), "role_permits"]
    assert found["/entente.audit.v1.AuditService/SearchAuditEntries"] == [True, ("AUDIT",), ""]
    assert found[WHO_AM_I] == [True, ("AUDIT", "INVESTIGATION"), ""]
    officer = caller(purposes=frozenset({"FRAUD", "AUDIT"}))
    assert {path: rest for path, *rest in await decider.capabilities(officer)}[GET_REPORT] == [True, ("FRAUD",), ""]


async def test_a_partner_outside_every_agreement_reads_nothing_but_the_open() -> None:
    source = world(marks(tlp="CLEAR"), marks(tlp="AMBER"))
    source.agreements = [Agreement("old", frozenset(AGENCIES), frozenset({"INVESTIGATION"}), "SECRET", 0, 1)]
    decider = await started(source)
    assert (await decider.decide(caller(), rule(), INVESTIGATE)).rows == 0b01
