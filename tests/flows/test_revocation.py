"""Revoked means gone: every worker, every open stream, every call under way; and who may do it, and who may not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from broker.domain.directory import Appointment
from broker.domain.enrolment import CertificateOnFile
from broker.domain.errors import UnavailableError
from broker.store import certificates, directory, registry, revocations
from certs import network
from certs.authority import Authority
from certs.network import Party
from entente.directory.v1 import enrolment_pb2
from entente.directory.v1 import revocation_service_pb2 as wire
from tests.support.exchanges import (
    GET,
    OFFICER,
    REGIONAL,
    Follower,
    Given,
    ask,
    getting,
    justified,
    refusal,
    rehoused,
)
from tests.support.house import House, reason_of, submitted, until
from tests.support.live import party_named

REVOKE = "/entente.directory.v1.RevocationService/Revoke"
LIST = "/entente.directory.v1.RevocationService/ListRevocations"
REGISTRAR, SECOND, ADMINISTRATOR = (party_named[name] for name in ("registrar", "second-registrar", "administrator"))
WORDS = "left the force; see file Kestrel-77"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def revoking(reason: str = WORDS, key: str = "", **target: Any) -> wire.RevokeRequest:
    made = wire.RevokeRequest(
        idempotency_key=key or str(uuid.uuid4()), target=wire.RevocationTarget(**target), reason=reason
    )
    justified(made, "ADMINISTRATION")
    return made


def listing(**paging: Any) -> wire.ListRevocationsRequest:
    made = wire.ListRevocationsRequest(**paging)
    justified(made, "ADMINISTRATION")
    return made


def person(party: Party) -> enrolment_pb2.Person:
    return enrolment_pb2.Person(agency=party.agency, user=party.user)


def issuer_of(place: House, party: Party) -> str:
    return Authority.open(place.directory / "authority").agency(*party.agency.split("/")).issuer


def thumbprint_of(place: House, party: Party) -> str:
    return Authority.open(place.directory / "authority").agency(*party.agency.split("/")).thumbprint.hex()


async def lifted(place: House, given: Given) -> None:
    """Lift what a call revoked."""
    await lift(place, given.message.revocation.revocation_id)


async def lift(place: House, revocation_id: str) -> None:
    """As an approved proposal does."""
    now_us = place.broker.store.clock.now_us()

    def work(tx: Any) -> bool:
        seq = registry.add_change(tx.driver, uuid.uuid4().hex, "RESTORED", revocation_id, now_us)
        return revocations.lift(tx.driver, revocation_id, seq, now_us)

    assert await place.broker.store.write(work)
    await until(lambda: place.broker.standing.current.revision == place.broker.store.registry_revision())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    directory = tmp_path_factory.mktemp("revocation") / "network"
    network.create(directory, "127.0.0.1:0")
    async with rehoused(directory) as made:
        yield made


TARGETS: dict[str, tuple[Callable[[House], dict[str, Any]], str]] = {
    "certificate": (lambda place: {"certificate": thumbprint_of(place, REGIONAL)}, "CERTIFICATE_REVOKED"),
    "user": (lambda _: {"user": person(REGIONAL)}, "USER_REVOKED"),
    "issuer": (lambda place: {"issuer": issuer_of(place, REGIONAL)}, "ISSUER_NOT_ALLOWED"),
    "agency": (lambda _: {"agency": REGIONAL.agency}, "AGENCY_LOCKED"),
}


@pytest.mark.parametrize("kind", TARGETS)
async def test_what_is_revoked_loses_stream_and_calls_at_once(place: House, kind: str) -> None:
    """standing MUST 1, watch MUST 1: a stream ends with the reason, the next call is refused; lifting undoes it."""
    target = await submitted(place, OFFICER)
    made, reason = TARGETS[kind]
    async with Follower(place, REGIONAL) as follower:
        await follower.all()
        given = await ask(place, REVOKE, revoking(**made(place)), REGISTRAR)
        answered = time.monotonic()
        refused = await follower.refused()
        assert (refused.status, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
        assert time.monotonic() - answered < 1.0
    assert (await refusal(place, GET, getting(target.record_id), REGIONAL)).reason == reason
    await ask(place, GET, getting(target.record_id), OFFICER)
    await lifted(place, given)
    await ask(place, GET, getting(target.record_id), REGIONAL)


async def test_one_token_is_revoked_and_the_next_one_counts(place: House) -> None:
    """A token is gone by its `jti`; its owner's next one is not."""
    target = await submitted(place, OFFICER)
    metadata = place.metadata(REGIONAL)
    answer = await ask(place, GET, getting(target.record_id), REGIONAL, metadata=metadata)
    token_id = answer.receipt.leaf["actor"]["token"]["jti"]
    named = wire.TokenName(issuer=issuer_of(place, REGIONAL), token_id=token_id)
    await ask(place, REVOKE, revoking(token=named), REGISTRAR)
    refused = await refusal(place, GET, getting(target.record_id), REGIONAL, metadata=metadata)
    assert refused.reason == "TOKEN_REVOKED"
    await ask(place, GET, getting(target.record_id), REGIONAL)


