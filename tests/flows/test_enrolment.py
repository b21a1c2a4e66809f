"""An agency, an issuer, a role come to the network: two people, on record, in force at once."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import grpc
import pytest

from broker.domain.directory import Appointment
from broker.domain.enrolment import PROPOSAL_LIFE_US
from broker.domain.issuer import RegisteredIssuer
from broker.handle.enrolment import service
from broker.handle.enrolment.probe_limit import BURST
from broker.store import certificates, directory, enrolments
from certs.authority import Authority
from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_service_pb2, enrolment_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire
from entente.directory.v1 import revocation_service_pb2 as revocation_wire
from tests.support.enrolments import (
    ADMINISTRATOR,
    FIRST,
    SECOND,
    SERVICE,
    WHY,
    Newcomer,
    Registry,
    appoint,
    dismiss,
)
from tests.support.house import House, reason_of
from tests.support.live import party_named

pytestmark = pytest.mark.asyncio(loop_scope="module")

REVOKE = "/entente.directory.v1.RevocationService/Revoke"
WHO_AM_I = "/entente.directory.v1.DirectoryService/WhoAmI"
OFFICER = party_named["neighbourhood"]


@pytest.fixture
def registry(place: House) -> Registry:
    return Registry(place)


async def who_am_i(place: House, newcomer: Newcomer, certificate: str) -> directory_service_pb2.WhoAmIResponse:
    """The newcomer's first call."""
    channel = newcomer.channel(place, certificate)
    try:
        metadata = (("authorization", f"Bearer {newcomer.token(certificate)}"),)
        raw = await channel.unary_unary(WHO_AM_I)(b"", metadata=metadata, timeout=20)
        return directory_service_pb2.WhoAmIResponse.FromString(raw)
    finally:
        await channel.close()


async def test_a_newcomer_calls_once_two_people_have_let_it_in(place: House, registry: Registry) -> None:
    newcomer = Newcomer()
    certificate = newcomer.certificate(place)
    proposal = await registry.propose(newcomer.enrolment(), newcomer.fingerprint)
    assert proposal.state == enrolment_pb2.PROPOSAL_STATE_OPEN
    # Whoever approves is to hear the fingerprint, not to copy it.
    seen = await registry.get(proposal.proposal_id, SECOND)
    assert (proposal.proposer.user, proposal.key_fingerprint, seen.key_fingerprint) == (FIRST.user, "", "")
    # A certificate alone, and a proposal alone, let nobody in.
    assert await registry.refused(who_am_i(place, newcomer, certificate)) == "ISSUER_NOT_ALLOWED"
    assert await registry.refused(registry.file(proposal.proposal_id, certificate)) == "STEP_MISSING"

    approved = await registry.approve(proposal.proposal_id, newcomer.fingerprint)
    assert approved.state == enrolment_pb2.PROPOSAL_STATE_APPROVED
    assert (approved.proposer.user, approved.decider.user) == (FIRST.user, SECOND.user)
    assert approved.key_fingerprint == newcomer.fingerprint
    filed = await registry.file(proposal.proposal_id, certificate)
    assert (filed.agency, filed.spiffe_id, filed.days_left) == (newcomer.name, newcomer.spiffe_id, 30)
    assert (await registry.get(proposal.proposal_id)).certificate == filed

    for _ in range(200):
        try:
            me = await who_am_i(place, newcomer, certificate)
            break
        except grpc.aio.AioRpcError:
            # The issuer's keys are read by the watch's next look.
            continue
    assert (me.agency, me.user) == (newcomer.name, "pc.juniper.vane")
    assert me.certificate_expire_time.seconds == filed.expire_time.seconds
    assert me.broker_time.seconds


