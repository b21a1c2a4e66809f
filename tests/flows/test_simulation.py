"""What a change would do is what it then does: simulated first, made afterwards, and compared with what people get."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.decide.bundle import PolicyBundle
from certs.network import Party
from entente.access.v1 import access_pb2
from entente.common.v1 import marks_pb2
from entente.directory.v1 import agreement_service_pb2, enrolment_pb2
from entente.policy.v1 import simulation_service_pb2 as wire
from tests.support import policies
from tests.support.enrolments import FIRST
from tests.support.exchanges import (
    GET,
    LIAISON,
    NATIONAL,
    OFFICER,
    REGIONAL,
    SUBMIT,
    ask,
    getting,
    justified,
    submission,
)
from tests.support.house import House, house, reason_of
from tests.support.tainted import filled

SIMULATE = "/entente.policy.v1.SimulationService/SimulateChange"
WITHDRAW = "/entente.directory.v1.AgreementService/WithdrawAgreement"
FULL, COARSER, NONE = wire.RELEASE_FORM_FULL, wire.RELEASE_FORM_COARSER, wire.RELEASE_FORM_NONE
IDENTITY = access_pb2.FIELD_CLASS_IDENTITY

pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest_asyncio.fixture(loop_scope="function")
async def place(tmp_path: Any) -> AsyncIterator[House]:
    async with house(tmp_path / "network") as made:
        yield made


async def simulated(place: House, party: Party = FIRST, **options: Any) -> wire.Simulation:
    metadata = options.pop("metadata", None)
    request = justified(wire.SimulateChangeRequest(**options), "ADMINISTRATION")
    given = await ask(place, SIMULATE, request, party, **({"metadata": metadata} if metadata else {}))
    made: wire.Simulation = given.message.simulation
    return made


async def shared(place: House, seed: int = 1) -> str:
    """A report that rests on agreements."""
    report = filled(
        seed,
        marks_pb2.Marks(
            classification=marks_pb2.CLASSIFICATION_OFFICIAL,
            handling_code=marks_pb2.HANDLING_CODE_P,
            tlp=marks_pb2.TLP_AMBER,
        ),
    )
    del report.header.external_references[:]
    return str((await ask(place, SUBMIT, submission(report), OFFICER)).message.record_id)


async def level(place: House, party: Party, record_id: str) -> int | None:
    """How a reader gets it; None: not at all."""
    try:
        return int((await ask(place, GET, getting(record_id), party)).message.report.disclosure.level)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


def of_record(made: wire.Simulation, party: Party) -> list[wire.AudienceShift]:
    return [one for one in made.shifts if one.agency == party.agency and not one.HasField("field_class")]


async def test_the_end_of_an_agreement_takes_from_whom_it_was_said_to(place: House) -> None:
    record_id = await shared(place)
    readers = (REGIONAL, NATIONAL, LIAISON)
    before = {party: await level(place, party, record_id) for party in readers}
    made = await simulated(place, withdraw_agreement="haven-north")
    assert {one.agency for one in made.shifts} == {LIAISON.agency}
    (on_record,) = [one for one in of_record(made, LIAISON) if not one.supposed]
    assert (on_record.now, on_record.then, on_record.records) == (FULL, NONE, 1)
    assert list(on_record.record_ids) == [record_id]
    assert made.not_reproduced == 0
    assert not made.shortened
    request = agreement_service_pb2.WithdrawAgreementRequest(
        idempotency_key=str(uuid.uuid4()), agreement_id="haven-north", reason="ended"
    )
    # Nothing was changed by asking.
    assert {party: await level(place, party, record_id) for party in readers} == before
    await ask(place, WITHDRAW, justified(request, "ADMINISTRATION"), FIRST)
    after = {party: await level(place, party, record_id) for party in readers}
    assert after == {**before, LIAISON: None}


async def test_another_policy_gives_what_it_was_said_to(place: House) -> None:
    """Both registrars simulate what is proposed, and see the same change."""
    record_id = await shared(place)
    for party in (REGIONAL, NATIONAL):
        assert await level(place, party, record_id) is not None
    bundle = policies.stricter()
    change = policies.adoption(bundle.to_archive(policies.key_of(place.directory)))
    made = await simulated(place, change=change)
    again = await simulated(place, change=change)
    assert (made.candidate_revision, made.digest) == (bundle.revision, again.digest)
    assert made.not_reproduced == 0
    for party in (REGIONAL, NATIONAL):
        (names,) = [
            one
            for one in made.shifts
            if one.agency == party.agency and one.field_class == IDENTITY and not one.supposed
        ]
        assert (names.now, names.then, names.records) == (FULL, COARSER, 1)
    await policies.adopt(place, bundle)
    for party in (REGIONAL, NATIONAL):
        read = (await ask(place, GET, getting(record_id), party)).message.report
        assert "entities.person.name" in {one.path for one in read.disclosure.generalised}
    # In force, it would change nothing any more.
    assert not (await simulated(place, change=change)).shifts


async def test_a_remark_in_the_policies_changes_nothing(place: House) -> None:
    record_id = await shared(place)
    await level(place, REGIONAL, record_id)
    archive = policies.remarked("no rule reads this").to_archive(policies.key_of(place.directory))
    made = await simulated(place, change=policies.adoption(archive))
    assert made.present_revision != made.candidate_revision
    assert made.records == 1
    assert made.replayed >= 2
    assert not made.shifts
    assert not made.calls


async def test_calls_on_record_that_would_be_refused_are_counted(place: House) -> None:
    record_id = await shared(place)
    for _ in range(3):
        await level(place, REGIONAL, record_id)

    def without_investigations(_modules: dict[str, str], data: dict[str, Any]) -> None:
        for role in data["roles"].values():
            role["purposes"] = [one for one in role["purposes"] if one != "INVESTIGATION"]

    archive = policies.edited(without_investigations).to_archive(policies.key_of(place.directory))
    made = await simulated(place, change=policies.adoption(archive))
    (got,) = [one for one in made.calls if one.method.endswith("/GetReport") and one.agency == REGIONAL.agency]
    assert (got.allowed_then, got.rule, got.calls) == (False, "purpose_for_role", 3)


async def test_what_is_no_policy_is_refused_in_words(place: House) -> None:
    """Unsigned, signed by another, or without sense: never simulated, and nothing of the live policy is touched."""
    revision = place.broker.policies.bundle.revision
    bundle: PolicyBundle = policies.stricter()
    for archive in (b"no archive", bundle.to_archive(None)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await simulated(place, change=policies.adoption(archive))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert place.broker.policies.bundle.revision == revision


async def test_a_change_of_another_kind_opens_and_closes_nothing(place: House) -> None:
    restored = enrolment_pb2.RegistryChange(restore=enrolment_pb2.Restoration(revocation_id="0" * 32))
    await shared(place)
    made = await simulated(place, change=restored)
    assert not made.shifts
    assert made.present_revision == made.candidate_revision


async def test_an_administrator_is_told_of_its_own_agencys_records_alone(place: House) -> None:
    """MUST 1: of its own agreement, and there of its own records and of supposed readers; nobody else's decisions."""
    await shared(place)
    await shared(place, 2)
    for party in (REGIONAL, LIAISON):
        await level(place, party, await shared(place, 3 + len(party.agency)))
    whole = await simulated(place, withdraw_agreement="haven-north")
    assert whole.replayed > 0
    admin = {"metadata": administrator(place, OFFICER)}
    own = await simulated(place, OFFICER, withdraw_agreement="haven-north", **admin)
    assert own.records == whole.records == 4
    assert (own.exchanges, own.replayed) == (0, 0)
    assert own.shifts
    assert all(one.supposed and one.agency == LIAISON.agency for one in own.shifts)
    # The partner holds nothing of its own here: it is told of no record.
    partner = await simulated(place, LIAISON, withdraw_agreement="haven-north", metadata=administrator(place, LIAISON))
    assert (partner.records, len(partner.shifts)) == (0, 0)


