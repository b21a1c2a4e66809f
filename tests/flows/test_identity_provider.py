"""An agency whose tokens come from a real OpenID provider: its workload and its people call, its keys rotate, it fails.

The provider is npm's `oidc-provider`, over mutual TLS on loopback; the broker fetches its keys from it every second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import network
from certs.authority import AgencyCredentials, Authority
from certs.profiles import agency_certificate
from entente.directory.v1 import directory_service_pb2
from tests.support.exchanges import OFFICER, REGIONAL, SEARCH, WHO_AM_I, Follower, ask, refusal, rehoused, searching
from tests.support.house import House, reason_of, until
from tests.support.oidc import IdentityProvider, Person, TokenRefusedError, oidc_provider

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFRESH_SECONDS, OLDEST_SECONDS = 1, 6
WORKLOAD = Person("gateway", roles=("analyst",), nationalities=())
PERSON = Person.of(OFFICER)
DESK = Person("liaison.desk", roles=PERSON.roles, acts_for="home.unit")


class Premises:
    """A broker, and the provider of the officer's agency."""

    def __init__(self, house: House, idp: IdentityProvider) -> None:
        self.house = house
        self.idp = idp

    async def metadata(self, user: str = "") -> tuple[tuple[str, str], ...]:
        """A fresh token: the workload's, or a person's by device code."""
        token = await asyncio.to_thread(self.idp.device_token, user) if user else await self.client_token()
        return bearer(token)

    async def client_token(self, certificate: Path | None = None, key: Path | None = None) -> str:
        return await asyncio.to_thread(self.idp.client_token, certificate, key)

    @property
    def known_keys(self) -> set[str]:
        """The `kid`s that the broker holds of this provider."""
        issuers = self.house.broker.pipeline.identifier._tokens._issuers.current
        return set(issuers.by_url[self.idp.issuer].keys)

    async def answer(self, metadata: tuple[tuple[str, str], ...]) -> str:
        """Empty for a granted search, else the reason of the refusal."""
        try:
            await ask(self.house, SEARCH, searching(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return reason_of(error).reason
        return ""


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def registered(directory: Path, agency: AgencyCredentials, idp: IdentityProvider) -> None:
    """The provider in the place of the agency's development issuer."""
    path = directory / "broker.toml"
    files = f'issuer = "{agency.issuer}"\njwks = "{agency.jwks.relative_to(directory)}"'
    fetched = f'issuer = "{idp.issuer}"\njwks_uri = "{idp.jwks_uri}"\nca = "{idp.ca}"'
    config = path.read_text(encoding="utf-8")
    assert config.count(files) == 1
    identity = f"\n[identity]\njwks_refresh_seconds = {REFRESH_SECONDS}\njwks_oldest_seconds = {OLDEST_SECONDS}\n"
    path.write_text(config.replace(files, fetched) + identity, encoding="utf-8")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def premises(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Premises]:
    directory = tmp_path_factory.mktemp("provider") / "network"
    network.create(directory, "127.0.0.1:0")
    agency = Authority.open(directory / "authority").agency(*OFFICER.agency.split("/"))
    with oidc_provider(directory / "idp", agency, people=[PERSON, DESK], workload=WORKLOAD) as idp:
        registered(directory, agency, idp)
        async with rehoused(directory) as house:
            yield Premises(house, idp)


async def whoami(premises: Premises, metadata: tuple[tuple[str, str], ...]) -> Any:
    request = directory_service_pb2.WhoAmIRequest()
    return await ask(premises.house, WHO_AM_I, request, metadata=metadata)


async def actor(premises: Premises, exchange_id: str) -> dict[str, Any]:
    (leaf,) = await premises.house.leaves_of(exchange_id)
    return {**leaf["actor"], "on_behalf_of": leaf.get("on_behalf_of")}


async def test_a_workload_calls_by_client_credentials_over_mutual_tls(premises: Premises) -> None:
    """No person: the entry names the program as its own user, and the certificate's agency."""
    given = await whoami(premises, await premises.metadata())
    assert (given.message.agency, given.message.user, given.message.roles) == (OFFICER.agency, "gateway", ["analyst"])
    found = await actor(premises, given.exchange_id)
    assert found["agency"] == OFFICER.agency
    assert (found["user"], found["token"]["sub"], found["token"]["client_id"]) == ("gateway", "gateway", "gateway")
    assert found["token"]["iss"] == premises.idp.issuer


async def test_a_person_calls_by_device_code(premises: Premises) -> None:
    given = await whoami(premises, await premises.metadata(PERSON.user))
    assert (given.message.user, given.message.clearance) == (PERSON.user, PERSON.clearance)
    found = await actor(premises, given.exchange_id)
    assert (found["user"], found["token"]["client_id"]) == (PERSON.user, premises.idp.device_client_id)


async def test_a_person_who_acts_for_another_is_on_record_with_both(premises: Premises) -> None:
    """The token's `act`: the desk calls, for its home unit, and may select nobody else."""
    metadata = await premises.metadata(DESK.user)
    request = searching()
    request.justification.on_behalf_of = DESK.acts_for
    given = await ask(premises.house, SEARCH, request, metadata=metadata)
    found = await actor(premises, given.exchange_id)
    assert (found["user"], found["token"]["sub"], found["on_behalf_of"]) == (DESK.user, "home.unit", ["home.unit"])
    request.justification.on_behalf_of = "another.unit"
    refused = await refusal(premises.house, SEARCH, request, metadata=metadata)
    assert refused.reason == "ON_BEHALF_NOT_PERMITTED"


async def test_a_stranger_gets_no_token(premises: Premises) -> None:
    """The provider's own part: another agency's certificate is not this workload's."""
    stranger = Authority.open(premises.house.directory / "authority").agency("police.example", "north-region")
    with pytest.raises(TokenRefusedError) as caught:
        await premises.client_token(stranger.certificate, stranger.key)
    assert caught.value.error == "invalid_client"


async def test_a_token_bound_to_another_certificate_is_refused(premises: Premises, tmp_path: Path) -> None:
    """Of the same agency and workload, from the same authority: it is another certificate all the same."""
    authority = Authority.open(premises.house.directory / "authority")
    key = ec.generate_private_key(ec.SECP256R1())
    spiffe_id = f"spiffe://{OFFICER.agency.replace('/', '/agency/')}/gateway"
    certificate = agency_certificate(authority._authority, key.public_key(), spiffe_id)
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(secret)
    token = await premises.client_token(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert await premises.answer(bearer(token)) == "TOKEN_NOT_BOUND"


async def test_another_agency_cannot_use_this_provider(premises: Premises) -> None:
    """Its token at another agency's connection: the issuer speaks for one agency."""
    refused = await refusal(premises.house, SEARCH, searching(), REGIONAL, metadata=await premises.metadata())
    assert refused.reason == "ISSUER_NOT_ALLOWED"


async def test_keys_rotate_under_load_with_no_valid_call_lost_and_no_wrong_accept(premises: Premises) -> None:
    """Published a refresh before it signs, withdrawn when nothing that it signed is needed."""
    idp, answers, stop = premises.idp, list[str](), asyncio.Event()
    old = await premises.metadata()

    async def load() -> None:
        while not stop.is_set():
            answers.append(await premises.answer(await premises.metadata()))

    async def some_more() -> None:
        wanted = len(answers) + 10
        await until(lambda: len(answers) > wanted)

    async with Follower(premises.house, metadata=old) as follower:
        await follower.all()
        callers = [asyncio.create_task(load()) for _ in range(3)]
        try:
            await asyncio.to_thread(idp.publish, "two")
            await until(lambda: premises.known_keys == {"one", "two"})
            await asyncio.to_thread(idp.sign_with, "two")
            await some_more()
            assert await premises.answer(old) == ""
            await asyncio.to_thread(idp.withdraw, "one")
            await until(lambda: premises.known_keys == {"two"})
            await some_more()
        finally:
            stop.set()
            await asyncio.gather(*callers)
        # Accepted and remembered before, and signed by a key that is gone: calls and streams end.
        assert await premises.answer(old) == "TOKEN_INVALID"
        assert (await follower.refused()).reason == "TOKEN_INVALID"
    assert premises.known_keys == {"two"}
    assert set(answers) == {""}
    print(f"rotation: {len(answers)} calls with fresh tokens, 0 failed")


async def test_an_outage_is_survived_until_the_stated_age_and_no_longer(premises: Premises) -> None:
    """Then ISSUER_UNAVAILABLE, on record, for calls and streams alike; and all is well when the provider is."""
    metadata = await premises.metadata()
    answers: list[str] = []
    loop = asyncio.get_running_loop()
    async with Follower(premises.house, metadata=metadata) as follower:
        await follower.all()
        await asyncio.to_thread(premises.idp.stop)
        began = loop.time()
        while not any(answers) and loop.time() < began + 30:
            answers.append(await premises.answer(metadata))
            await asyncio.sleep(0.05)
        lasted = loop.time() - began
        assert (await follower.refused()).reason == "ISSUER_UNAVAILABLE"
    assert set(answers[:-1]) == {""}
    assert answers[-1] == "ISSUER_UNAVAILABLE"
    told = await refusal(premises.house, SEARCH, searching(), metadata=metadata)
    assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "ISSUER_UNAVAILABLE")
    await asyncio.to_thread(premises.idp.start)
    while await premises.answer(metadata) and loop.time() < began + 60:
        await asyncio.sleep(0.05)
    assert await premises.answer(metadata) == ""
    print(f"outage: {len(answers) - 1} calls went on over {lasted:.1f} s, the age being {OLDEST_SECONDS} s")