async def test_every_step_is_on_the_ledger_and_names_nothing_in_clear(place: House, registry: Registry) -> None:
    since = len(place.broker.ledger)
    newcomer = Newcomer()
    proposal = await registry.enrol(newcomer)
    await registry.file(proposal.proposal_id, newcomer.certificate(place))
    leaves = [leaf for leaf in place.leaves(since) if leaf["method"].startswith(SERVICE)]
    assert [(leaf["method"].removeprefix(SERVICE), leaf["phase"], leaf["actor"]["user"]) for leaf in leaves] == [
        (method, phase, person.user)
        for method, person in (("ProposeChange", FIRST), ("ApproveProposal", SECOND), ("FileCertificate", FIRST))
        for phase in ("intent", "release")
    ]
    assert {leaf["type"] for leaf in leaves} == {"admin"}
    clear = json.dumps(leaves)
    assert not [word for word in (newcomer.agency, "Fenmoor", "REG-7", proposal.proposal_id) if word in clear]


async def test_what_was_approved_is_in_the_directory_for_everybody(place: House, registry: Registry) -> None:
    newcomer = Newcomer()
    before = place.broker.store.directory_revision
    await registry.enrol(newcomer)
    assert place.broker.store.directory_revision > before
    request = directory_service_pb2.GetAgencyRequest(name=newcomer.name)
    request.justification.CopyFrom(WHY)
    raw = await place.unary(
        "/entente.directory.v1.DirectoryService/GetAgency", request.SerializeToString(), ADMINISTRATOR
    )
    found = directory_service_pb2.GetAgencyResponse.FromString(raw).agency
    assert (found.display_name, found.contact) == ("Fenmoor Police", "desk@fenmoor.example")


async def test_a_name_that_comes_back_brings_nobody_back(place: House, registry: Registry) -> None:
    """Of an agency that the operator's file no longer has, an issuer and an appointment are left."""
    newcomer, former = Newcomer(), Newcomer()
    left = RegisteredIssuer(former.issuer, newcomer.name, former.registration().jwks)
    await place.broker.store.write(lambda tx: enrolments.put_issuer(tx.driver, left))
    auditor = Appointment(newcomer.name, "auditor.of.before", "auditor")
    await place.broker.store.write(lambda tx: directory.appoint(tx.driver, auditor))
    await registry.enrol(newcomer)
    facts = place.broker.store.facts(newcomer.name)
    assert facts is not None
    assert not facts.appointments
    assert [one.url for one in place.broker.store.issuers() if one.agency == newcomer.name] == [newcomer.issuer]


# The four-eyes rules, as broker/handle/enrolment/four_eyes.py numbers them


async def test_rule_1_the_proposer_does_not_approve(place: House, registry: Registry) -> None:
    newcomer = Newcomer()
    proposal = await registry.propose(newcomer.enrolment(), newcomer.fingerprint)
    again = registry.approve(proposal.proposal_id, newcomer.fingerprint, FIRST)
    assert await registry.refused(again) == "SECOND_PERSON_NEEDED"
    assert (await registry.get(proposal.proposal_id)).state == enrolment_pb2.PROPOSAL_STATE_OPEN
    assert place.broker.store.agency(newcomer.name) is None


async def test_rule_1_another_account_of_the_same_person_does_not_approve(place: House, registry: Registry) -> None:
    """Appointed in the operator's file a second time: under another letter case, and at another agency."""
    accounts = ((FIRST, FIRST.user.upper()), (OFFICER, FIRST.user))
    for who, user in accounts:
        again = Appointment(who.agency, user, "registrar")
        await place.broker.store.write(lambda tx, again=again: directory.appoint(tx.driver, again))
    proposal = await registry.propose(appoint(OFFICER.agency, "sgt.fen.alder"))
    for who, user in accounts:
        request = wire.ApproveProposalRequest(
            justification=WHY, idempotency_key=str(uuid.uuid4()), proposal_id=proposal.proposal_id
        )
        token = _token(place, who.agency, user)
        call = place.unary(SERVICE + "ApproveProposal", request.SerializeToString(), who, metadata=token)
        assert await registry.refused(call) == "SECOND_PERSON_NEEDED"


