"""Agreements over the wire: concluded by two, seen by their parties, ended by one, and all that rested on them too."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from certs import network
from certs.authority import Authority
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import agreement_pb2, agreement_service_pb2
from tests.flows.test_revocation import REVOKE, revoking
from tests.support.agreements import (
    ADMINISTRATOR,
    REGISTRAR,
    SERVICE,
    concluded,
    conclusion,
    sample,
    shown,
    signed,
    withdrawing,
    withdrawn,
)
from tests.support.enrolments import Registry
from tests.support.exchanges import (
    GET,
    LIAISON,
    NATIONAL,
    OFFICER,
    REGIONAL,
    SEARCH,
    Follower,
    ShiftedClock,
    ask,
    getting,
    justified,
    refusal,
    rehoused,
    searching,
    starting,
)
from tests.support.house import House, submitted

pytestmark = pytest.mark.asyncio(loop_scope="module")

PURPOSE = "INTELLIGENCE_DEVELOPMENT"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    directory = tmp_path_factory.mktemp("agreements") / "network"
    network.create(directory, "127.0.0.1:0")
    async with rehoused(directory) as made:
        await submitted(made, OFFICER, 1, official)
        yield made


def official(report: Any) -> None:
    """What the sample agreement covers."""
    report.header.marks.Clear()
    report.header.marks.classification = 1
    report.header.marks.handling_code = 1
    for portion in (*report.lines, *report.entities, *report.links):
        portion.marks.Clear()


@pytest.fixture
def fresh() -> str:
    """An id that no agreement has had."""
    return f"trial-{uuid.uuid4().hex[:12]}"


async def found(place: House, party: Any = LIAISON) -> list[Any]:
    return list((await ask(place, SEARCH, searching(PURPOSE), party)).message.reports)


async def listed(place: House, party: Any) -> set[str]:
    request = justified(agreement_service_pb2.ListAgreementsRequest(), party.purpose)
    answer = await ask(place, f"{SERVICE}ListAgreements", request, party)
    return {one.agreement.agreement_id for one in answer.message.agreements}


async def test_concluded_by_two_it_opens_and_withdrawn_by_one_it_closes(place: House, fresh: str) -> None:
    assert await found(place) == []
    await concluded(place, sample(fresh))
    (report,) = await found(place)
    (terms,) = report.disclosure.terms
    assert terms == exchange_pb2.Terms(
        agreement_id=fresh,
        use=exchange_pb2.USE_LIMIT_INTELLIGENCE_ONLY,
        onward=exchange_pb2.ONWARD_SHARING_NONE,
    )
    given = await withdrawn(place, fresh)
    assert given.message.agreement.state == agreement_pb2.AGREEMENT_STATE_WITHDRAWN
    assert await found(place) == []


async def test_ones_own_records_are_under_no_terms(place: House, fresh: str) -> None:
    await concluded(place, sample(fresh))
    (report,) = await found(place, OFFICER)
    assert not report.disclosure.terms
    await withdrawn(place, fresh)


async def test_terms_of_another_agreement_are_another_view(place: House, fresh: str) -> None:
    """release MUST 7: the view that is kept for one set of terms is not served under another."""
    await concluded(place, sample(fresh))
    assert [one.agreement_id for one in (await found(place))[0].disclosure.terms] == [fresh]
    other = f"{fresh}.b"
    await concluded(place, sample(other, onward="WITH_CONSENT"))
    assert [one.agreement_id for one in (await found(place))[0].disclosure.terms] == [fresh, other]
    await withdrawn(place, fresh)
    assert [one.agreement_id for one in (await found(place))[0].disclosure.terms] == [other]
    await withdrawn(place, other)


async def test_parties_see_it_registrars_see_all_and_nobody_else_anything(place: House, fresh: str) -> None:
    await concluded(place, sample(fresh))
    for party in (OFFICER, LIAISON, REGISTRAR):
        one = await shown(place, fresh, party)
        assert one.state == agreement_pb2.AGREEMENT_STATE_IN_FORCE
        assert one.agreement.title == "Northshire and Haven"
        assert fresh in await listed(place, party)
    # Of the same agency as the registrar, and no party.
    request = justified(agreement_service_pb2.GetAgreementRequest(agreement_id=fresh))
    hidden = await refusal(place, f"{SERVICE}GetAgreement", request, NATIONAL)
    request.agreement_id = "no-such-agreement"
    missing = await refusal(place, f"{SERVICE}GetAgreement", request, NATIONAL)
    assert (hidden.status, hidden.reason, hidden.message) == (missing.status, missing.reason, missing.message)
    assert hidden.status == grpc.StatusCode.NOT_FOUND
    assert fresh not in await listed(place, NATIONAL)
    assert await listed(place, NATIONAL) == {"haven-treaty", "north-national", "region-national"}
    await withdrawn(place, fresh)


async def test_pages_hold_every_agreement_once(place: House) -> None:
    request = justified(agreement_service_pb2.ListAgreementsRequest(page_size=2), "ADMINISTRATION")
    seen: list[str] = []
    while True:
        page = (await ask(place, f"{SERVICE}ListAgreements", request, REGISTRAR)).message
        seen += [one.agreement.agreement_id for one in page.agreements]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == sorted(set(seen))
    assert set(seen) == await listed(place, REGISTRAR)


async def test_who_is_no_party_ends_nothing(place: House, fresh: str) -> None:
    await concluded(place, sample(fresh, parties=(LIAISON.agency, NATIONAL.agency)))
    path = f"{SERVICE}WithdrawAgreement"
    refused = await refusal(place, path, withdrawing(fresh), ADMINISTRATOR)
    assert refused.status == grpc.StatusCode.NOT_FOUND
    # An officer of a party is no administrator.
    request = withdrawing(fresh)
    request.justification.purpose = exchange_pb2.PURPOSE_INVESTIGATION
    assert (await refusal(place, path, request, LIAISON)).status == grpc.StatusCode.PERMISSION_DENIED
    await withdrawn(place, fresh, REGISTRAR)


async def test_who_is_no_party_is_not_answered_with_a_colleagues_withdrawal(place: House, fresh: str) -> None:
    """A registrar ended it; the same words under the same key, from an administrator of the registrar's agency."""
    await concluded(place, sample(fresh))
    assert REGISTRAR.agency not in sample().parties
    path, request = f"{SERVICE}WithdrawAgreement", withdrawing(fresh)
    await ask(place, path, request, REGISTRAR)
    colleague = place.metadata(REGISTRAR, roles=("administrator",), purposes=("ADMINISTRATION",))
    refused = await refusal(place, path, request, REGISTRAR, metadata=colleague)
    assert refused.status == grpc.StatusCode.NOT_FOUND


