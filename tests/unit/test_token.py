"""Tokens: each rule broken alone, with a correct signature wherever the rule is not the signature's."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.errors import IdentityError, LimitError
from broker.identify.compact import read_token
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
    compact,
    es256,
    p256,
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


def with_member(claims: Mapping[str, object], raw: str) -> bytes:
    """The claims' JSON with raw text before its closing brace."""
    return json.dumps(claims)[:-1].encode() + b"," + raw.encode() + b"}"


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
            {"iat": NOW - 299, "nbf": NOW - 299, "exp": NOW + 1},
        ],
        ids=str,
    )
    def test_allowed_variants_are_accepted(self, tokens: TokenVerifier, changes: dict[str, object]) -> None:
        assert tokens.check(ALFA.token(**changes), ALFA.peer)

    def test_reuse_within_its_life_is_accepted(self, tokens: TokenVerifier) -> None:
        token = ALFA.token()
        assert tokens.check(token, ALFA.peer) is tokens.check(token, ALFA.peer)

    def test_expiry_is_the_earlier_of_token_and_certificate(self, tokens: TokenVerifier) -> None:
        assert tokens.check(ALFA.token(), replace(ALFA.peer, not_after=NOW + 7)).expires_at == NOW + 7


HEADERS: dict[str, tuple[dict[str, object], str]] = {
    "alg none": ({"alg": "none"}, "TOKEN_INVALID"),
    "alg None": ({"alg": "None"}, "TOKEN_INVALID"),
    "alg NONE": ({"alg": "NONE"}, "TOKEN_INVALID"),
    "alg empty": ({"alg": ""}, "TOKEN_INVALID"),
    "alg HS256": ({"alg": "HS256"}, "TOKEN_INVALID"),
    "alg ES384": ({"alg": "ES384"}, "TOKEN_INVALID"),
    "alg RS256": ({"alg": "RS256"}, "TOKEN_INVALID"),
    "alg es256": ({"alg": "es256"}, "TOKEN_INVALID"),
    "alg null": ({"alg": None}, "TOKEN_MALFORMED"),
    "alg list": ({"alg": ["ES256"]}, "TOKEN_MALFORMED"),
    "alg absent": ({"alg": ABSENT}, "TOKEN_MALFORMED"),
    "typ JWT": ({"typ": "JWT"}, "TOKEN_MALFORMED"),
    "typ AT+JWT": ({"typ": "AT+JWT"}, "TOKEN_MALFORMED"),
    "typ long form": ({"typ": "application/at+jwt"}, "TOKEN_MALFORMED"),
    "typ absent": ({"typ": ABSENT}, "TOKEN_MALFORMED"),
    "typ null": ({"typ": None}, "TOKEN_MALFORMED"),
    "kid absent": ({"kid": ABSENT}, "TOKEN_MALFORMED"),
    "kid number": ({"kid": 1}, "TOKEN_MALFORMED"),
    "kid unknown": ({"kid": "other"}, "TOKEN_INVALID"),
    "kid traversal": ({"kid": "../../../../dev/null"}, "TOKEN_INVALID"),
    "kid SQL": ({"kid": "x' OR '1'='1"}, "TOKEN_INVALID"),
    "kid NUL": ({"kid": "a\x00b"}, "TOKEN_MALFORMED"),
    "kid of bravo": ({"kid": BRAVO.header()["kid"]}, "TOKEN_INVALID"),
    "jku": ({"jku": "https://evil.example/jwks"}, "TOKEN_MALFORMED"),
    "x5u": ({"x5u": "https://evil.example/x5u"}, "TOKEN_MALFORMED"),
    "x5c": ({"x5c": ["AAAA"]}, "TOKEN_MALFORMED"),
    "jwk": ({"jwk": {"kty": "EC"}}, "TOKEN_MALFORMED"),
    "crit": ({"crit": ["exp"]}, "TOKEN_MALFORMED"),
    "crit empty": ({"crit": []}, "TOKEN_MALFORMED"),
    "b64 false": ({"b64": False}, "TOKEN_MALFORMED"),
    "zip": ({"zip": "DEF"}, "TOKEN_MALFORMED"),
    "cty": ({"cty": "JWT"}, "TOKEN_MALFORMED"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_odd_headers_are_refused(tokens: TokenVerifier, case: str) -> None:
    header, expected = HEADERS[case]
    assert reason(tokens, ALFA.token(header)) == expected


class TestSignature:
    @pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER], ids=str)
    def test_hs256_with_the_public_key_as_secret(self, tokens: TokenVerifier, encoding: serialization.Encoding) -> None:
        secret = ALFA.issuer_key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        header = json.dumps(ALFA.header(alg="HS256")).encode()
        payload = json.dumps(ALFA.claims()).encode()
        assert reason(tokens, compact(header, payload, lambda each: hmac.digest(secret, each, "sha256"))) == (
            "TOKEN_INVALID"
        )

    def test_another_key_under_the_right_kid(self, tokens: TokenVerifier) -> None:
        header, payload = (json.dumps(each).encode() for each in (ALFA.header(), ALFA.claims()))
        assert reason(tokens, compact(header, payload, es256(p256("stranger")))) == "TOKEN_INVALID"

    @pytest.mark.parametrize("signature", [b"\x00" * 64, b"\x00", b"\xff" * 64, b"\x30\x06\x02\x01\x01\x02\x01\x01"])
    def test_empty_and_trivial_signatures(self, tokens: TokenVerifier, signature: bytes) -> None:
        header, payload = (json.dumps(each).encode() for each in (ALFA.header(), ALFA.claims()))
        assert reason(tokens, compact(header, payload, lambda _: signature)) == "TOKEN_INVALID"

    def test_changed_payload(self, tokens: TokenVerifier) -> None:
        header, _, signature = ALFA.token().split(".")
        changed = encode_segment(json.dumps(ALFA.claims(clearance="TOP_SECRET")).encode())
        assert reason(tokens, f"{header}.{changed}.{signature}") == "TOKEN_INVALID"


