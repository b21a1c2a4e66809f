"""The form of a token: header, segments, JSON and signature, each rule broken alone.

Where the rule is not the signature's, the signature is correct.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.errors import IdentityError
from broker.identify.compact import read_token
from broker.identify.token import TokenVerifier
from certs.issuer import encode_segment, jwks_document
from tests.support.identities import ABSENT, Agency, SetClock, compact, es256, p256, verifier

ALFA, BRAVO = Agency("alfa"), Agency("bravo")


@pytest.fixture
def tokens(tmp_path: Path) -> TokenVerifier:
    return verifier(SetClock(), tmp_path, ALFA, BRAVO)


def reason(tokens: TokenVerifier, token: str) -> str:
    with pytest.raises(IdentityError) as caught:
        tokens.check(token, ALFA.peer)
    return caught.value.reason


def with_member(claims: Mapping[str, object], raw: str) -> bytes:
    """The claims' JSON with raw text before its closing brace."""
    return json.dumps(claims)[:-1].encode() + b"," + raw.encode() + b"}"


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
    @pytest.mark.parametrize("form", ["PEM", "DER", "JWK", "JWK Set", "point"])
    def test_hs256_with_the_public_key_as_secret(self, tokens: TokenVerifier, form: str) -> None:
        public = ALFA.issuer_key.public_key()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        point = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        whole = jwks_document([public])
        secret = {
            "PEM": public.public_bytes(serialization.Encoding.PEM, spki),
            "DER": public.public_bytes(serialization.Encoding.DER, spki),
            "JWK": json.dumps(json.loads(whole)["keys"][0], separators=(",", ":")).encode(),
            "JWK Set": whole,
            "point": public.public_bytes(*point),
        }[form]
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
    "exp as a fraction": json.dumps(ALFA.claims(exp=ABSENT)).encode()[:-1] + b', "exp": 1800000300.5}',
    "exp as 1e308": json.dumps(ALFA.claims(exp=ABSENT)).encode()[:-1] + b', "exp": 1e308}',
    "exp as 18e8": json.dumps(ALFA.claims(exp=ABSENT)).encode()[:-1] + b', "exp": 18e8}',
    "duplicate exp": with_member(CLAIMS, '"exp": 1800000300'),
    "exponent": with_member(CLAIMS, '"x": 1e308'),
    "huge integer": with_member(CLAIMS, '"x": ' + "9" * 4000),
    "2^53": with_member(CLAIMS, f'"x": {2**53}'),
    "nested 9 deep": with_member(CLAIMS, '"x": ' + "[" * 9 + "]" * 9),
    "many containers": with_member(CLAIMS, '"x": [' + "[]," * 100 + "[]]"),
    "NUL in sub": json.dumps(ALFA.claims(sub="a\x00b")).encode(),
    "control in sub": json.dumps(ALFA.claims(sub="a\x1bb")).encode(),
    "lone surrogate in sub": json.dumps(ALFA.claims(sub="a\ud800b")).encode(),
    "direction override in sub": json.dumps(ALFA.claims(sub="a\u202eb")).encode(),
    **{
        f"U+{ord(odd):04X} in sub": json.dumps(ALFA.claims(sub=f"a{odd}b")).encode()
        for odd in "\u061c\u200b\u200e\u200f\u2028\u2029\u2060\u2069\ufeff\ufffe\uffff\x85"
    },
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


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda each: f"{encode_segment(each)}.e30.AA"))
def test_any_text_is_a_typed_refusal(token: str) -> None:
    with pytest.raises(IdentityError, match="TOKEN_MALFORMED"):
        read_token(token)