async def test_a_withdrawal_happens_once(place: House, fresh: str) -> None:
    await concluded(place, sample(fresh))
    path, request = f"{SERVICE}WithdrawAgreement", withdrawing(fresh, "the first")
    first = (await ask(place, path, request, ADMINISTRATOR)).message.agreement
    again = (await ask(place, path, request, ADMINISTRATOR)).message.agreement
    later = (await ask(place, path, withdrawing(fresh, "the second"), REGISTRAR)).message.agreement
    assert first == again == later
    assert first.withdraw_reason == "the first"
    assert first.withdrawer.user == ADMINISTRATOR.user
    request.reason = "another"
    assert (await refusal(place, path, request, ADMINISTRATOR)).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_what_was_withdrawn_never_comes_back(place: House, fresh: str) -> None:
    await concluded(place, sample(fresh))
    await withdrawn(place, fresh)
    registry = Registry(place)
    assert await registry.refused(registry.propose(conclusion(signed(place.directory, sample(fresh))))) == (
        "REQUEST_INVALID"
    )


async def test_an_approval_asks_everything_again(place: House, fresh: str) -> None:
    """The same id was concluded between proposal and approval."""
    registry = Registry(place)
    proposal = await registry.propose(conclusion(signed(place.directory, sample(fresh))))
    await concluded(place, sample(fresh))
    assert await registry.refused(registry.approve(proposal.proposal_id)) == "REQUEST_INVALID"
    await withdrawn(place, fresh)


async def test_nobody_approves_an_own_proposal(place: House, fresh: str) -> None:
    registry = Registry(place)
    proposal = await registry.propose(conclusion(signed(place.directory, sample(fresh))))
    assert await registry.refused(registry.approve(proposal.proposal_id, who=REGISTRAR)) == "SECOND_PERSON_NEEDED"
    assert await found(place) == []


async def test_a_party_that_is_not_on_the_network_is_enrolled_first(place: House, fresh: str) -> None:
    Authority.open(place.directory / "authority").issue_agency("police.example", "nowhere")
    text = signed(place.directory, sample(fresh, parties=(OFFICER.agency, "police.example/nowhere")))
    registry = Registry(place)
    assert await registry.refused(registry.propose(conclusion(text))) == "STEP_MISSING"


async def test_what_a_revoked_certificate_signed_is_not_concluded(tmp_path: Path, fresh: str) -> None:
    """By the registry's list, and by the authority's own."""
    directory = tmp_path / "network"
    network.create(directory, "127.0.0.1:0")
    authority = Authority.open(directory / "authority")
    async with rehoused(directory) as own:
        registry, text = Registry(own), signed(directory, sample(fresh))
        proposal = await registry.propose(conclusion(text))
        files = authority.agency(*LIAISON.agency.split("/"))
        await ask(own, REVOKE, revoking(certificate=files.thumbprint.hex()), REGISTRAR)
        assert await registry.refused(registry.approve(proposal.proposal_id)) == "REQUEST_INVALID"
        assert await registry.refused(registry.propose(conclusion(text))) == "REQUEST_INVALID"


# What rested on it