async def test_rule_1_an_approval_is_not_answered_again_to_another_person(place: House, registry: Registry) -> None:
    """Else the log would show an approval by whoever proposed."""
    proposal = await registry.propose(appoint(OFFICER.agency, f"sgt.{uuid.uuid4().hex[:6]}"))
    request = wire.ApproveProposalRequest(proposal_id=proposal.proposal_id, idempotency_key=str(uuid.uuid4()))
    first = await registry.ask("ApproveProposal", request, wire.ApproveProposalResponse, SECOND)
    again = await registry.ask("ApproveProposal", request, wire.ApproveProposalResponse, SECOND)
    assert again.proposal == first.proposal
    others = registry.ask("ApproveProposal", request, wire.ApproveProposalResponse, FIRST)
    assert await registry.refused(others) == "IDEMPOTENCY_KEY_REUSED"


async def test_rule_2_nobody_decides_on_behalf_of_another(registry: Registry) -> None:
    change = appoint(OFFICER.agency, "sgt.fen.birch")
    lent = registry.propose(change, on_behalf_of=("registrar.of.somewhere",))
    assert await registry.refused(lent) == "ON_BEHALF_NOT_PERMITTED"
    proposal = await registry.propose(change)
    lent = registry.approve(proposal.proposal_id, on_behalf_of=(FIRST.user,))
    assert await registry.refused(lent) == "ON_BEHALF_NOT_PERMITTED"


async def test_rule_3_nobody_appoints_themselves(registry: Registry) -> None:
    own = registry.propose(appoint(FIRST.agency, FIRST.user, "auditor"))
    assert await registry.refused(own) == "SECOND_PERSON_NEEDED"
    proposal = await registry.propose(appoint(SECOND.agency, SECOND.user, "auditor"))
    assert await registry.refused(registry.approve(proposal.proposal_id)) == "SECOND_PERSON_NEEDED"


async def test_rule_4_what_somebody_proposed_ends_with_their_office(place: House, registry: Registry) -> None:
    third = "registrar.passing.through"
    await registry.decide(appoint(FIRST.agency, third, "registrar"))
    request = wire.ProposeChangeRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), change=appoint(OFFICER.agency, "sgt.fen.cedar")
    )
    token = _token(place, FIRST.agency, third)
    raw = await place.unary(SERVICE + "ProposeChange", request.SerializeToString(), FIRST, metadata=token)
    proposal = wire.ProposeChangeResponse.FromString(raw).proposal
    await registry.decide(dismiss(FIRST.agency, third, "registrar"))
    assert await registry.refused(registry.approve(proposal.proposal_id)) == "PROPOSAL_CLOSED"


async def test_rule_5_both_type_the_fingerprint_that_was_read_back(registry: Registry) -> None:
    newcomer, other = Newcomer(), Newcomer()
    for wrong in ("", other.fingerprint):
        assert await registry.refused(registry.propose(newcomer.enrolment(), wrong)) == "REQUEST_INVALID"
    proposal = await registry.propose(newcomer.enrolment(), newcomer.fingerprint)
    for wrong in ("", other.fingerprint):
        assert await registry.refused(registry.approve(proposal.proposal_id, wrong)) == "REQUEST_INVALID"
    # Where there is no key, a fingerprint means that somebody takes one thing for another.
    assert await registry.refused(registry.propose(appoint(OFFICER.agency, "x"), "0" * 64)) == "REQUEST_INVALID"


async def test_rule_6_what_is_decided_is_not_decided_again(registry: Registry) -> None:
    newcomer = Newcomer()
    approved = await registry.enrol(newcomer)
    assert await registry.refused(registry.approve(approved.proposal_id, newcomer.fingerprint)) == "PROPOSAL_CLOSED"
    assert await registry.refused(registry.reject(approved.proposal_id)) == "PROPOSAL_CLOSED"
    rejected = await registry.propose(appoint(OFFICER.agency, "sgt.fen.doe"))
    # One's own, too.
    assert (await registry.reject(rejected.proposal_id, FIRST)).state == enrolment_pb2.PROPOSAL_STATE_REJECTED
    assert await registry.refused(registry.approve(rejected.proposal_id)) == "PROPOSAL_CLOSED"