async def test_an_agency_has_one_simulation_at_a_time_and_one_is_gathered_at_a_time(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST 4: whoever asks for many holds up nobody but itself, and memory holds one scene."""
    await shared(place)
    handlers = place.broker.pipeline.handlers[SIMULATE].__self__  # type: ignore[attr-defined]
    kinds, under_way, most = handlers._kinds, 0, 0

    async def slow(own: str) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.3)
        found = await kinds(own)
        under_way -= 1
        return found

    monkeypatch.setattr(handlers, "_kinds", slow)
    calls = [simulated(place, withdraw_agreement="haven-north") for _ in range(6)]
    other = simulated(place, LIAISON, withdraw_agreement="haven-north", metadata=administrator(place, LIAISON))
    *made, served = await asyncio.gather(*calls, other, return_exceptions=True)
    assert isinstance(served, wire.Simulation)
    assert len([one for one in made if isinstance(one, wire.Simulation)]) == 1
    refused = [one for one in made if isinstance(one, grpc.aio.AioRpcError)]
    assert [reason_of(one).reason for one in refused] == ["LIMIT_EXCEEDED"] * 5
    assert most == 1
    # What was refused, or ended, holds no place.
    assert (await simulated(place, withdraw_agreement="haven-north")).shifts


def administrator(place: House, party: Party) -> Any:
    return place.metadata(party, roles=("administrator",), purposes=("ADMINISTRATION",))


async def test_others_agreements_and_policies_are_no_administrators_business(place: House) -> None:
    metadata = administrator(place, LIAISON)
    told = []
    for agreement in ("north-local", "never-was"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await simulated(place, LIAISON, withdraw_agreement=agreement, metadata=metadata)
        told.append((refused.value.code(), refused.value.details()))
    assert told[0] == told[1]
    assert told[0][0] is grpc.StatusCode.NOT_FOUND
    archive = policies.stricter().to_archive(policies.key_of(place.directory))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await simulated(place, LIAISON, change=policies.adoption(archive), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_simulation_is_on_the_ledger_with_its_digest(place: House) -> None:
    """MUST 3: for whoever looks back, what a registrar had before its eyes."""
    await shared(place)
    request = justified(wire.SimulateChangeRequest(withdraw_agreement="haven-north"), "ADMINISTRATION")
    given = await ask(place, SIMULATE, request, FIRST)
    detail = place.broker.reader.detail(given.receipt.index)
    assert detail["done"] == {"simulated": "withdrawal haven-north", "digest": given.message.simulation.digest}
