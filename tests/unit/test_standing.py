"""What is revoked is refused, and where nobody can know it, everybody is."""

from __future__ import annotations

import dataclasses

import pytest

from broker.domain.caller import AgencyId, Caller, Peer
from broker.domain.errors import IdentityError, UnavailableError
from broker.domain.standing import Revoked, folded
from broker.identify.standing import OLDEST_SECONDS, Standing
from tests.support.reports import TickingClock

AGENCY = AgencyId("police.example", "north")
PEER = Peer(AGENCY, "gateway", b"\x01" * 32, "1", 2**40)
CALLER = Caller(
    agency=AGENCY,
    workload="gateway",
    thumbprint=PEER.thumbprint,
    serial="1",
    user="pc.ash",
    roles=frozenset(),
    clearance="SECRET",
    nationalities=frozenset(),
    purposes=frozenset(),
    issuer="https://issuer.example/north",
    token_id="t1",
    expires_at=2**40,
)


class Clock(TickingClock):
    """Stands still until it is moved."""

    at_us = 0

    def monotonic_us(self) -> int:
        return self.at_us


class Answering:
    """A registry that answers, or does not."""

    def __init__(self, standing: Standing, *, answers: bool) -> None:
        self.standing, self.answers, self.asked = standing, answers, 0

    def glance(self) -> None:
        self.asked += 1

    def look_now(self) -> None:
        self.asked += 1
        if self.answers:
            self.standing.confirm()


@pytest.mark.parametrize(
    ("revoked", "reason"),
    [
        (Revoked(certificates=frozenset({PEER.thumbprint})), "CERTIFICATE_REVOKED"),
        (Revoked(agencies=frozenset({str(AGENCY)})), "AGENCY_LOCKED"),
    ],
)
def test_a_revoked_peer_is_refused(revoked: Revoked, reason: str) -> None:
    """MUST 1."""
    standing = Standing(Clock())
    standing.require_peer(PEER)
    standing.replace(revoked)
    with pytest.raises(IdentityError) as caught:
        standing.require_peer(PEER)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("revoked", "reason"),
    [
        (Revoked(users=frozenset({(str(AGENCY), "pc.ash")})), "USER_REVOKED"),
        (Revoked(tokens=frozenset({(CALLER.issuer, "t1")})), "TOKEN_REVOKED"),
        (Revoked(issuers=frozenset({CALLER.issuer})), "ISSUER_NOT_ALLOWED"),
    ],
)
def test_a_revoked_caller_is_refused(revoked: Revoked, reason: str) -> None:
    """MUST 1; and who is acted for counts like who acts."""
    standing = Standing(Clock())
    standing.require_caller(CALLER)
    standing.replace(revoked)
    with pytest.raises(IdentityError) as caught:
        standing.require_caller(CALLER)
    assert caught.value.reason == reason
    if reason == "USER_REVOKED":
        with pytest.raises(IdentityError):
            standing.require_caller(dataclasses.replace(CALLER, user="other", on_behalf_of=("x", "PC.Ash")))
        standing.require_caller(dataclasses.replace(CALLER, agency=AgencyId("police.example", "south")))


@pytest.mark.parametrize(
    ("one", "other"),
    [("PC.ash", "pc.ASH"), ("straße", "STRASSE"), ("ﬁn", "fin"), ("é", "e\u0301"), ("pc.ash", "pc.a\u034fsh\ufe0f")],
)
def test_a_person_is_one_however_written(one: str, other: str) -> None:
    """Letter case and Unicode form are no way round."""
    assert folded(one) == folded(other)
    assert Revoked(users=frozenset({("a/b", folded(one))})).holds_user("a/b", other)
    assert not Revoked(users=frozenset({("a/b", folded(one))})).holds_user("a/c", other)


def test_an_old_standing_serves_nobody() -> None:
    """MUST 2: at five seconds it still counts, beyond them nobody is served, and a confirmation heals it."""
    clock = Clock()
    standing = Standing(clock)
    clock.at_us = int(OLDEST_SECONDS * 1_000_000)
    standing.require_peer(PEER)
    clock.at_us += 1
    with pytest.raises(UnavailableError) as caught:
        standing.require_peer(PEER)
    assert caught.value.reason == "REVOCATIONS_UNAVAILABLE"
    standing.confirm()
    standing.require_peer(PEER)


def test_five_seconds_are_the_rule() -> None:
    """MUST 2."""
    assert OLDEST_SECONDS == 5.0


@pytest.mark.parametrize("answers", [True, False])
def test_an_old_standing_asks_before_it_refuses(answers: bool) -> None:
    """MUST 2: a process that stood still looks again by itself; a registry that does not answer confirms nothing."""
    clock = Clock()
    standing = Standing(clock)
    registry = Answering(standing, answers=answers)
    standing.follow(registry)
    standing.require_peer(PEER)
    assert registry.asked == 0
    clock.at_us = 10**9
    if answers:
        standing.require_peer(PEER)
    else:
        with pytest.raises(UnavailableError):
            standing.require_peer(PEER)
    assert registry.asked == 1