async def test_rule_6_a_proposal_lapses_after_fourteen_days(
    place: House, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = await registry.propose(appoint(OFFICER.agency, "sgt.fen.elm"))
    handlers = place.broker.pipeline.handlers[SERVICE + "ApproveProposal"].__self__  # type: ignore[union-attr]

    class Later:
        def now_us(self) -> int:
            return place.broker._clock.now_us() + PROPOSAL_LIFE_US

    monkeypatch.setattr(handlers, "_clock", Later())
    assert await registry.refused(registry.approve(proposal.proposal_id)) == "PROPOSAL_CLOSED"
    assert (await registry.get(proposal.proposal_id)).state == enrolment_pb2.PROPOSAL_STATE_LAPSED
    request = wire.ListProposalsRequest(state=enrolment_pb2.PROPOSAL_STATE_LAPSED)
    lapsed = await registry.ask("ListProposals", request, wire.ListProposalsResponse)
    assert proposal.proposal_id in [one.proposal_id for one in lapsed.proposals]


# Roles


async def test_an_appointment_counts_at_once_and_ends_at_once(place: House, registry: Registry) -> None:
    user = f"insp.{uuid.uuid4().hex[:6]}"
    token = _token(place, OFFICER.agency, user, "auditor", "AUDIT", "officer")

    async def reads_the_log() -> bool:
        request = audit_service_pb2.SearchAuditEntriesRequest(page_size=1)
        request.justification.purpose = exchange_pb2.PURPOSE_AUDIT
        path = "/entente.audit.v1.AuditService/SearchAuditEntries"
        try:
            await place.unary(path, request.SerializeToString(), OFFICER, metadata=token)
        except grpc.aio.AioRpcError:
            return False
        return True

    assert not await reads_the_log()
    me = directory_service_pb2.WhoAmIResponse.FromString(await place.unary(WHO_AM_I, b"", OFFICER, metadata=token))
    assert list(me.unappointed_roles) == ["auditor"]
    await registry.decide(appoint(OFFICER.agency, user))
    # In the very next call, not after a look of the watch: reading the log proves its grant fresh.
    for _ in range(200):
        if await reads_the_log():
            break
    assert await reads_the_log()
    me = directory_service_pb2.WhoAmIResponse.FromString(await place.unary(WHO_AM_I, b"", OFFICER, metadata=token))
    assert not me.unappointed_roles
    await registry.decide(dismiss(OFFICER.agency, user))
    assert not await reads_the_log()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (appoint(OFFICER.agency, "x", "officer"), "REQUEST_INVALID"),
        (appoint(OFFICER.agency, "x", "no_such_role"), "REQUEST_INVALID"),
        # Looks like a name that is appointed already, and would be another person to every rule.
        (appoint(SECOND.agency, SECOND.user.replace("a", "\u0430"), "registrar"), "REQUEST_INVALID"),
        (appoint(SECOND.agency, SECOND.user + "\ufe0f", "registrar"), "REQUEST_INVALID"),
        (appoint("police.example/nowhere", "x"), "STEP_MISSING"),
        (dismiss(OFFICER.agency, "nobody.here"), "REQUEST_INVALID"),
        (dismiss(party_named["auditor"].agency, party_named["auditor"].user, "inspector"), "REQUEST_INVALID"),
        (
            enrolment_pb2.RegistryChange(restore=enrolment_pb2.Restoration(revocation_id="0" * 32)),
            "REQUEST_INVALID",
        ),
    ],
    ids=[
        "needs-none",
        "unknown-role",
        "look-alike",
        "not-seen",
        "unknown-agency",
        "not-held",
        "of-the-file",
        "no-revocation",
    ],
)
async def test_what_cannot_be_is_not_proposed(
    registry: Registry, change: enrolment_pb2.RegistryChange, reason: str
) -> None:
    assert await registry.refused(registry.propose(change)) == reason


