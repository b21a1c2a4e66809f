"""Issuers: keys are loaded strictly, each with one algorithm; whoever collides changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from broker.domain.errors import IdentityError
from broker.identify.issuers import Issuer, IssuerEntry, IssuerFileError, Issuers, load
from broker.identify.key_set import read_key_set
from broker.identify.lease import Lease
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


def test_a_key_for_encryption_is_left_out_and_alone_it_is_no_set() -> None:
    """Whatever else it holds: providers publish such keys beside those for signatures."""
    foreign = {"kty": "RSA", "kid": "two", "use": "enc", "alg": "RSA-OAEP", "n": "AAAA", "e": "AQAB", "odd": 1}
    assert list(read_key_set(key_set(ec_key(), foreign))) == ["one"]
    with pytest.raises(ValueError, match="no key for signatures"):
        read_key_set(key_set(foreign))


def test_an_issuer_that_collides_changes_nothing(tmp_path: Path) -> None:
    issuers = Issuers([ALFA.entry(tmp_path)])
    before = issuers.current
    ours = before.by_url[ALFA.issuer]
    with pytest.raises(ValueError, match="another issuer"):
        issuers.put(Issuer(BRAVO.issuer, BRAVO.id, ours.keys))
    with pytest.raises(ValueError, match="another agency"):
        issuers.put(Issuer(ALFA.issuer, BRAVO.id, read_key_set(key_set(ec_key()))))
    with pytest.raises(ValueError, match="https"):
        issuers.put(Issuer("http://issuer.example", BRAVO.id, read_key_set(key_set(ec_key()))))
    issuers.put(Issuer(ALFA.issuer, ALFA.id, dict(ours.keys)))
    assert issuers.current is before


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    entry = ALFA.entry(tmp_path)
    assert entry.jwks is not None
    entry.jwks.write_bytes(b"{}")
    with pytest.raises(IssuerFileError, match=entry.jwks.name):
        load(entry)


def test_other_keys_are_another_generation(tmp_path: Path) -> None:
    issuers = Issuers([ALFA.entry(tmp_path)])
    before = issuers.current
    issuers.put(Issuer(ALFA.issuer, ALFA.id, read_key_set(key_set(ec_key(kid="new")))))
    assert list(issuers.current.by_url[ALFA.issuer].keys) == ["new"]
    assert issuers.current.generation > before.generation
    issuers.drop(ALFA.issuer)
    assert issuers.current.by_url == {}
    assert issuers.current.generation > before.generation + 1


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IssuerFileError, match="absent"):
        Issuers([IssuerEntry(ALFA.issuer, ALFA.id, tmp_path / "absent.json")])


def test_an_issuer_is_an_https_url(tmp_path: Path) -> None:
    with pytest.raises(IssuerFileError, match="https"):
        load(IssuerEntry("http://issuer.example", ALFA.id, ALFA.entry(tmp_path).jwks))


class TwoClocks:
    """A wall clock and a monotonic one, each set by the test."""

    wall_s = float(NOW)
    monotonic_s = 0.0

    def now_us(self) -> int:
        return round(self.wall_s * 1_000_000)

    def monotonic_us(self) -> int:
        return round(self.monotonic_s * 1_000_000)


@pytest.mark.parametrize(
    ("wall", "monotonic", "holds"), [(60, 60, True), (61, 61, False), (-999, 61, False), (61, 1, False)]
)
def test_a_lease_ends_by_whichever_clock_says_so(wall: float, monotonic: float, holds: bool) -> None:
    """A clock that is set back prolongs nothing."""
    clock = TwoClocks()
    lease = Lease(clock, 60)
    assert not lease.holds()
    lease.confirm()
    clock.wall_s, clock.monotonic_s = NOW + wall, monotonic
    assert lease.holds() is holds


def test_a_lease_counts_from_when_the_keys_were_read_and_never_from_the_future() -> None:
    clock = TwoClocks()
    lease = Lease(clock, 60)
    lease.confirm((NOW + 1) * 1_000_000)
    assert not lease.holds()
    lease.confirm((NOW - 50) * 1_000_000)
    clock.monotonic_s = 10
    assert lease.holds()
    clock.monotonic_s = 11
    assert not lease.holds()


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