async def test_a_stream_ends_with_its_agreement(place: House, fresh: str) -> None:
    """link MUST 4: with the reason; resumed it goes on with what is allowed without it."""
    await concluded(place, sample(fresh))
    async with Follower(place, LIAISON, start=starting(PURPOSE)) as follower:
        batch = await follower.batch()
        assert len(batch.message.changes) == 1
        await follower.acknowledge(batch)
        begun = time.monotonic()
        await withdrawn(place, fresh)
        refused = await follower.refused()
        took = time.monotonic() - begun
    assert (refused.status, refused.reason) == (grpc.StatusCode.ABORTED, "AGREEMENT_ENDED")
    print(f"\nwithdrawn and the stream ended after {took * 1000:.0f} ms")
    async with Follower(place, LIAISON, start=starting(PURPOSE, cursor=batch.message.cursor)) as follower:
        again = await follower.batch()
        assert again.message.up_to_date
        assert not again.message.changes


async def test_a_stream_that_did_not_rest_on_it_goes_on(place: House, fresh: str) -> None:
    await concluded(place, sample(fresh))
    async with Follower(place, REGIONAL) as follower:
        await follower.all()
        await withdrawn(place, fresh)
        await submitted(place, OFFICER, 2, official)
        assert len(await follower.all()) == 1


async def test_an_agreement_that_begins_ends_no_stream(place: House, fresh: str) -> None:
    async with Follower(place, LIAISON, start=starting(PURPOSE)) as follower:
        assert await follower.all() == []
        await concluded(place, sample(fresh))
        target = await submitted(place, OFFICER, 3, official)
        (change,) = await follower.all()
        assert change.report.report.header.record_id == target.record_id
        await withdrawn(place, fresh)
        assert (await follower.refused()).reason == "AGREEMENT_ENDED"


async def test_a_withdrawal_between_entry_and_bytes_hands_nothing_over(place: House, fresh: str) -> None:
    """link MUST 4: a batch whose entry was being written when the agreement was withdrawn does not leave."""
    await concluded(place, sample(fresh))
    follower = Follower(place, LIAISON, start=starting(PURPOSE))
    async with meanwhile(place, lambda: withdrawn(place, fresh)), follower:
        with pytest.raises(grpc.aio.AioRpcError, match="has ended"):
            await follower.batch()


async def test_an_answer_that_rested_on_it_does_not_leave(place: House, fresh: str) -> None:
    """resting MUST 1, of a call: withdrawn between its entry and its bytes."""
    await concluded(place, sample(fresh))
    async with meanwhile(place, lambda: withdrawn(place, fresh)):
        refused = await refusal(place, SEARCH, searching(PURPOSE), LIAISON)
    assert (refused.status, refused.reason) == (grpc.StatusCode.ABORTED, "AGREEMENT_ENDED")
    assert await found(place) == []


async def test_at_its_last_second_it_has_ended(tmp_path: Path, fresh: str) -> None:
    """resting MUST 1: a decision that is cached does not outlive it, and before its first second there is none."""
    clock = ShiftedClock()
    async with rehoused(tmp_path / "network", clock=clock) as own:
        target = await submitted(own, OFFICER, 1, official)
        now = clock.now_us() // 1_000_000
        await concluded(own, sample(fresh, valid_from=now + 60, valid_until=now + 120))
        asked = getting(target.record_id, PURPOSE)
        assert (await refusal(own, GET, asked, LIAISON)).status == grpc.StatusCode.NOT_FOUND
        assert (await shown(own, fresh)).state == agreement_pb2.AGREEMENT_STATE_PENDING
        clock.ahead_s = 60.0
        await ask(own, GET, asked, LIAISON)
        clock.ahead_s = 120.0
        assert (await refusal(own, GET, asked, LIAISON)).status == grpc.StatusCode.NOT_FOUND
        assert (await shown(own, fresh)).state == agreement_pb2.AGREEMENT_STATE_EXPIRED


async def test_a_stream_ends_at_its_agreements_last_second(place: House, fresh: str) -> None:
    """link MUST 4: nothing happens but that the time has come."""
    ends = int(time.time()) + 3
    await concluded(place, sample(fresh, valid_until=ends))
    async with Follower(place, LIAISON, start=starting(PURPOSE)) as follower:
        await follower.all()
        refused = await follower.refused()
        late_us = time.time_ns() // 1000 - ends * 1_000_000
    assert refused.reason == "AGREEMENT_ENDED"
    assert late_us >= 0
    print(f"\nexpired, and the stream ended {late_us / 1000:.0f} ms later")


@asynccontextmanager
async def meanwhile(place: House, happens: Any) -> AsyncIterator[None]:
    """Once a message for Haven has its entry, this happens before its bytes may go."""
    genuine = place.broker.recorder.released

    async def released(*arguments: Any) -> bytes:
        message = await genuine(*arguments)
        if arguments[0].known_caller.user == LIAISON.user:
            place.broker.recorder.released = genuine  # type: ignore[method-assign]
            await happens()
        return message

    place.broker.recorder.released = released  # type: ignore[method-assign]
    try:
        yield
    finally:
        place.broker.recorder.released = genuine  # type: ignore[method-assign]
        await asyncio.sleep(0)