async def test_what_could_be_proposed_twice_is_approved_once(place: House, registry: Registry) -> None:
    newcomer = Newcomer()
    first = await registry.propose(newcomer.enrolment(), newcomer.fingerprint)
    second = await registry.propose(newcomer.enrolment(), newcomer.fingerprint)
    await registry.approve(first.proposal_id, newcomer.fingerprint)
    late = registry.approve(second.proposal_id, newcomer.fingerprint)
    assert await registry.refused(late) == "REQUEST_INVALID"
    assert (await registry.get(second.proposal_id)).state == enrolment_pb2.PROPOSAL_STATE_OPEN


async def test_the_same_key_gives_the_same_answer_and_changes_nothing(place: House, registry: Registry) -> None:
    key = str(uuid.uuid4())
    request = wire.ProposeChangeRequest(idempotency_key=key, change=appoint(OFFICER.agency, "sgt.fen.fir"))
    first = await registry.ask("ProposeChange", request, wire.ProposeChangeResponse)
    again = await registry.ask("ProposeChange", request, wire.ProposeChangeResponse)
    assert again.proposal == first.proposal
    request.change.appoint.person.user = "sgt.fen.gorse"
    other = registry.ask("ProposeChange", request, wire.ProposeChangeResponse)
    assert await registry.refused(other) == "IDEMPOTENCY_KEY_REUSED"


# Lifting a revocation


async def revoke(place: House, **target: object) -> str:
    """Revoke, as the first registrar alone; the revocation's id."""
    request = revocation_wire.RevokeRequest(
        justification=WHY,
        idempotency_key=str(uuid.uuid4()),
        target=revocation_wire.RevocationTarget(**target),  # type: ignore[arg-type]
        reason="a lost key",
    )
    raw = await place.unary(REVOKE, request.SerializeToString(), FIRST)
    return revocation_wire.RevokeResponse.FromString(raw).revocation.revocation_id


async def refusal_of(place: House, metadata: tuple[tuple[str, str], ...]) -> str:
    """Why the officer's agency is refused; empty where it is served."""
    try:
        await place.unary(WHO_AM_I, b"", OFFICER, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return reason_of(error).reason
    return ""


async def test_one_person_locks_an_agency_and_two_unlock_it(place: House, registry: Registry) -> None:
    metadata = place.metadata(OFFICER)
    revocation = await revoke(place, agency=OFFICER.agency)
    assert await refusal_of(place, metadata) == "AGENCY_LOCKED"
    change = enrolment_pb2.RegistryChange(restore=enrolment_pb2.Restoration(revocation_id=revocation))
    proposal = await registry.propose(change)
    assert await registry.refused(registry.approve(proposal.proposal_id, who=FIRST)) == "SECOND_PERSON_NEEDED"
    assert await refusal_of(place, metadata) == "AGENCY_LOCKED"
    await registry.approve(proposal.proposal_id)
    for _ in range(400):
        if not await refusal_of(place, metadata):
            break
    assert await refusal_of(place, metadata) == ""
    # What is lifted is not lifted again.
    assert await registry.refused(registry.propose(change)) == "REQUEST_INVALID"


async def test_rule_4_nothing_that_a_revoked_person_proposed_is_approved(place: House, registry: Registry) -> None:
    third = "registrar.bought.off"
    await registry.decide(appoint(FIRST.agency, third, "registrar"))
    request = wire.ProposeChangeRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), change=appoint(OFFICER.agency, "sgt.fen.ivy")
    )
    token = _token(place, FIRST.agency, third)
    raw = await place.unary(SERVICE + "ProposeChange", request.SerializeToString(), FIRST, metadata=token)
    proposal = wire.ProposeChangeResponse.FromString(raw).proposal
    # However whoever revokes writes the name.
    await revoke(place, user=enrolment_pb2.Person(agency=FIRST.agency, user=third.title()))
    assert await registry.refused(registry.approve(proposal.proposal_id)) == "PROPOSAL_CLOSED"