@pytest.mark.parametrize("spelling", ["DS.Wren.HOLLIS", "ds.wren.hollis"])
async def test_another_spelling_is_the_same_person(place: House, spelling: str) -> None:
    """A user is revoked whatever letter case the issuer writes."""
    target = await submitted(place, OFFICER)
    given = await ask(place, REVOKE, revoking(user=person(dataclasses.replace(REGIONAL, user=spelling))), REGISTRAR)
    for user in (REGIONAL.user, "Ds.Wren.Hollis"):
        metadata = place.metadata(dataclasses.replace(REGIONAL, user=user))
        refused = await refusal(place, GET, getting(target.record_id), REGIONAL, metadata=metadata)
        assert refused.reason == "USER_REVOKED"
    await lifted(place, given)


async def test_nothing_is_handed_over_once_it_is_committed(place: House) -> None:
    """standing MUST 1: a call that was decided before the revocation and answered after it gets nothing, though no
    look of the watch lies in between."""
    target = await submitted(place, OFFICER)
    genuine = place.broker.recorder.released
    revoked: list[Given] = []

    async def meanwhile(*arguments: Any) -> bytes:
        message = await genuine(*arguments)
        if arguments[0].known_caller.user == REGIONAL.user and not revoked:
            place.broker.recorder.released = genuine  # type: ignore[method-assign]
            revoked.append(await ask(place, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR))
        return message

    place.broker.recorder.released = meanwhile  # type: ignore[method-assign]
    refused = await refusal(place, GET, getting(target.record_id), REGIONAL)
    assert refused.reason == "USER_REVOKED"
    await lifted(place, revoked[0])


async def test_the_answer_under_a_key_is_given_again(place: House) -> None:
    """The same key and body: the same revocation; another body under it is refused; what stands is not made twice."""
    request = revoking(certificate="ab" * 32)
    first = await ask(place, REVOKE, request, REGISTRAR)
    again = await ask(place, REVOKE, request, REGISTRAR)
    assert again.message.revocation == first.message.revocation
    other = revoking(certificate="cd" * 32, key=request.idempotency_key)
    assert (await refusal(place, REVOKE, other, REGISTRAR)).reason == "IDEMPOTENCY_KEY_REUSED"
    standing = await ask(place, REVOKE, revoking("in other words", certificate="ab" * 32), SECOND)
    assert standing.message.revocation == first.message.revocation
    assert standing.message.revocation.reason == WORDS


async def test_the_record_names_the_revocation_and_leaks_no_word(place: House) -> None:
    """entry MUST 2: neither the reason nor what was revoked stands in a leaf; the sealed detail leads to it."""
    since = len(place.broker.ledger)
    given = await ask(place, REVOKE, revoking(user=person(dataclasses.replace(REGIONAL, user="pc.gone"))), REGISTRAR)
    mine = [leaf for leaf in place.leaves(since) if leaf["exchange_id"] == given.exchange_id]
    assert [(leaf["type"], leaf["phase"], leaf["outcome"]) for leaf in mine] == [
        ("admin", "intent", "indeterminate"),
        ("admin", "release", "allowed"),
    ]
    for leaf in place.leaves(since):
        assert "Kestrel" not in json.dumps(leaf)
        assert "pc.gone" not in json.dumps(leaf)
    detail = place.broker.reader.detail(given.receipt.index)
    assert [given.message.revocation.revocation_id, 0] in detail["records"]
    assert place.broker.store.exchange_done(given.exchange_id)
    await lifted(place, given)


async def test_an_administrator_revokes_what_is_the_own_agencys(place: House) -> None:
    """rules MUST 1: the own certificate in use, users, issuer and token, of the own agency alone."""
    given = await ask(place, REVOKE, revoking(user=person(dataclasses.replace(OFFICER, user="pc.left"))), ADMINISTRATOR)
    assert given.message.revocation.revoker == person(ADMINISTRATOR)
    token = wire.TokenName(issuer=issuer_of(place, OFFICER), token_id="lost")
    await ask(place, REVOKE, revoking(token=token), ADMINISTRATOR)