SHAPES = {
    "empty": "",
    "one segment": "abc",
    "two segments": ALFA.token().rpartition(".")[0],
    "four segments": ALFA.token() + ".AAAA",
    "JWE's five segments": ".".join(["AAAA"] * 5),
    "no signature": ALFA.token().rpartition(".")[0] + ".",
    "padding": ALFA.token() + "==",
    "line feed": ALFA.token() + "\n",
    "space": " " + ALFA.token(),
    "standard base64": ALFA.token().replace("-", "+").replace("_", "/") + "+",
    "not ASCII": ALFA.token() + "é",
    "lone surrogate": ALFA.token() + "\ud800",
    "NUL": ALFA.token() + "\x00",
    "1 MB": ALFA.token() + "A" * 1_000_000,
    "header list": "W10." + ALFA.token().partition(".")[2],
    "header null": "bnVsbA." + ALFA.token().partition(".")[2],
}


@pytest.mark.parametrize("case", SHAPES)
def test_odd_shapes_are_malformed(tokens: TokenVerifier, case: str) -> None:
    assert reason(tokens, SHAPES[case]) == "TOKEN_MALFORMED"


def test_stray_bits_at_a_segments_end_are_malformed(tokens: TokenVerifier) -> None:
    token = ALFA.token()
    # 64 bytes end in a character of which only two bits count.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert reason(tokens, token[:-1] + alphabet[alphabet.index(token[-1]) | 1]) == "TOKEN_MALFORMED"