async def test_rule_7_who_is_revoked_while_a_call_is_open_decides_nothing(place: House, registry: Registry) -> None:
    """The call began before; its message comes after the revocation was committed."""
    third = f"registrar.{uuid.uuid4().hex[:6]}"
    await registry.decide(appoint(FIRST.agency, third, "registrar"))
    proposal = await registry.propose(appoint(OFFICER.agency, f"sgt.{uuid.uuid4().hex[:6]}"))
    request = wire.ApproveProposalRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), proposal_id=proposal.proposal_id
    )
    entered, enter = asyncio.Event(), place.broker.limits.call

    def noted(*arrival: object) -> None:
        enter(*arrival)  # type: ignore[arg-type]
        entered.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.broker.limits, "call", noted)
        call = place.channel(FIRST).stream_unary(SERVICE + "ApproveProposal")(
            metadata=_token(place, FIRST.agency, third), timeout=20
        )
        await asyncio.wait_for(entered.wait(), 20)
    await revoke(place, user=enrolment_pb2.Person(agency=FIRST.agency, user=third))
    await call.write(request.SerializeToString())
    await call.done_writing()
    assert await registry.refused(call) == "USER_REVOKED"
    assert (await registry.get(proposal.proposal_id)).state == enrolment_pb2.PROPOSAL_STATE_OPEN


async def test_rule_7_who_is_revoked_while_a_write_waits_decides_nothing(place: House, registry: Registry) -> None:
    """The call was found in order; somebody else's revocation is written before it."""
    third = f"registrar.{uuid.uuid4().hex[:6]}"
    await registry.decide(appoint(FIRST.agency, third, "registrar"))
    proposal = await registry.propose(appoint(OFFICER.agency, f"sgt.{uuid.uuid4().hex[:6]}"))
    request = wire.ApproveProposalRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), proposal_id=proposal.proposal_id
    )
    store, write = place.broker.store, place.broker.store.write
    person = enrolment_pb2.Person(agency=FIRST.agency, user=third)

    async def late(work: Any) -> Any:
        patch.undo()
        await revoke(place, user=person)
        return await write(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "write", late)
        token = _token(place, FIRST.agency, third)
        call = place.unary(SERVICE + "ApproveProposal", request.SerializeToString(), FIRST, metadata=token)
        assert await registry.refused(call) == "USER_REVOKED"
    assert (await registry.get(proposal.proposal_id)).state == enrolment_pb2.PROPOSAL_STATE_OPEN


# Certificates and issuers


async def test_a_certificate_for_another_key_or_agency_is_not_filed(place: House, registry: Registry) -> None:
    newcomer, other = Newcomer(), Newcomer()
    proposal = await registry.enrol(newcomer)
    changed = Newcomer(agency=newcomer.agency)
    for wrong in (changed.certificate(place), other.certificate(place), "-----BEGIN CERTIFICATE-----"):
        assert await registry.refused(registry.file(proposal.proposal_id, wrong)) == "REQUEST_INVALID"
    stranger = Newcomer(agency=newcomer.agency, key=newcomer.key)
    elsewhere = place.directory.parent / f"elsewhere-{uuid.uuid4().hex}"
    foreign = Authority.create(elsewhere).sign_request(stranger.request().encode(), "police.example", newcomer.agency)
    assert await registry.refused(registry.file(proposal.proposal_id, foreign.decode())) == "REQUEST_INVALID"
    assert not (await registry.get(proposal.proposal_id)).HasField("certificate")


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://issuer.police.example/northshire"},
        {"url": "https://issuer.p\u043elice.example/northshire"},
        {"url": "https://issuer.police.example@elsewhere.example/"},
        {"url": "https://issuer.police.example/north shire"},
        {"url": "https://issuer.police.example/northshire?x"},
        {"jwks": "{}"},
        {"jwks": "", "jwks_uri": "https://someone@issuer.example/jwks"},
    ],
    ids=["anothers-url", "look-alike", "user-in-issuer", "space", "query", "no-keys", "user-in-url"],
)
async def test_an_issuer_that_collides_or_is_malformed_is_not_proposed(
    registry: Registry, changes: dict[str, str]
) -> None:
    newcomer = Newcomer()
    enrolment = newcomer.enrolment(issuer=newcomer.registration(**changes))
    assert await registry.refused(registry.propose(enrolment, newcomer.fingerprint)) == "REQUEST_INVALID"


