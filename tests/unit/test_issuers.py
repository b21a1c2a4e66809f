"""Issuers: keys are loaded strictly, each with one algorithm; a bad file changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from broker.domain.errors import IdentityError
from broker.identify.issuers import IssuerEntry, IssuerFileError, Issuers, read_key_set
from broker.identify.token import TokenVerifier
from certs.issuer import encode_segment
from tests.support.identities import AUDIENCE, NOW, Agency, SetClock, compact, ed25519_key, p256, rsa_key

ALFA, BRAVO = Agency("alfa"), Agency("bravo")


def ec_key(**changes: object) -> dict[str, Any]:
    numbers = p256("jwk").public_key().public_numbers()
    coordinates = {each: encode_segment(getattr(numbers, each).to_bytes(32, "big")) for each in ("x", "y")}
    return {"kty": "EC", "kid": "one", "crv": "P-256", **coordinates, **changes}


def okp_key(**changes: object) -> dict[str, Any]:
    x = encode_segment(ed25519_key("jwk").public_key().public_bytes_raw())
    return {"kty": "OKP", "kid": "one", "crv": "Ed25519", "x": x, **changes}


def rsa_jwk(key: rsa.RSAPrivateKey | None = None, **changes: object) -> dict[str, Any]:
    numbers = (key or rsa_key(2048)).public_key().public_numbers()
    members = {
        each: encode_segment(value.to_bytes((value.bit_length() + 7) // 8, "big"))
        for each, value in (("n", numbers.n), ("e", numbers.e))
    }
    return {"kty": "RSA", "kid": "one", "alg": "RS256", **members, **changes}


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def without(key: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != member}


ALLOWED: dict[str, tuple[dict[str, Any], str]] = {
    "EC": (ec_key(), "ES256"),
    "EC with everything": (ec_key(alg="ES256", use="sig", key_ops=["verify"], x5t="AAAA"), "ES256"),
    "Ed25519": (okp_key(), "EdDSA"),
    "RSA": (rsa_jwk(), "RS256"),
    "RSA-PSS": (rsa_jwk(alg="PS256"), "PS256"),
    "RSA-4096": (rsa_jwk(rsa_key(4096)), "RS256"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_keys_have_one_algorithm(case: str) -> None:
    key, algorithm = ALLOWED[case]
    assert read_key_set(key_set(key))["one"].algorithm == algorithm


REFUSED: dict[str, bytes] = {
    "not JSON": b"x",
    "empty": b"",
    "list": b"[]",
    "no keys": b"{}",
    "empty keys": key_set(),
    "keys null": b'{"keys": null}',
    "a key that is text": key_set("x"),
    "member beside keys": b'{"keys": [], "x": 1}',
    "duplicate member": key_set(ec_key()).replace(b'"kty": "EC"', b'"kty": "EC", "kty": "EC"'),
    "33 keys": key_set(*(ec_key(kid=str(each)) for each in range(33))),
    "64 KiB": key_set(ec_key()) + b" " * 65536,
    "same kid": key_set(ec_key(), okp_key()),
    "same key": key_set(ec_key(kid="one"), ec_key(kid="two")),
    "no kid": key_set(without(ec_key(), "kid")),
    "empty kid": key_set(ec_key(kid="")),
    "kid number": key_set(ec_key(kid=1)),
    "no kty": key_set(without(ec_key(), "kty")),
    "kty oct": key_set({"kty": "oct", "kid": "one", "alg": "HS256", "k": "AAAA"}),
    "kty AKP": key_set({"kty": "AKP", "kid": "one", "pub": "AAAA"}),
    "kty lower case": key_set(ec_key(kty="ec")),
    "kty list": key_set(ec_key(kty=["EC"])),
    "EC private": key_set(ec_key(d="AAAA")),
    "OKP private": key_set(okp_key(d="AAAA")),
    "RSA private": key_set(rsa_jwk(p="AAAA")),
    "symmetric member": key_set(ec_key(k="AAAA")),
    "unknown member": key_set(ec_key(colour="blue")),
    "x5u": key_set(ec_key(x5u="https://evil.example")),
    "use enc": key_set(ec_key(use="enc")),
    "use null": key_set(ec_key(use=None)),
    "key_ops sign": key_set(ec_key(key_ops=["sign"])),
    "key_ops both": key_set(ec_key(key_ops=["sign", "verify"])),
    "key_ops empty": key_set(ec_key(key_ops=[])),
    "key_ops text": key_set(ec_key(key_ops="verify")),
    "EC with alg RS256": key_set(ec_key(alg="RS256")),
    "EC with alg HS256": key_set(ec_key(alg="HS256")),
    "EC with alg none": key_set(ec_key(alg="none")),
    "EC with alg null": key_set(ec_key(alg=None)),
    "P-384": key_set(ec_key(crv="P-384")),
    "no x": key_set(without(ec_key(), "x")),
    "point off the curve": key_set(ec_key(y=encode_segment(b"\x01" * 32))),
    "short coordinate": key_set(ec_key(x=encode_segment(b"\x01" * 31))),
    "padded coordinate": key_set(ec_key(x=ec_key()["x"] + "=")),
    "coordinate number": key_set(ec_key(x=1)),
    "Ed448": key_set(okp_key(crv="Ed448")),
    "X25519": key_set(okp_key(crv="X25519")),
    "OKP with alg ES256": key_set(okp_key(alg="ES256")),
    "RSA without alg": key_set(without(rsa_jwk(), "alg")),
    "RSA with alg RS1": key_set(rsa_jwk(alg="RS1")),
    "RSA with alg RSA-OAEP": key_set(rsa_jwk(alg="RSA-OAEP")),
    "RSA-1024": key_set(rsa_jwk(rsa_key(1024))),
    "RSA e = 3": key_set(rsa_jwk(rsa_key(2048, 3))),
    "RSA e even": key_set(rsa_jwk(e=encode_segment((65538).to_bytes(3, "big")))),
    "RSA e = 1": key_set(rsa_jwk(e="AQ")),
    "RSA n with a leading zero": key_set(rsa_jwk(n=encode_segment(b"\x00" + b"\xff" * 256))),
    "RSA n of 16,384 bits": key_set(rsa_jwk(n=encode_segment(b"\xff" * 2048))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_doubtful_key_files_are_refused_whole(case: str) -> None:
    with pytest.raises(ValueError):
        read_key_set(REFUSED[case])


def test_a_bad_file_is_named_and_the_keys_in_force_stay(tmp_path: Path) -> None:
    entry = ALFA.entry(tmp_path)
    issuers = Issuers([entry])
    before = issuers.current
    entry.jwks.write_bytes(b"{}")
    with pytest.raises(IssuerFileError, match=entry.jwks.name):
        issuers.reload()
    assert issuers.current is before


def test_reload_takes_up_a_changed_file(tmp_path: Path) -> None:
    entry = ALFA.entry(tmp_path)
    issuers = Issuers([entry])
    entry.jwks.write_bytes(key_set(ec_key(kid="new")))
    assert "new" not in issuers.current.by_url[ALFA.issuer].keys
    generation = issuers.current.generation
    issuers.reload()
    assert list(issuers.current.by_url[ALFA.issuer].keys) == ["new"]
    assert issuers.current.generation > generation


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IssuerFileError, match="absent"):
        Issuers([IssuerEntry(ALFA.issuer, ALFA.id, tmp_path / "absent.json")])


def test_an_issuer_is_listed_once_and_is_an_https_url(tmp_path: Path) -> None:
    entry = ALFA.entry(tmp_path)
    with pytest.raises(IssuerFileError, match="twice"):
        Issuers([entry, entry])
    with pytest.raises(IssuerFileError, match="https"):
        Issuers([IssuerEntry("http://issuer.example", ALFA.id, entry.jwks)])


def test_two_agencies_cannot_share_a_key(tmp_path: Path) -> None:
    entry = ALFA.entry(tmp_path)
    with pytest.raises(IssuerFileError, match="another issuer"):
        Issuers([entry, IssuerEntry(BRAVO.issuer, BRAVO.id, entry.jwks)])


def _sign_rs256(each: bytes) -> bytes:
    return rsa_key(2048).sign(each, padding.PKCS1v15(), hashes.SHA256())


def _sign_ps256(each: bytes) -> bytes:
    return rsa_key(2048).sign(each, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


@pytest.mark.parametrize(
    ("key", "algorithm", "signer"),
    [
        (okp_key(), "EdDSA", lambda each: ed25519_key("jwk").sign(each)),
        (rsa_jwk(), "RS256", _sign_rs256),
        (rsa_jwk(alg="PS256"), "PS256", _sign_ps256),
    ],
    ids=["EdDSA", "RS256", "PS256"],
)
def test_each_algorithm_verifies_and_no_other_stands_in(
    tmp_path: Path, key: dict[str, Any], algorithm: str, signer: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(key))
    tokens = TokenVerifier(Issuers([IssuerEntry(ALFA.issuer, ALFA.id, file)]), AUDIENCE, SetClock(NOW))
    payload = json.dumps(ALFA.claims()).encode()
    for named in ("EdDSA", "RS256", "PS256", "ES256"):
        token = compact(json.dumps(ALFA.header(kid="one", alg=named)).encode(), payload, signer)
        if named == algorithm:
            assert tokens.check(token, ALFA.peer).user == "o.reyes"
        else:
            with pytest.raises(IdentityError, match="TOKEN_INVALID"):
                tokens.check(token, ALFA.peer)