async def test_an_administrator_revokes_the_own_certificates(place: House) -> None:
    """rules MUST 1: one on file as the agency's, though somebody else holds it now; and the one in use, whose answer is
    held back because it is in force."""
    lost = CertificateOnFile("5e" * 32, OFFICER.agency, "spiffe://police.example/agency/northshire/laptop", 2**50)
    await place.broker.store.write(lambda tx: certificates.see(tx.driver, [lost], 0))
    given = await ask(place, REVOKE, revoking(certificate=lost.thumbprint), ADMINISTRATOR)
    assert given.message.revocation.target.certificate == lost.thumbprint
    refused = await refusal(place, REVOKE, revoking(certificate=thumbprint_of(place, OFFICER)), ADMINISTRATOR)
    assert refused.reason == "CERTIFICATE_REVOKED"
    (listed,) = (await ask(place, LIST, listing(page_size=1), REGISTRAR)).message.revocations
    assert listed.target.certificate == thumbprint_of(place, OFFICER)
    await lift(place, listed.revocation_id)


FOREIGN: dict[str, Callable[[House], dict[str, Any]]] = {
    "certificate": lambda place: {"certificate": thumbprint_of(place, REGIONAL)},
    "unknown certificate": lambda _: {"certificate": "0f" * 32},
    "user": lambda _: {"user": person(REGIONAL)},
    "token": lambda place: {"token": wire.TokenName(issuer=issuer_of(place, REGIONAL), token_id="x")},
    "issuer": lambda place: {"issuer": issuer_of(place, REGIONAL)},
    "unknown issuer": lambda _: {"issuer": "https://issuer.nowhere.example"},
    "agency": lambda _: {"agency": REGIONAL.agency},
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_an_administrator_touches_nobody_else(place: House, kind: str) -> None:
    """rules MUST 1: what is another's and what nobody knows are one answer."""
    refused = await refusal(place, REVOKE, revoking(**FOREIGN[kind](place)), ADMINISTRATOR)
    assert (refused.status, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_PERMITTED")
    assert "ask a registrar" in refused.message


async def test_without_the_office_nobody_revokes(place: House) -> None:
    """Policy: neither an officer, nor one whose issuer merely calls them a registrar."""
    claimed = place.metadata(REGIONAL, roles=("registrar",), purposes=("ADMINISTRATION",))
    for party, metadata in ((OFFICER, None), (REGIONAL, claimed)):
        refused = await refusal(place, REVOKE, revoking(agency=OFFICER.agency), party, metadata=metadata)
        assert refused.status == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "target",
    [
        {"agency": "police.example/northshore"},
        {"issuer": "https://issuer.nowhere.example"},
        {"user": enrolment_pb2.Person(agency="police.example/northshore", user="x")},
        {"token": wire.TokenName(issuer="https://issuer.nowhere.example", token_id="x")},
    ],
    ids=["agency", "issuer", "user", "token"],
)
async def test_a_slip_of_the_pen_is_no_lock(place: House, target: dict[str, Any]) -> None:
    """rules MUST 2: what is not registered is not revoked."""
    assert (await refusal(place, REVOKE, revoking(**target), REGISTRAR)).reason == "NOT_FOUND"


async def test_a_registrar_is_always_left(place: House) -> None:
    """rules MUST 3: not the agency or the issuer of all of them, nor the last one alone."""
    for target in ({"agency": REGISTRAR.agency}, {"issuer": issuer_of(place, REGISTRAR)}):
        refused = await refusal(place, REVOKE, revoking(**target), REGISTRAR)
        assert (refused.status, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STEP_MISSING")
    given = await ask(place, REVOKE, revoking(user=person(SECOND)), REGISTRAR)
    assert (await refusal(place, REVOKE, revoking(user=person(REGISTRAR)), REGISTRAR)).reason == "STEP_MISSING"
    await lifted(place, given)


async def test_a_registrar_is_left_who_can_get_a_token(place: House) -> None:
    """rules MUST 3, in two steps: one registrar's issuer is revoked, so nobody but the other agency's can act."""
    elsewhere = Appointment(REGIONAL.agency, "registrar.elsewhere", "registrar")
    await place.broker.store.write(lambda tx: directory.appoint(tx.driver, elsewhere))
    try:
        given = await ask(place, REVOKE, revoking(issuer=issuer_of(place, REGIONAL)), REGISTRAR)
        refused = await refusal(place, REVOKE, revoking(agency=REGISTRAR.agency), REGISTRAR)
        assert refused.reason == "STEP_MISSING"
        await lifted(place, given)
    finally:
        await place.broker.store.write(lambda tx: directory.dismiss(tx.driver, elsewhere))


async def test_who_locks_the_own_agency_is_out(place: House) -> None:
    """An administrator's lock holds for the administrator too: it is in force, and its own answer is held back."""
    since = len(place.broker.ledger)
    refused = await refusal(place, REVOKE, revoking(agency=ADMINISTRATOR.agency), ADMINISTRATOR)
    assert refused.reason == "AGENCY_LOCKED"
    mine = [leaf for leaf in place.leaves(since) if leaf["exchange_id"] == refused.exchange_id]
    # The change row tells that it was done: the last entry claims neither.
    assert [leaf["outcome"] for leaf in mine] == ["indeterminate", "allowed", "indeterminate"]
    assert place.broker.store.exchange_done(refused.exchange_id)
    (listed,) = (await ask(place, LIST, listing(page_size=1), REGISTRAR)).message.revocations
    assert listed.target.agency == ADMINISTRATOR.agency
    await lift(place, listed.revocation_id)


async def test_the_list_is_newest_first_paged_and_confined(place: House) -> None:
    """Registrars see all, an administrator what concerns the own agency; a lifted one is gone."""
    made = [
        await ask(place, REVOKE, revoking(user=person(dataclasses.replace(party, user=f"u{n}"))), REGISTRAR)
        for n, party in enumerate((OFFICER, REGIONAL, OFFICER, REGIONAL))
    ]
    ids = [given.message.revocation.revocation_id for given in reversed(made)]
    found, tokens = [], [None]
    while len(found) < 4:
        page = (await ask(place, LIST, listing(page_size=1, page_token=tokens[-1]), REGISTRAR)).message
        found += [one.revocation_id for one in page.revocations]
        tokens.append(page.next_page_token)
    assert found == ids
    own = (await ask(place, LIST, listing(), ADMINISTRATOR)).message.revocations
    assert {one.target.user.agency for one in own if one.target.HasField("user")} == {OFFICER.agency}
    stolen = listing(page_size=1, page_token=tokens[1])
    assert (await refusal(place, LIST, stolen, ADMINISTRATOR)).reason == "CURSOR_INVALID"
    for given in made:
        await lifted(place, given)
    left = (await ask(place, LIST, listing(), REGISTRAR)).message.revocations
    assert not {one.revocation_id for one in left} & set(ids)


async def test_who_was_revoked_while_asking_again_and_again_gets_no_late_answer(place: House) -> None:
    """standing MUST 1, under load: no call that was under way, or begins later, is granted after the commit."""
    target = await submitted(place, OFFICER)
    request, metadata = getting(target.record_id).SerializeToString(), place.metadata(REGIONAL)
    granted: list[float] = []

    async def hammer() -> str:
        while True:
            try:
                await place.unary(GET, request, REGIONAL, metadata=metadata)
                granted.append(time.monotonic())
            except grpc.aio.AioRpcError as error:
                return str(reason_of(error).reason)

    callers = [asyncio.create_task(hammer()) for _ in range(8)]
    await until(lambda: len(granted) >= 40)
    given = await ask(place, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR)
    answered = time.monotonic()
    assert set(await asyncio.gather(*callers)) == {"USER_REVOKED"}
    # What was handed over before the commit may still have been on its way to this very process.
    assert max(granted) < answered + 0.25
    await lifted(place, given)


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """What is revoked is on file: the next start begins with it."""
    directory = tmp_path / "network"
    async with rehoused(directory) as before:
        target = await submitted(before, OFFICER)
        await ask(before, REVOKE, revoking(user=person(REGIONAL)), REGISTRAR)
    async with rehoused(directory) as after:
        assert (await refusal(after, GET, getting(target.record_id), REGIONAL)).reason == "USER_REVOKED"


async def test_a_revocation_cut_off_after_its_work_is_resolved(tmp_path: Path) -> None:
    """pipeline rule 3: no release entry, but a row in the registry's journal: the ledger says that it was done."""
    directory = tmp_path / "network"
    async with rehoused(directory) as before:

        async def cut_off(*_: Any) -> Any:
            raise UnavailableError("LEDGER_UNAVAILABLE", "cut off here")

        before.broker.recorder.released = cut_off  # type: ignore[method-assign]
        before.broker.recorder.refused = cut_off  # type: ignore[method-assign]
        sent = revoking(user=person(REGIONAL)).SerializeToString()
        with pytest.raises(grpc.aio.AioRpcError):
            await before.unary(REVOKE, sent, REGISTRAR)
        (intent,) = [leaf for leaf in before.leaves() if leaf["phase"] == "intent"]
    async with rehoused(directory) as after:

        def said() -> list[list[Any]]:
            leaves = map(json.loads, after.broker.ledger.entries(0, len(after.broker.ledger)))
            return [row for leaf in leaves for row in leaf.get("outcomes", ()) if row[0] == intent["exchange_id"]]

        await until(lambda: bool(said()))
        assert [row[1] for row in said()] == ["allowed"]
        assert after.broker.standing.current.holds_user(REGIONAL.agency, REGIONAL.user)