async def test_an_issuer_speaks_for_one_agency_and_gets_other_keys_by_two_people(registry: Registry) -> None:
    newcomer, other = Newcomer(), Newcomer()
    await registry.enrol(newcomer)
    await registry.enrol(other)
    taken = enrolment_pb2.RegistryChange(register_issuer=newcomer.registration(agency=other.name))
    assert await registry.refused(registry.propose(taken)) == "REQUEST_INVALID"
    keys = Newcomer(agency=newcomer.agency).registration()
    rotated = await registry.decide(enrolment_pb2.RegistryChange(register_issuer=keys))
    assert rotated.state == enrolment_pb2.PROPOSAL_STATE_APPROVED


async def test_an_issuer_is_tested_live_and_an_administrator_tests_the_own_one(registry: Registry) -> None:
    newcomer = Newcomer()
    tested = await registry.ask(
        "TestIssuer", wire.TestIssuerRequest(issuer=newcomer.registration()), wire.TestIssuerResponse
    )
    assert tested.usable
    assert len(tested.key_ids) == 1
    unreachable = newcomer.registration(jwks="", jwks_uri="https://127.0.0.1:9/jwks")
    failed = await registry.ask("TestIssuer", wire.TestIssuerRequest(issuer=unreachable), wire.TestIssuerResponse)
    assert not failed.usable
    assert failed.problem
    foreign = registry.ask(
        "TestIssuer", wire.TestIssuerRequest(issuer=unreachable), wire.TestIssuerResponse, ADMINISTRATOR
    )
    assert await registry.refused(foreign) == "NOT_FOUND"


async def test_live_tests_are_limited_for_each_agency(place: House, registry: Registry) -> None:
    """Else whoever may test could search the broker's surroundings with it."""
    inspector = party_named["auditor"]
    request = wire.TestIssuerRequest(issuer=Newcomer().registration())

    async def tested() -> wire.TestIssuerResponse:
        claims = {"roles": ("registrar",), "purposes": ("ADMINISTRATION",)}
        return await registry.ask("TestIssuer", request, wire.TestIssuerResponse, inspector, **claims)

    for _ in range(BURST):
        assert (await tested()).usable
    assert await registry.refused(tested()) == "LIMIT_EXCEEDED"
    # Nobody else feels it.
    assert (await registry.ask("TestIssuer", request, wire.TestIssuerResponse)).usable


# Reading


async def test_a_page_of_large_proposals_fits_what_clients_take(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await large(registry) for _ in range(3)]
    monkeypatch.setattr(service, "PAGE_BYTES", 2_000)
    request, found = wire.ListProposalsRequest(page_size=3), []
    while len(found) < 3:
        page = await registry.ask("ListProposals", request, wire.ListProposalsResponse)
        assert 1 <= len(page.proposals) < 3
        found += [one.proposal_id for one in page.proposals]
        request.page_token = page.next_page_token
    assert found[:3] == made[::-1]


async def large(registry: Registry) -> str:
    newcomer = Newcomer()
    return (await registry.propose(newcomer.enrolment(), newcomer.fingerprint)).proposal_id


async def test_an_administrator_sees_what_concerns_the_own_agency(place: House, registry: Registry) -> None:
    newcomer = Newcomer()
    hidden = await registry.enrol(newcomer)
    own = await registry.propose(appoint(ADMINISTRATOR.agency, "sgt.fen.hazel"))
    listed = await registry.ask("ListProposals", wire.ListProposalsRequest(), wire.ListProposalsResponse, ADMINISTRATOR)
    ids = [one.proposal_id for one in listed.proposals]
    assert own.proposal_id in ids
    assert hidden.proposal_id not in ids
    assert await registry.get(own.proposal_id, ADMINISTRATOR)
    assert await registry.refused(registry.get(hidden.proposal_id, ADMINISTRATOR)) == "NOT_FOUND"
    assert await registry.refused(registry.propose(appoint(OFFICER.agency, "x"), who=ADMINISTRATOR)) == (
        "METHOD_NOT_PERMITTED"
    )