CLAIMS = ALFA.claims()
PAYLOADS: dict[str, bytes] = {
    "duplicate sub": with_member(CLAIMS, '"sub": "admin"'),
    "duplicate with an escape": with_member(CLAIMS, '"s\\u0075b": "admin"'),
    "duplicate, nested": with_member(CLAIMS, '"x": {"a": 1, "a": 2}'),
    "duplicate in a list": with_member(CLAIMS, '"x": [{"a": 1, "a": 2}]'),
    "UTF-16": json.dumps(CLAIMS).encode("utf-16"),
    "UTF-16 without mark": json.dumps(CLAIMS).encode("utf-16-le"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(),
    "not UTF-8": json.dumps(CLAIMS).encode().replace(b"reyes", b"\xff\xfe"),
    "overlong UTF-8": json.dumps(CLAIMS).encode().replace(b"reyes", b"\xc0\x80"),
    "list": json.dumps([CLAIMS]).encode(),
    "null": b"null",
    "trailing text": json.dumps(CLAIMS).encode() + b"x",
    "two objects": json.dumps(CLAIMS).encode() * 2,
    "NaN": with_member(CLAIMS, '"x": NaN'),
    "Infinity": with_member(CLAIMS, '"x": -Infinity'),
    "fraction": with_member(CLAIMS, '"x": 1.5'),
    "exponent": with_member(CLAIMS, '"x": 1e308'),
    "huge integer": with_member(CLAIMS, '"x": ' + "9" * 4000),
    "2^53": with_member(CLAIMS, f'"x": {2**53}'),
    "nested 9 deep": with_member(CLAIMS, '"x": ' + "[" * 9 + "]" * 9),
    "many containers": with_member(CLAIMS, '"x": [' + "[]," * 100 + "[]]"),
    "NUL in sub": json.dumps(ALFA.claims(sub="a\x00b")).encode(),
    "control in sub": json.dumps(ALFA.claims(sub="a\x1bb")).encode(),
    "lone surrogate in sub": json.dumps(ALFA.claims(sub="a\ud800b")).encode(),
    "direction override in sub": json.dumps(ALFA.claims(sub="a\u202eb")).encode(),
    "raw control": json.dumps(CLAIMS).encode().replace(b"reyes", b"re\x01es"),
    "NUL in a member's name": with_member(CLAIMS, '"a\\u0000": 1'),
    "string of 513": json.dumps(ALFA.claims(x="a" * 513)).encode(),
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_odd_payloads_are_malformed_although_signed(tokens: TokenVerifier, case: str) -> None:
    assert reason(tokens, ALFA.sign(PAYLOADS[case])) == "TOKEN_MALFORMED"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_100_000_deep_is_refused_at_once(opening: bytes) -> None:
    token = compact(b"{}", opening * 100_000, lambda _: b"x")
    for sample in (token, compact(opening * 1000, b"{}", lambda _: b"x")):
        began = time.perf_counter()
        with pytest.raises(IdentityError, match="TOKEN_MALFORMED"):
            read_token(sample)
        assert time.perf_counter() - began < 0.1


REQUIRED = sorted(CLAIMS)
WRONG: list[tuple[str, Any]] = [
    *((name, ABSENT) for name in REQUIRED),
    *((name, None) for name in REQUIRED),
    *((name, {}) for name in REQUIRED),
    *((name, True) for name in REQUIRED),
    *((name, "") for name in REQUIRED),
    *((name, 5) for name in REQUIRED if name not in {"iat", "nbf", "exp"}),
    *((name, []) for name in ("iss", "sub", "aud", "iat", "nbf", "exp", "jti", "cnf", "clearance")),
    *((name, str(NOW)) for name in ("iat", "nbf", "exp")),
    *((name, -1) for name in ("iat", "nbf", "exp")),
    *((name, 0) for name in ("iat", "nbf", "exp")),
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
    ("act", None),
    ("act", "o.reyes"),
    ("act", {}),
    ("act", {"sub": ""}),
    ("act", {"sub": "a", "role": "auditor"}),
    ("act", {"sub": "a", "iss": BRAVO.issuer}),
    ("act", {"sub": "a", "act": None}),
    ("act", {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}),
]


def _label(each: object) -> str:
    """The same in every process: test runners that share the work compare the names."""
    return "ABSENT" if type(each) is object else str(each)[:40]


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
    def test_a_removed_issuer_key_ends_accepted_tokens(self, clock: SetClock, tmp_path: Path) -> None:
        issuers = Issuers([ALFA.entry(tmp_path)])
        tokens = TokenVerifier(issuers, AUDIENCE, clock)
        token = ALFA.token()
        assert tokens.check(token, ALFA.peer)
        issuers.replace([])
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


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda each: f"{encode_segment(each)}.e30.AA"))
def test_any_text_is_a_typed_refusal(token: str) -> None:
    with pytest.raises(IdentityError, match="TOKEN_MALFORMED"):
        read_token(token)
