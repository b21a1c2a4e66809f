"""What a token says, to whom it is bound and when it holds: each rule broken alone, always with a correct signature."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.domain.errors import IdentityError, LimitError
from broker.identify.failures import FailureLimit
from broker.identify.issuers import Issuers
from broker.identify.token import TokenVerifier
from certs.issuer import encode_segment
from tests.support.identities import (
    ABSENT,
    AUDIENCE,
    NOW,
    Agency,
    SetClock,
    verifier,
)

ALFA, BRAVO, ABROAD = Agency("alfa"), Agency("bravo"), Agency("alfa", "abroad.example")


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def tokens(clock: SetClock, tmp_path: Path) -> TokenVerifier:
    return verifier(clock, tmp_path, ALFA, BRAVO, ABROAD)


def reason(tokens: TokenVerifier, token: str, agency: Agency = ALFA) -> str:
    with pytest.raises(IdentityError) as caught:
        tokens.check(token, agency.peer)
    return caught.value.reason


def _label(each: object) -> str:
    """The same in every process: test runners that share the work compare the names."""
    return "ABSENT" if type(each) is object else str(each)[:40]


class TestAccepted:
    def test_a_fitting_token_names_the_caller(self, tokens: TokenVerifier) -> None:
        caller = tokens.check(ALFA.token(), ALFA.peer)
        assert (caller.agency, caller.workload, caller.user, caller.token_id) == (ALFA.id, "gateway", "o.reyes", "b7c1")
        assert (caller.roles, caller.clearance) == ({"analyst"}, "SECRET")
        assert (caller.nationalities, caller.purposes) == ({"GB"}, {"CRIME_PREVENTION"})
        assert (caller.issuer, caller.expires_at, caller.thumbprint) == (ALFA.issuer, NOW + 300, ALFA.thumbprint)

    @pytest.mark.parametrize(
        "changes",
        [
            {"aud": [AUDIENCE]},
            {"roles": [], "purposes": [], "nationalities": []},
            {"client_id": "x", "scope": "a b", "nested": {"a": [{"b": 1}]}},
            {"sub": "Ólafur 😀"},
            {"iat": NOW + 5, "nbf": NOW + 5},
            {"nbf": ABSENT},
            {"nbf": ABSENT, "iat": NOW + 5},
            {"iat": NOW - 299, "nbf": NOW - 299, "exp": NOW + 1},
        ],
        ids=lambda changes: " ".join(f"{name} {_label(value)}" for name, value in changes.items()),
    )
    def test_allowed_variants_are_accepted(self, tokens: TokenVerifier, changes: dict[str, object]) -> None:
        assert tokens.check(ALFA.token(**changes), ALFA.peer)

    def test_reuse_within_its_life_is_accepted(self, tokens: TokenVerifier) -> None:
        token = ALFA.token()
        assert tokens.check(token, ALFA.peer) is tokens.check(token, ALFA.peer)

    def test_expiry_is_the_earlier_of_token_and_certificate(self, tokens: TokenVerifier) -> None:
        assert tokens.check(ALFA.token(), replace(ALFA.peer, not_after=NOW + 7)).expires_at == NOW + 8
        assert tokens.check(ALFA.token(), replace(ALFA.peer, not_after=NOW + 300)).expires_at == NOW + 300


CLAIMS = sorted(ALFA.claims())
REQUIRED = [name for name in CLAIMS if name != "nbf"]
WRONG: list[tuple[str, Any]] = [
    *((name, ABSENT) for name in REQUIRED),
    *((name, None) for name in CLAIMS),
    *((name, {}) for name in CLAIMS),
    *((name, True) for name in CLAIMS),
    *((name, "") for name in CLAIMS),
    *((name, 5) for name in CLAIMS if name not in {"iat", "nbf", "exp"}),
    *((name, []) for name in ("iss", "sub", "aud", "iat", "nbf", "exp", "jti", "cnf", "clearance")),
    *((name, str(NOW)) for name in ("iat", "nbf", "exp")),
    *((name, -1) for name in ("iat", "nbf", "exp")),
    *((name, 0) for name in ("iat", "nbf", "exp")),
    *((name, 2**53 - 1) for name in ("iat", "nbf", "exp")),
    *((name, [1]) for name in ("roles", "purposes", "nationalities")),
    *((name, [""]) for name in ("roles", "purposes", "nationalities")),
    *((name, ["a", "a"]) for name in ("roles", "purposes", "nationalities")),
    *((name, [str(n) for n in range(33)]) for name in ("roles", "purposes", "nationalities")),
    ("roles", "analyst"),
    ("roles", [["analyst"]]),
    ("roles", ["a" * 129]),
    ("sub", "a" * 256),
    ("sub", " o.reyes"),
    ("sub", ["o.reyes"]),
    ("aud", [AUDIENCE, "other"]),
    ("aud", [AUDIENCE, AUDIENCE]),
    ("aud", [[AUDIENCE]]),
    ("aud", "urn:other"),
    ("aud", AUDIENCE.upper()),
    ("aud", AUDIENCE + "/"),
    ("exp", NOW + 301),
    ("exp", NOW + 100 * 365 * 86400),
    ("nbf", NOW - 1),
    ("iat", NOW - 1),
    ("exp", NOW),
    ("cnf", {"x5t#S256": None}),
    ("cnf", {"x5t#S256": ""}),
    ("cnf", {"x5t#S256": encode_segment(ALFA.thumbprint) + "="}),
    ("cnf", {"x5t#S256": encode_segment(ALFA.thumbprint[:31])}),
    ("cnf", {"x5t#S256": ALFA.thumbprint.hex()}),
    ("cnf", {"x5t#S256": [encode_segment(ALFA.thumbprint)]}),
    ("cnf", {"x5t": encode_segment(ALFA.thumbprint)}),
    ("cnf", {"x5t#s256": encode_segment(ALFA.thumbprint)}),
    ("cnf", {"x5t#S256": encode_segment(ALFA.thumbprint), "jkt": "x"}),
    ("cnf", {"jkt": encode_segment(ALFA.thumbprint)}),
    ("cnf", encode_segment(ALFA.thumbprint)),
    *(("client_id", value) for value in (None, "", 5, [], " gateway", "a" * 256)),
    ("act", None),
    ("act", "o.reyes"),
    ("act", {}),
    ("act", {"sub": ""}),
    ("act", {"sub": "a", "role": "auditor"}),
    ("act", {"sub": "a", "iss": BRAVO.issuer}),
    ("act", {"sub": "a", "act": None}),
    ("act", {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}),
]


@pytest.mark.parametrize(("claim", "value"), WRONG, ids=_label)
def test_each_wrong_claim_is_refused_although_signed(tokens: TokenVerifier, claim: str, value: object) -> None:
    assert reason(tokens, ALFA.token(**{claim: value})) == "TOKEN_INVALID"


class TestBinding:
    def test_bound_to_another_certificate(self, tokens: TokenVerifier) -> None:
        token = ALFA.token(cnf={"x5t#S256": encode_segment(BRAVO.thumbprint)})
        assert reason(tokens, token) == "TOKEN_NOT_BOUND"

    def test_an_accepted_token_does_not_pass_with_another_certificate(self, tokens: TokenVerifier) -> None:
        token = ALFA.token()
        assert tokens.check(token, ALFA.peer)
        with pytest.raises(IdentityError, match="TOKEN_NOT_BOUND"):
            tokens.check(token, replace(ALFA.peer, thumbprint=b"\x01" * 32))

    def test_only_the_diagonal_of_tokens_and_certificates_passes(self, tokens: TokenVerifier) -> None:
        agencies = (ALFA, BRAVO, ABROAD)
        for token_of in agencies:
            for certificate_of in agencies:
                if token_of is certificate_of:
                    assert tokens.check(token_of.token(), certificate_of.peer).agency == token_of.id
                else:
                    assert reason(tokens, token_of.token(), certificate_of) == "ISSUER_NOT_ALLOWED"

    def test_another_agencys_issuer_cannot_bind_to_this_certificate(self, tokens: TokenVerifier) -> None:
        forged = BRAVO.token(cnf={"x5t#S256": encode_segment(ALFA.thumbprint)})
        assert reason(tokens, forged, ALFA) == "ISSUER_NOT_ALLOWED"

    def test_another_agency_cannot_sign_as_this_issuer(self, tokens: TokenVerifier) -> None:
        claims = BRAVO.claims(iss=ALFA.issuer, cnf={"x5t#S256": encode_segment(ALFA.thumbprint)})
        assert reason(tokens, BRAVO.sign(json.dumps(claims).encode()), ALFA) == "TOKEN_INVALID"

    @pytest.mark.parametrize("issuer", ["https://unknown.example", ALFA.issuer + "/", ALFA.issuer.upper()])
    def test_unknown_issuer(self, tokens: TokenVerifier, issuer: str) -> None:
        assert reason(tokens, ALFA.token(iss=issuer)) == "ISSUER_NOT_ALLOWED"


class TestTime:
    @pytest.mark.parametrize(("seconds", "valid"), [(-6, False), (-5, True), (299.9, True), (300, False), (301, False)])
    @pytest.mark.parametrize("cached", [False, True])
    def test_skew_ahead_is_five_seconds_and_behind_none(
        self, tokens: TokenVerifier, clock: SetClock, seconds: float, valid: bool, cached: bool
    ) -> None:
        token = ALFA.token()
        if cached:
            assert tokens.check(token, ALFA.peer)
        clock.seconds = NOW + seconds
        if valid:
            assert tokens.check(token, ALFA.peer)
        else:
            assert reason(tokens, token) == "TOKEN_EXPIRED"

    def test_without_not_before_it_begins_when_it_was_issued(self, tokens: TokenVerifier) -> None:
        assert reason(tokens, ALFA.token(nbf=ABSENT, iat=NOW + 6)) == "TOKEN_EXPIRED"
        assert reason(tokens, ALFA.token(nbf=ABSENT, iat=NOW - 1)) == "TOKEN_INVALID"
        assert reason(tokens, ALFA.token(nbf=ABSENT, exp=NOW)) == "TOKEN_INVALID"

    def test_not_before_counts_as_well_as_issued_at(self, tokens: TokenVerifier) -> None:
        assert reason(tokens, ALFA.token(nbf=NOW + 6)) == "TOKEN_EXPIRED"
        assert reason(tokens, ALFA.token(iat=NOW + 6)) == "TOKEN_EXPIRED"


class TestOnBehalfOf:
    def test_outermost_actor_is_the_user_and_sub_comes_last(self, tokens: TokenVerifier) -> None:
        token = ALFA.token(sub="home.unit", act={"sub": "liaison", "iss": ALFA.issuer, "act": {"sub": "desk"}})
        caller = tokens.check(token, ALFA.peer)
        assert (caller.user, caller.on_behalf_of) == ("liaison", ("desk", "home.unit"))

    def test_three_actors_are_the_most(self, tokens: TokenVerifier) -> None:
        act = {"sub": "a", "act": {"sub": "b", "act": {"sub": "c"}}}
        assert tokens.check(ALFA.token(act=act), ALFA.peer).on_behalf_of == ("b", "c", "o.reyes")


class TestState:
    def test_a_removed_issuer_ends_accepted_tokens(self, clock: SetClock, tmp_path: Path) -> None:
        issuers = Issuers([ALFA.entry(tmp_path)])
        tokens = TokenVerifier(issuers, AUDIENCE, clock)
        token = ALFA.token()
        assert tokens.check(token, ALFA.peer)
        issuers.drop(ALFA.issuer)
        assert reason(tokens, token) == "ISSUER_NOT_ALLOWED"

    def test_the_cache_is_bounded_and_refusals_are_not_in_it(self, clock: SetClock, tmp_path: Path) -> None:
        tokens = verifier(clock, tmp_path, ALFA, cache_size=3)
        for number in range(5):
            tokens.check(ALFA.token(jti=str(number)), ALFA.peer)
            reason(tokens, ALFA.token(jti=str(number), aud="urn:other"))
        assert len(tokens._accepted) == 3

    def test_failures_are_limited_for_each_certificate(self, clock: SetClock, tmp_path: Path) -> None:
        tokens = verifier(clock, tmp_path, ALFA, BRAVO, limit=FailureLimit(clock, burst=3, per_second=1))
        accepted = ALFA.token()
        tokens.check(accepted, ALFA.peer)
        for _ in range(3):
            assert reason(tokens, "junk") == "TOKEN_MALFORMED"
        with pytest.raises(LimitError, match="LIMIT_EXCEEDED"):
            tokens.check(ALFA.token(jti="fresh"), ALFA.peer)
        assert tokens.check(accepted, ALFA.peer)
        assert tokens.check(BRAVO.token(), BRAVO.peer)
        clock.seconds += 1
        assert tokens.check(ALFA.token(jti="fresh"), ALFA.peer)


def test_no_message_repeats_what_the_token_says(tokens: TokenVerifier) -> None:
    for changes in ({"sub": "SECRETVALUE\x00"}, {"aud": "SECRETVALUE"}, {"iss": "SECRETVALUE"}, {"act": "SECRETVALUE"}):
        with pytest.raises(IdentityError) as caught:
            tokens.check(ALFA.token(**changes), ALFA.peer)
        assert "SECRETVALUE" not in str(caught.value)
