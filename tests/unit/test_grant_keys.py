"""No kept grant is given to anybody for whom policy would decide otherwise.

Everything that a decision could rest on is varied, one thing at a time: each field of the caller, of what it states,
of the method, of the directory and its agreements, the policy and the time. What a decider says that has just decided
for the original must be what one says that has never decided before. The fields are taken from the classes
themselves: a new one fails here until somebody says how to vary it, and whether a decision rests on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson
import pytest

from broker.decide.bundle import PolicyBundle, _hash
from broker.decide.catalogue import MethodRule
from broker.decide.decider import Decider
from broker.decide.embedded import EmbeddedEngine
from broker.decide.rollout import PolicyNow
from broker.domain.caller import AgencyId, Caller
from broker.domain.directory import Agency, AgencyFacts, Agreement, Appointment
from broker.domain.errors import DecisionError, IdentityError
from broker.domain.exchange import Justification
from broker.store.fresh import is_fresh
from tests.support.questions import AGENCIES, BUNDLE, CATALOGUE, GET_REPORT, FakeClock, FakeFacts, caller, marks

ME, OTHER = AGENCIES[0], AGENCIES[1]
AUDIT_LOG = "/entente.audit.v1.AuditService/SearchAuditEntries"
NOW_US = 1_000

OFFICER = caller(ME, purposes=frozenset({"INVESTIGATION", "FRAUD"}), on_behalf_of=("a.lime",))
AUDITOR = caller(ME, roles=frozenset({"auditor"}), purposes=frozenset({"AUDIT"}))
ASKED = Justification("INVESTIGATION", case_reference="case 1", authoriser="ch.supt", legal_basis="")
TERMS = Agreement(
    "terms",
    frozenset({ME, OTHER}),
    frozenset({"INVESTIGATION"}),
    "SECRET",
    500,
    2_000,
    record_types=frozenset({"report"}),
)
PLACED = Agency(ME, "Me", "GB", "LOCAL")


def method(path: str) -> MethodRule:
    found = CATALOGUE.find(path)
    assert found is not None
    return found


@dataclass
class Swapped:
    """A policy that a test swaps."""

    epoch: int = 1
    bundle: PolicyBundle = BUNDLE
    engine: EmbeddedEngine = field(default_factory=lambda: EmbeddedEngine(BUNDLE))

    @property
    def current(self) -> PolicyNow:
        return PolicyNow.of(self.epoch, self.bundle, self.engine)

    async def start(self) -> None:
        await self.engine.start()

    async def now(self) -> PolicyNow:
        return self.current

    async def close(self) -> None:
        await self.engine.close()


@dataclass
class Place:
    """All that a decision could rest on."""

    who: Caller = OFFICER
    asked: Justification | None = ASKED
    rule: MethodRule = field(default_factory=lambda: method(GET_REPORT))
    facts: FakeFacts = field(
        default_factory=lambda: FakeFacts(
            {ME: PLACED, OTHER: Agency(OTHER, "Other", "GB", "REGIONAL")},
            [TERMS],
            [marks(OTHER), marks(OTHER, classification="SECRET"), marks(ME, compartments=frozenset({"op-lime"}))],
            {(ME, "o.reyes", "auditor")},
        )
    )
    policies: Swapped = field(default_factory=Swapped)
    clock: FakeClock = field(default_factory=lambda: FakeClock(utc_us=NOW_US))

    async def decider(self) -> Decider:
        made = Decider(self.policies, CATALOGUE, self.facts, self.clock)
        await made.start()
        return made

    async def outcome(self, decider: Decider) -> tuple[Any, ...]:
        """All that a decision says, but for the id that it is filed under."""
        try:
            found = await decider.decide(self.who, self.rule, self.asked)
        except (DecisionError, IdentityError) as refused:
            return type(refused).__name__, refused.reason
        return (
            found.rows,
            found.pointers,
            found.silent,
            dict(found.classes),
            found.answer_classes,
            found.watermark,
            found.data_revision,
            found.policy_epoch,
            found.valid_until_us,
            found.policy_input,
            found.roles,
            found.agreements,
            replace(found.policy, decision_id=""),
            [found.explain("ROWS", number, True) for number in range(3)],
        )


# Field -> (another value, whether what is decided for an officer rests on it)
CALLER = {
    "agency": (AgencyId.parse(OTHER), True),
    "workload": ("other", False),
    "thumbprint": (b"other", False),
    "serial": ("2", False),
    "user": ("o.other", False),
    "roles": (frozenset({"analyst"}), True),
    "clearance": ("OFFICIAL", True),
    "nationalities": (frozenset({"DE"}), True),
    "purposes": (frozenset({"INVESTIGATION"}), True),
    "issuer": ("other", False),
    "token_id": ("other", False),
    "expires_at": (1, False),
    "on_behalf_of": (("a.fig",), False),
    "certificate_expires_at": (9, False),
    "issuer_key": (b"x", False),
    "client": ("other", False),
}
JUSTIFICATION = {
    "purpose": ("FRAUD", True),
    "case_reference": ("", True),
    "on_behalf_of": ("a.lime", False),
    "authoriser": (" ", True),
    "reason": ("another", False),
    "legal_basis": (sorted(BUNDLE.legal_bases)[0], True),
}
METHOD = {
    "path": ("/other", False),
    "permission": ("REPORT_WRITE", True),
    "entry_type": ("OTHER", False),
    "justification_exempt": (True, True),
    "write": (True, False),
    "client_streaming": (True, False),
    "server_streaming": (True, False),
    "request_type": (str, False),
    "response_type": (str, False),
    "marked": (False, True),
}
AGENCY = {
    "name": (None, False),  # who it is: varied as the caller's agency
    "display_name": ("Another", False),
    "country": ("DE", True),
    "level": ("NATIONAL", True),
    "parent": (OTHER, False),
    "contact": ("desk", False),
    "compartments": (frozenset({"op-lime"}), True),
    "inspectorate": (True, False),
}
AGREEMENT = {
    "agreement_id": ("others", True),
    "parties": (frozenset({ME, AGENCIES[2]}), True),
    "purposes": (frozenset({"FRAUD"}), True),
    "ceiling": ("OFFICIAL", True),
    "valid_from_us": (NOW_US + 1, True),
    "valid_until_us": (NOW_US, True),
    "record_types": (frozenset({"request"}), True),
    "classes": ((("IDENTITY", "WITHHOLD"),), True),
    "use": ("INTELLIGENCE_ONLY", True),
    "onward": ("NEVER", True),
    "assurances": (frozenset({"other"}), True),
    "legal_bases": (frozenset({"other"}), True),
}
APPOINTMENT = {
    "agency": ((OTHER, "o.reyes", "auditor"), True),
    "user": ((ME, "o.other", "auditor"), True),
    "role": ((ME, "o.reyes", "inspector"), True),
}


def test_every_field_is_varied() -> None:
    for kind, said in (
        (Caller, CALLER),
        (Justification, JUSTIFICATION),
        (MethodRule, METHOD),
        (Agency, AGENCY),
        (Agreement, AGREEMENT),
        (Appointment, APPOINTMENT),
    ):
        assert {one.name for one in fields(kind)} == set(said), f"say how {kind.__name__}'s new field is varied"
    assert {one.name for one in fields(AgencyFacts)} == {"agency", "agreements", "revision", "appointments"}
    assert {one.name for one in fields(PolicyNow)} == {"epoch", "bundle", "engine", "reader"}


def of(kind: str, said: dict[str, tuple[Any, bool]]) -> list[Any]:
    return [pytest.param(name, *rest, id=f"{kind}.{name}") for name, rest in said.items()]


async def compare(place: Place, decider: Decider, before: tuple[Any, ...], matters: bool) -> None:
    """`decider` has decided the original, and is asked again; another decides for the first time."""
    afresh = await place.outcome(await place.decider())
    assert await place.outcome(decider) == afresh
    assert (afresh != before) == matters
    assert await place.outcome(decider) == afresh  # and once more, from what it has kept now


@pytest.mark.parametrize(("name", "value", "matters"), of("caller", CALLER))
async def test_a_caller_that_differs_is_decided_by_itself(name: str, value: Any, matters: bool) -> None:
    place = Place()
    decider = await place.decider()
    before = await place.outcome(decider)
    place.who = replace(place.who, **{name: value})
    await compare(place, decider, before, matters)


@pytest.mark.parametrize(("name", "value", "matters"), of("auditor", CALLER))
async def test_a_role_by_appointment_is_one_persons(name: str, value: Any, matters: bool) -> None:
    place = Place(AUDITOR, Justification("AUDIT"), method(AUDIT_LOG))
    decider = await place.decider()
    before = await place.outcome(decider)
    assert before[0] == 0
    place.who = replace(place.who, **{name: value})
    # Clearance and nationality are of no account where there are no marks; the name is.
    rests = (matters and name not in ("clearance", "nationalities")) or name == "user"
    await compare(place, decider, before, rests)


async def test_a_party_that_the_token_does_not_vouch_for_is_refused_after_one_that_it_does() -> None:
    place = Place(asked=replace(ASKED, on_behalf_of="a.lime"))
    decider = await place.decider()
    before = await place.outcome(decider)
    place.who = replace(place.who, on_behalf_of=("a.fig",))
    await compare(place, decider, before, matters=True)


@pytest.mark.parametrize(("name", "value", "matters"), of("justification", JUSTIFICATION))
async def test_what_is_stated_otherwise_is_decided_by_itself(name: str, value: Any, matters: bool) -> None:
    place = Place()
    decider = await place.decider()
    before = await place.outcome(decider)
    place.asked = replace(ASKED, **{name: value})
    await compare(place, decider, before, matters)
    place.asked = None
    await compare(place, decider, before, matters=True)


@pytest.mark.parametrize(("name", "value", "matters"), of("method", METHOD))
async def test_another_kind_of_method_is_decided_by_itself(name: str, value: Any, matters: bool) -> None:
    place = Place()
    decider = await place.decider()
    before = await place.outcome(decider)
    place.rule = replace(place.rule, **{name: value})
    await compare(place, decider, before, matters)


async def changed(place: Place, decider: Decider) -> None:
    """The directory has changed: what was kept is stale to the store, and whoever reads asks for a refresh."""
    held = await decider.decide(place.who, place.rule, place.asked)
    place.facts.revision += 1
    assert not is_fresh(held, place.facts.revision, held.policy_epoch, held.watermark)
    await decider.refresh()


def without_revision(outcome: tuple[Any, ...]) -> tuple[Any, ...]:
    return outcome if isinstance(outcome[0], str) else (*outcome[:6], *outcome[7:12], outcome[13])


@pytest.mark.parametrize(("name", "value", "matters"), of("agency", AGENCY))
async def test_an_agency_that_changed_is_decided_anew(name: str, value: Any, matters: bool) -> None:
    place = Place()
    decider = await place.decider()
    before = await place.outcome(decider)
    if value is not None:
        place.facts.agencies[ME] = replace(PLACED, **{name: value})
    await changed(place, decider)
    await compare_facts(place, decider, before, matters)


@pytest.mark.parametrize(("name", "value", "matters"), of("agreement", AGREEMENT))
async def test_an_agreement_that_changed_is_decided_anew(name: str, value: Any, matters: bool) -> None:
    place = Place()
    decider = await place.decider()
    before = await place.outcome(decider)
    place.facts.agreements = [replace(TERMS, **{name: value})]
    await changed(place, decider)
    await compare_facts(place, decider, before, matters)


@pytest.mark.parametrize(("name", "value", "matters"), of("appointment", APPOINTMENT))
async def test_an_appointment_that_changed_is_decided_anew(name: str, value: Any, matters: bool) -> None:
    place = Place(AUDITOR, Justification("AUDIT"), method(AUDIT_LOG))
    decider = await place.decider()
    before = await place.outcome(decider)
    place.facts.appointed = {value}
    await changed(place, decider)
    await compare_facts(place, decider, before, matters)


async def compare_facts(place: Place, decider: Decider, before: tuple[Any, ...], matters: bool) -> None:
    """As `compare`; the revision is another one in any case."""
    afresh = await place.outcome(await place.decider())
    assert await place.outcome(decider) == afresh
    assert (without_revision(afresh) != without_revision(before)) == matters


async def test_another_policy_and_another_epoch_are_asked_anew() -> None:
    place = Place()
    decider = await place.decider()
    before = await place.outcome(decider)
    place.policies.epoch += 1
    await compare(place, decider, before, matters=True)
    data = orjson.loads(BUNDLE.data)
    data["purposes"]["INVESTIGATION"]["operational"] = False
    text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    place.policies.bundle = replace(BUNDLE, data=text, revision=_hash(BUNDLE.modules, text))
    place.policies.engine = EmbeddedEngine(place.policies.bundle)
    await place.policies.start()
    place.policies.epoch += 1
    await compare(place, decider, before, matters=True)
    assert (await place.outcome(decider))[0] == 0


@pytest.mark.parametrize("moment", [499, 500, 999, 1_000, 1_999, 2_000, 2_001])
@pytest.mark.parametrize("first", [400, 1_000, 2_500])
async def test_no_grant_outlives_a_boundary_whichever_way_the_clock_goes(first: int, moment: int) -> None:
    place = Place(clock=FakeClock(utc_us=first))
    decider = await place.decider()
    await place.outcome(decider)
    # The wall clock is set, or time passes: what an agreement allows is asked of the wall clock alone.
    for steady in (0, max(0, moment - first)):
        place.clock.utc_us, place.clock.steady_us = moment, steady
        found = await place.outcome(decider)
        assert found == await place.outcome(await place.decider())
        assert bool(found[0] & 1) == (500 <= moment < 2_000)


async def test_a_grant_holds_from_its_decision_until_its_end_and_not_a_moment_more() -> None:
    place = Place()
    decider = await place.decider()
    first = await decider.decide(place.who, place.rule, place.asked)
    for utc_us, steady_us, kept in ((1_000, 0, True), (1_999, 999, True), (1_000, 999, True), (999, 0, False)):
        place.clock.utc_us, place.clock.steady_us = utc_us, steady_us
        assert (await decider.decide(place.who, place.rule, place.asked) is first) == kept
    place.clock.utc_us, place.clock.steady_us = 1_500, 0
    again = await decider.decide(place.who, place.rule, place.asked)
    # It was made at 999, for 1,001 us. They pass while the wall clock stands: then it does not hold.
    place.clock.steady_us = 1_000
    assert await decider.decide(place.who, place.rule, place.asked) is again
    place.clock.steady_us = 1_001
    assert await decider.decide(place.who, place.rule, place.asked) is not again


async def test_every_part_of_the_state_makes_a_grant_stale() -> None:
    place = Place()
    held = await (await place.decider()).decide(place.who, place.rule, place.asked)
    state = (held.data_revision, held.policy_epoch, held.watermark)
    assert is_fresh(held, *state)
    for part in range(3):
        for step in (-1, 1):
            moved = [value + step * (position == part) for position, value in enumerate(state)]
            assert not is_fresh(held, *moved)
