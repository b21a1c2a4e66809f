"""Rules 1 to 10 and 16 of the certificate profile, each broken alone; and what is allowed, accepted.

What is above the certificate is tested in `test_certificate_path`, what is revoked in `test_certificate_revocation`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from broker.domain.caller import AgencyId, Peer
from broker.domain.errors import IdentityError
from tests.support.identities import (
    NOW,
    FlawedKey,
    Leaf,
    SetClock,
    authority,
    ed25519_key,
    key_usage,
    life,
    p256,
    pem,
    profile,
    root,
    rsa_key,
    spiffe,
)

LEAF_DER = Leaf().certificate().public_bytes(serialization.Encoding.DER)


def refusal(leaf: bytes, chain: bytes = b"", **settings: object) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        profile(SetClock(), **settings).check(leaf, chain)
    return caught.value


def uri(text: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(text)]


def test_fitting_certificate_names_agency_and_workload() -> None:
    certificate = Leaf(names=[spiffe("alfa", "desk/import")]).certificate()
    found = profile(SetClock()).check(pem(certificate))
    assert len(found.twins) == 1
    assert replace(found, twins=()) == Peer(
        AgencyId("police.example", "alfa"),
        "desk/import",
        certificate.fingerprint(hashes.SHA256()),
        f"{certificate.serial_number:x}",
        NOW + 86400,
        (root().certificate.fingerprint(hashes.SHA256()),),
    )


ALLOWED: dict[str, Callable[[], Leaf]] = {
    "exactly 90 days": lambda: Leaf(begins=-60, ends=life(90) - 60),
    "Ed25519 key": lambda: Leaf(key=ed25519_key("leaf")),
    "RSA-2048 key": lambda: Leaf(key=rsa_key(2048)),
    "signed with SHA-384": lambda: Leaf(algorithm=hashes.SHA384()),
    "also serverAuth": lambda: Leaf(usages=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    "a DNS name beside the URI": lambda: Leaf(names=[spiffe(), x509.DNSName("a.example")]),
    "no basic constraints": lambda: Leaf(constraints=None),
    "32 names": lambda: Leaf(names=[spiffe(), *(x509.DNSName(f"{n}.example") for n in range(31))]),
    "the other trust domain": lambda: Leaf(names=[spiffe(trust_domain="abroad.example")]),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_variants_are_accepted(case: str) -> None:
    assert profile(SetClock()).check(ALLOWED[case]().pem()).agency.agency == "alfa"


REFUSED: dict[str, Callable[[], Leaf]] = {
    "3: unknown critical extension": lambda: Leaf(
        extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]
    ),
    "3: critical name constraints": lambda: Leaf(
        extra=[(x509.NameConstraints([x509.DNSName("a.example")], None), True)]
    ),
    "4: no SAN": lambda: Leaf(names=None),
    "4: no URI": lambda: Leaf(names=[x509.DNSName("a.example")]),
    "4: two URIs": lambda: Leaf(names=[spiffe("alfa"), spiffe("bravo")]),
    "4: the same URI twice": lambda: Leaf(names=[spiffe(), spiffe()]),
    "4: SPIFFE URI and another": lambda: Leaf(names=[spiffe(), *uri("https://police.example/")]),
    "4: https": lambda: Leaf(names=uri("https://police.example/agency/alfa/gateway")),
    "4: upper-case scheme": lambda: Leaf(names=uri("SPIFFE://police.example/agency/alfa/gateway")),
    "4: no workload": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa")),
    "4: empty workload": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/")),
    "4: empty segment": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/a//b")),
    "4: empty agency": lambda: Leaf(names=uri("spiffe://police.example/agency//gateway")),
    "4: dot segments": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/../bravo")),
    "4: agency of dots": lambda: Leaf(names=uri("spiffe://police.example/agency/../gateway")),
    "4: escaped slash": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa%2Fx/gateway")),
    "4: port": lambda: Leaf(names=uri("spiffe://police.example:443/agency/alfa/gateway")),
    "4: user": lambda: Leaf(names=uri("spiffe://x@police.example/agency/alfa/gateway")),
    "4: query": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/gateway?x=1")),
    "4: fragment": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/gateway#x")),
    "4: line feed at the end": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/gateway\n")),
    "4: NUL": lambda: Leaf(names=uri("spiffe://police.example/agency/alfa/gate\x00way")),
    "4: upper-case agency": lambda: Leaf(names=uri("spiffe://police.example/agency/Alfa/gateway")),
    "4: other path": lambda: Leaf(names=uri("spiffe://police.example/bureau/alfa/gateway")),
    "4: agency of 64 characters": lambda: Leaf(names=[spiffe("a" * 64)]),
    "5: foreign trust domain": lambda: Leaf(names=[spiffe(trust_domain="other.example")]),
    "5: trust domain as a suffix": lambda: Leaf(names=[spiffe(trust_domain="x.police.example")]),
    "6: no EKU": lambda: Leaf(usages=None),
    "6: serverAuth only": lambda: Leaf(usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
    "6: anyExtendedKeyUsage only": lambda: Leaf(usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    "7: a CA": lambda: Leaf(constraints=x509.BasicConstraints(ca=True, path_length=0)),
    "7: keyCertSign": lambda: Leaf(key_usage=key_usage(digital_signature=True, key_cert_sign=True)),
    "7: cRLSign": lambda: Leaf(key_usage=key_usage(digital_signature=True, crl_sign=True)),
    "7: no digitalSignature": lambda: Leaf(key_usage=key_usage(key_agreement=True)),
    "7: name constraints": lambda: Leaf(extra=[(x509.NameConstraints([x509.DNSName("a.example")], None), False)]),
    "7: no key usage": lambda: Leaf(key_usage=None),
    "8: 90 days and a second": lambda: Leaf(begins=-60, ends=life(90) - 59),
    "8: ten years": lambda: Leaf(ends=life(3650)),
    "9: RSA-1024": lambda: Leaf(key=rsa_key(1024)),
    "9: RSA with e = 3": lambda: Leaf(key=rsa_key(2048, 3)),
    "9: RSA of the flawed generator (ROCA)": lambda: Leaf(key=FlawedKey()),
    "9: P-384": lambda: Leaf(key=ec.generate_private_key(ec.SECP384R1())),
    "9: P-224": lambda: Leaf(key=ec.generate_private_key(ec.SECP224R1())),
    "9: secp256k1": lambda: Leaf(key=ec.generate_private_key(ec.SECP256K1())),
    "10: signed with SHA-224": lambda: Leaf(algorithm=hashes.SHA224()),
    "11: another root of the same name": lambda: Leaf(signer=authority("test root", key=p256("stranger"))),
    "16: 33 names": lambda: Leaf(names=[spiffe(), *(x509.DNSName(f"{n}.example") for n in range(32))]),
    "16: 33 extensions": lambda: Leaf(
        extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{n}"), b"\x05\x00"), False) for n in range(29)]
    ),
    "11: self-signed": lambda: Leaf(signer=authority("leaf", key=p256("leaf"))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_rule_broken_alone_is_refused_as_invalid(case: str) -> None:
    error = refusal(REFUSED[case]().pem())
    assert error.reason == "CERTIFICATE_INVALID"
    # The private detail names the rule, so the right rule refused.
    broken = case.partition(":")[0]
    assert broken in error.detail.removeprefix("rule ").partition(":")[0].replace(" ", "").split(","), error.detail


class TestRule1Size:
    def test_large_leaf_is_refused_before_parsing(self) -> None:
        assert refusal(Leaf().pem() + b"\n" * 9000).detail.startswith("rule 1:")

    def test_large_chain_is_refused_before_parsing(self) -> None:
        assert refusal(Leaf().pem(), b"x" * 20_000).detail.startswith("rule 1:")

    def test_two_certificates_as_leaf_are_refused(self) -> None:
        assert refusal(Leaf().pem() * 2).detail == "rule 1"

    @pytest.mark.parametrize("junk", [b"", b"\x00", b"-----BEGIN", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END"])
    def test_junk_is_refused(self, junk: bytes) -> None:
        assert refusal(junk).reason == "CERTIFICATE_INVALID"

    @settings(max_examples=150, deadline=None)
    @given(at=st.integers(0, 10_000), value=st.integers(0, 255))
    def test_a_changed_byte_is_refused(self, at: int, value: int) -> None:
        changed = bytearray(LEAF_DER)
        changed[at % len(changed)] = value
        assume(changed != LEAF_DER)
        with pytest.raises(IdentityError):
            profile(SetClock()).check(ssl.DER_cert_to_PEM_cert(bytes(changed)).encode())


def test_the_cache_is_bounded() -> None:
    checked = profile(SetClock(), cache_size=2)
    for agency in ("alfa", "bravo", "charlie"):
        assert checked.check(Leaf(names=[spiffe(agency)]).pem()).agency.agency == agency
    assert len(checked._verdicts) == 2