async def test_proposals_and_certificates_page_without_loss(place: House, registry: Registry) -> None:
    for number in range(5):
        await registry.propose(appoint(OFFICER.agency, f"sgt.page.{number}"))
    whole = await registry.ask("ListProposals", wire.ListProposalsRequest(), wire.ListProposalsResponse)
    request, paged = wire.ListProposalsRequest(page_size=2), []
    while True:
        page = await registry.ask("ListProposals", request, wire.ListProposalsResponse)
        paged += [one.proposal_id for one in page.proposals]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert paged == [one.proposal_id for one in whole.proposals]

    for _ in range(3):
        newcomer = Newcomer()
        proposal = await registry.enrol(newcomer)
        await registry.file(proposal.proposal_id, newcomer.certificate(place))
    every = wire.ListCertificatesRequest()
    listed = await registry.ask("ListCertificates", every, wire.ListCertificatesResponse)
    ends = [one.expire_time.seconds for one in listed.certificates]
    assert ends == sorted(ends)
    paging, found = wire.ListCertificatesRequest(page_size=2), []
    while True:
        some = await registry.ask("ListCertificates", paging, wire.ListCertificatesResponse)
        found += [one.thumbprint for one in some.certificates]
        if not some.next_page_token:
            break
        paging.page_token = some.next_page_token
    assert found == [one.thumbprint for one in listed.certificates]
    soon = await registry.ask(
        "ListCertificates", wire.ListCertificatesRequest(within_days=1), wire.ListCertificatesResponse
    )
    assert not soon.certificates


async def test_the_ends_of_certificates_are_announced_once_for_each_threshold(place: House, registry: Registry) -> None:
    newcomer = Newcomer()
    proposal = await registry.enrol(newcomer)
    filed = await registry.file(proposal.proposal_id, newcomer.certificate(place))
    expiry, since = place.broker.expiry, len(place.broker.ledger)

    def warnings() -> list[dict[str, object]]:
        return [leaf for leaf in place.leaves(since) if leaf["method"] == "/entente/expiry_warning"]

    assert await expiry.look() >= 1
    announced = len(warnings())
    # What was never filed, but called, is known too; its agency's administrator sees it, and nobody else's.
    await place.unary(WHO_AM_I, b"", ADMINISTRATOR)
    await expiry.look()
    seen = await registry.ask(
        "ListCertificates", wire.ListCertificatesRequest(), wire.ListCertificatesResponse, ADMINISTRATOR
    )
    files = Authority.open(place.directory / "authority").agency(*ADMINISTRATOR.agency.split("/"))
    assert [one.thumbprint for one in seen.certificates] == [files.thumbprint.hex()]
    announced = len(warnings())
    # Two workers look at once: one of them leaves the warning.
    assert await expiry.look() == 0
    assert len(warnings()) == announced
    assert {leaf["type"] for leaf in warnings()} == {"admin"}
    assert newcomer.name not in json.dumps(warnings())
    # The next threshold is announced again, and only that.
    ends_us = filed.expire_time.seconds * 1_000_000
    soon = place.broker.store.look(lambda driver: certificates.due(driver, ends_us - 6 * 86_400_000_000, 500))
    assert [one.warned_days for one in soon if one.thumbprint == filed.thumbprint] == [30]
    assert (await expiry.look()) == 0


def _token(
    place: House, agency: str, user: str, role: str = "registrar", purpose: str = "ADMINISTRATION", *more: str
) -> tuple[tuple[str, str], ...]:
    """A token of an agency's issuer for any of its people."""
    files = Authority.open(place.directory / "authority").agency(*agency.split("/"))
    made = files.token_issuer().mint(user, roles=(role, *more), clearance="OFFICIAL", purposes=(purpose,))
    return (("authorization", f"Bearer {made}"),)
