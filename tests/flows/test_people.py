"""Who acts, and for whom, over the wire: the token names people, the certificate alone names the agency."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from certs.authority import Authority
from certs.issuer import DEFAULT_AUDIENCE, encode_segment, key_id, sign_es256
from entente.directory.v1 import directory_service_pb2
from tests.support.exchanges import (
    GET,
    LIAISON,
    NATIONAL,
    OFFICER,
    SEARCH,
    SUBMIT,
    WHO_AM_I,
    ask,
    getting,
    refusal,
    searching,
    submission,
)
from tests.support.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOME = ("home.desk", "home.unit")


def bearer(place: House, **changes: Any) -> tuple[tuple[str, str], ...]:
    """The officer's token with claims of the test's choosing, correctly signed."""
    files = Authority.open(place.directory / "authority").agency(*OFFICER.agency.split("/"))
    issuer = files.token_issuer()
    now = int(time.time())
    claims = {
        "iss": files.issuer,
        "sub": OFFICER.user,
        "aud": DEFAULT_AUDIENCE,
        "iat": now,
        "exp": now + 300,
        "jti": f"people-{now}",
        "cnf": {"x5t#S256": encode_segment(files.thumbprint)},
        "roles": list(OFFICER.roles),
        "clearance": OFFICER.clearance,
        "purposes": list(OFFICER.purposes),
        "nationalities": [OFFICER.country],
        **changes,
    }
    header = {"alg": "ES256", "typ": "at+jwt", "kid": key_id(issuer._key.public_key())}
    return (("authorization", f"Bearer {sign_es256(header, claims, issuer._key)}"),)


async def leaf(place: House, exchange_id: str) -> dict[str, Any]:
    (found,) = await place.leaves_of(exchange_id)
    return found


async def test_a_liaison_officer_asks_for_the_home_unit(place: House) -> None:
    """The token's `act` chain: the officer is the user, and those for whom are on record, nearest first."""
    metadata = place.metadata(LIAISON, on_behalf_of=HOME)
    for party in (*HOME, ""):
        request = searching()
        request.justification.on_behalf_of = party
        given = await ask(place, SEARCH, request, LIAISON, metadata=metadata)
        entry = await leaf(place, given.exchange_id)
        assert entry["actor"]["user"] == LIAISON.user
        assert entry["actor"]["token"]["sub"] == HOME[-1]
        assert entry["on_behalf_of"] == list(HOME)


@pytest.mark.parametrize("party", ["another.unit", LIAISON.user, "home.uni", "HOME.UNIT", LIAISON.agency])
async def test_a_request_cannot_select_whom_the_token_does_not_hold(place: House, party: str) -> None:
    request = searching()
    request.justification.on_behalf_of = party
    refused = await refusal(place, SEARCH, request, LIAISON, metadata=place.metadata(LIAISON, on_behalf_of=HOME))
    assert (refused.status, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ON_BEHALF_NOT_PERMITTED")


async def test_a_workload_without_a_person_is_its_own_user(place: House) -> None:
    """Client credentials (RFC 9068 section 2.2): `sub` is the client. It has the rights that its token says."""
    metadata = bearer(place, sub="night-import", client_id="night-import", nationalities=[])
    given = await ask(place, WHO_AM_I, directory_service_pb2.WhoAmIRequest(), metadata=metadata)
    assert (given.message.agency, given.message.workload) == (OFFICER.agency, "gateway")
    actor = (await leaf(place, given.exchange_id))["actor"]
    assert actor["user"] == actor["token"]["sub"] == actor["token"]["client_id"] == "night-import"


async def test_an_organisation_that_the_caller_states_counts_for_nothing(place: House) -> None:
    """In claims and in metadata it is not read: the record is the certificate's agency's."""
    other = NATIONAL.agency
    claimed = dict.fromkeys(("agency", "org", "organisation", "organization", "org_id", "tenant", "tid"), other)
    stated = tuple((name, other) for name in ("x-agency", "agency", "x-forwarded-client-cert", "entente-agency"))
    metadata = (*bearer(place, **claimed, realm_access={"roles": ["auditor"]}), *stated)
    given = await ask(place, SUBMIT, submission(), metadata=metadata)
    entries = await place.leaves_of(given.exchange_id)
    assert [entry["phase"] for entry in entries] == ["intent", "release"]
    for entry in entries:
        assert entry["actor"]["agency"] == OFFICER.agency
        assert entry["actor"]["roles"] == sorted(OFFICER.roles)
        assert other not in str(entry)
    read = await ask(place, GET, getting(given.message.record_id))
    assert read.message.report.report.header.originator == OFFICER.agency


async def test_a_token_cannot_make_its_user_act_for_anybody_of_another_issuer(place: House) -> None:
    act = {"sub": OFFICER.user, "iss": "https://issuer.police.example/national-agency"}
    refused = await refusal(place, SEARCH, searching(), metadata=bearer(place, sub="home.unit", act=act))
    assert refused.reason == "TOKEN_INVALID"
