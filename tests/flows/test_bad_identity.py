"""Bad tokens and certificates over real TLS: refused with a reason, on record, or at the handshake in words."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from certs.authority import Authority
from entente_sdk import AsyncEntente, HandshakeError, IdentityError, RetryPolicy
from entente_sdk.advice import ADVICE
from entente_sdk.profile import Profile
from tests.support.exchanges import (
    GET,
    LIAISON,
    OFFICER,
    REGIONAL,
    SEARCH,
    SUBMIT,
    ask,
    getting,
    refusal,
    searching,
    submission,
)
from tests.support.house import House
from tests.support.live import CHANNEL_OPTIONS
from tests.support.nothing_done import nothing_done

pytestmark = pytest.mark.asyncio(loop_scope="module")

Code = grpc.StatusCode


def foreign_token(place: House) -> Any:
    """Of another agency's user, for that agency's certificate."""
    return place.metadata(REGIONAL)


def expired_token(place: House) -> Any:
    return place.metadata(OFFICER, now=int(time.time()) - 301)


def future_token(place: House) -> Any:
    return place.metadata(OFFICER, now=int(time.time()) + 60)


def other_audience(place: House) -> Any:
    return place.metadata(OFFICER, audience="urn:another:broker")


def unbound_token(place: House) -> Any:
    """Signed by the agency's own issuer, for a certificate that is not the one in use."""
    issuer = Authority.open(place.directory / "authority").agency(*OFFICER.agency.split("/")).token_issuer()
    issuer._thumbprint = bytes(32)
    minted = issuer.mint(OFFICER.user, roles=OFFICER.roles, clearance="SECRET", purposes=OFFICER.purposes)
    return (("authorization", f"Bearer {minted}"),)


def tampered_token(place: House) -> Any:
    """Its signature's first character is another."""
    ((name, value),) = place.metadata(OFFICER)
    start, _, signature = value.rpartition(".")
    return ((name, f"{start}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"),)


def two_tokens(place: House) -> Any:
    return (*place.metadata(OFFICER), *place.metadata(OFFICER))


def no_token(_: House) -> Any:
    return ()


def no_jwt(_: House) -> Any:
    return (("authorization", "Bearer abc"),)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (foreign_token, "ISSUER_NOT_ALLOWED"),
        (expired_token, "TOKEN_EXPIRED"),
        (future_token, "TOKEN_EXPIRED"),
        (other_audience, "TOKEN_INVALID"),
        (unbound_token, "TOKEN_NOT_BOUND"),
        (tampered_token, "TOKEN_INVALID"),
        (two_tokens, "TOKEN_MISSING"),
        (no_token, "TOKEN_MISSING"),
        (no_jwt, "TOKEN_MALFORMED"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_a_token_that_does_not_hold(place: House, token: Callable[[House], Any], reason: str) -> None:
    """UNAUTHENTICATED; the entry names the certificate's agency and no user, and the request was not looked at."""
    refused, (entry,) = await nothing_done(place, SUBMIT, submission(), metadata=token(place))
    assert (refused.status, refused.reason) == (Code.UNAUTHENTICATED, reason)
    assert entry["actor"]["agency"] == OFFICER.agency
    assert "user" not in entry["actor"]
    assert "request_hash" not in entry


def sdk_profile(place: House, **changes: Any) -> Profile:
    """The officer's profile, as a client has it."""
    files = Authority.open(place.directory / "authority").agency(*OFFICER.agency.split("/"))
    token = place.directory / "token"
    token.write_text(place.metadata(OFFICER)[0][1].removeprefix("Bearer "), encoding="ascii")
    profile = Profile(
        endpoint=place.broker.address,
        ca=files.root,
        certificate=files.certificate,
        key=files.key,
        token_file=token,
        log_keys=((place.directory / "data/log.vkey").read_text().strip(),),
        purpose="INVESTIGATION",
    )
    return replace(profile, **changes)


async def handshake(place: House, **changes: Any) -> HandshakeError:
    """What the SDK says when the broker refuses at the handshake; the broker has no entry of it."""
    since = len(place.broker.ledger)
    once = RetryPolicy(attempts=1)
    async with AsyncEntente(sdk_profile(place, **changes), retry=once) as client:
        with pytest.raises(HandshakeError) as caught:
            await client.directory.who_am_i()
    assert place.leaves(since) == []
    return caught.value


async def test_no_certificate_is_refused_at_the_handshake(place: House) -> None:
    """TLS refuses; the SDK says so in words, and what to set."""
    error = await handshake(place, certificate=None, key=None)
    assert error.reason == "NO_CERTIFICATE"
    assert "Set certificate and key" in error.diagnostics()


async def test_a_strangers_certificate_is_refused_at_the_handshake(place: House, tmp_path: Path) -> None:
    """Of the same names, from an authority that the broker does not know."""
    stranger = Authority.create(tmp_path / "stranger").issue_agency(*OFFICER.agency.split("/"))
    error = await handshake(place, certificate=stranger.certificate, key=stranger.key)
    assert error.reason == "CERTIFICATE_REFUSED"


async def test_a_certificate_that_fits_tls_but_not_the_profile(place: House) -> None:
    """The broker's own authority issued it, for a trust domain that the broker does not accept: refused on record."""
    authority = Authority.open(place.directory / "authority")
    files = authority.issue_agency("elsewhere.example", "northshire", life=datetime.timedelta(days=1))
    credentials = grpc.ssl_channel_credentials(
        files.root.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    since = len(place.broker.ledger)
    async with grpc.aio.secure_channel(place.broker.address, credentials, CHANNEL_OPTIONS) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(GET)(b"", metadata=place.metadata(OFFICER), timeout=10)
    assert caught.value.code() == Code.UNAUTHENTICATED
    assert [entry["reason"] for entry in place.leaves(since)] == ["CERTIFICATE_INVALID"]


async def test_the_sdk_says_what_to_do_about_a_refusal(place: House) -> None:
    """The reason, the advice and the exchange id, with a receipt that was verified."""
    profile = sdk_profile(place)
    assert profile.token_file is not None
    profile.token_file.write_text(foreign_token(place)[0][1].removeprefix("Bearer "), encoding="ascii")
    async with AsyncEntente(profile, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(IdentityError) as caught:
            await client.directory.who_am_i()
    assert caught.value.reason == "ISSUER_NOT_ALLOWED"
    assert ADVICE["ISSUER_NOT_ALLOWED"] in caught.value.diagnostics()


async def test_too_many_bad_tokens_are_a_limit(place: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes the broker verify signatures for nothing; a good token is not held up for another certificate."""
    limit = place.broker.pipeline.identifier._tokens._limit
    monkeypatch.setattr(limit, "_burst", 3)
    monkeypatch.setattr(limit, "_per_second", 0)
    found = [await refusal(place, GET, getting("0" * 32), LIAISON, metadata=foreign_token(place)) for _ in range(5)]
    assert [one.reason for one in found] == ["ISSUER_NOT_ALLOWED"] * 3 + ["LIMIT_EXCEEDED"] * 2
    assert found[-1].status == Code.RESOURCE_EXHAUSTED
    await ask(place, SEARCH, searching(), OFFICER)
