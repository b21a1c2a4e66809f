"""Each rule of the certificate profile, broken alone; and what is allowed, accepted."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from broker.domain.caller import AgencyId, Peer
from broker.domain.errors import IdentityError
from broker.identify.roots import Anchor, Revocations, TrustRoots
from tests.support.identities import (
    CA_EXTENSIONS,
    NOW,
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
    assert profile(SetClock()).check(pem(certificate)) == Peer(
        AgencyId("police.example", "alfa"),
        "desk/import",
        certificate.fingerprint(hashes.SHA256()),
        f"{certificate.serial_number:x}",
        NOW + 86400,
    )


ALLOWED: dict[str, Callable[[], Leaf]] = {
    "exactly 90 days": lambda: Leaf(begins=-60, ends=life(90) - 60),
    "Ed25519 key": lambda: Leaf(key=ed25519_key("leaf")),
    "RSA-2048 key": lambda: Leaf(key=rsa_key(2048)),
    "signed with SHA-384": lambda: Leaf(algorithm=hashes.SHA384()),
    "also serverAuth": lambda: Leaf(usages=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    "a DNS name beside the URI": lambda: Leaf(names=[spiffe(), x509.DNSName("a.example")]),
    "no basic constraints": lambda: Leaf(constraints=None),
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
    "7: no key usage": lambda: Leaf(key_usage=None),
    "8: 90 days and a second": lambda: Leaf(begins=-60, ends=life(90) - 59),
    "8: ten years": lambda: Leaf(ends=life(3650)),
    "9: RSA-1024": lambda: Leaf(key=rsa_key(1024)),
    "9: RSA with e = 3": lambda: Leaf(key=rsa_key(2048, 3)),
    "9: P-384": lambda: Leaf(key=ec.generate_private_key(ec.SECP384R1())),
    "9: P-224": lambda: Leaf(key=ec.generate_private_key(ec.SECP224R1())),
    "9: secp256k1": lambda: Leaf(key=ec.generate_private_key(ec.SECP256K1())),
    "10: signed with SHA-224": lambda: Leaf(algorithm=hashes.SHA224()),
    "11: another root of the same name": lambda: Leaf(signer=authority("test root", key=p256("stranger"))),
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


class TestRule2Chain:
    def test_two_intermediates_are_accepted_in_any_order(self) -> None:
        upper = authority("upper", root())
        lower = authority("lower", upper)
        leaf = Leaf(signer=lower).pem()
        assert profile(SetClock()).check(leaf, pem(lower.certificate, upper.certificate))
        assert profile(SetClock()).check(leaf, pem(upper.certificate, lower.certificate))

    def test_three_intermediates_are_refused(self) -> None:
        signer = root()
        chain = []
        for label in ("one", "two", "three"):
            signer = authority(label, signer)
            chain.append(signer.certificate)
        assert refusal(Leaf(signer=signer).pem(), pem(*chain)).detail == "rule 2"

    def test_missing_intermediate_is_refused(self) -> None:
        assert refusal(Leaf(signer=authority("lower", root())).pem()).detail.startswith("rule 10, 11")


class TestRule11Path:
    @pytest.mark.parametrize(
        "extensions",
        [
            (),
            ((x509.BasicConstraints(ca=False, path_length=None), True), CA_EXTENSIONS[1]),
            (CA_EXTENSIONS[0],),
            (CA_EXTENSIONS[0], (key_usage(digital_signature=True), True)),
            (*CA_EXTENSIONS, (x509.NameConstraints([x509.DNSName("a.example")], None), True)),
            (*CA_EXTENSIONS, (x509.NameConstraints([x509.DNSName("a.example")], None), False)),
            (*CA_EXTENSIONS, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)),
        ],
        ids=["none", "not a CA", "no key usage", "may not sign", "constraints", "soft constraints", "unknown"],
    )
    def test_unfit_intermediate_is_refused(self, extensions: tuple[tuple[x509.ExtensionType, bool], ...]) -> None:
        lower = authority("lower", root(), extensions=extensions)
        assert refusal(Leaf(signer=lower).pem(), pem(lower.certificate)).detail.startswith("rule 10, 11")

    def test_weak_intermediate_is_refused(self) -> None:
        lower = authority("weak", root(), key=rsa_key(1024))
        assert refusal(Leaf(signer=lower).pem(), pem(lower.certificate)).reason == "CERTIFICATE_INVALID"

    def test_weakly_signed_intermediate_is_refused(self) -> None:
        lower = authority("lower", root(), algorithm=hashes.SHA224())
        assert refusal(Leaf(signer=lower).pem(), pem(lower.certificate)).reason == "CERTIFICATE_INVALID"

    def test_path_length_is_kept(self) -> None:
        upper = authority(
            "upper", root(), extensions=((x509.BasicConstraints(ca=True, path_length=0), True), CA_EXTENSIONS[1])
        )
        lower = authority("lower", upper)
        assert profile(SetClock()).check(Leaf(signer=upper).pem(), pem(upper.certificate))
        chain = pem(lower.certificate, upper.certificate)
        assert refusal(Leaf(signer=lower).pem(), chain).reason == "CERTIFICATE_INVALID"

    def test_another_leaf_cannot_sign(self) -> None:
        agency = Leaf().certificate()
        forged = Leaf(signer=authority("leaf", key=p256("leaf")), key=p256("forged"))
        assert refusal(forged.pem(), pem(agency)).reason == "CERTIFICATE_INVALID"

    def test_rotated_roots_end_an_old_verdict(self) -> None:
        roots = TrustRoots.from_pem(pem(root().certificate))
        checked = profile(SetClock(), roots=roots)
        leaf = Leaf().pem()
        assert checked.check(leaf)
        roots.replace([Anchor(authority("new root").certificate)])
        with pytest.raises(IdentityError, match="CERTIFICATE_INVALID"):
            checked.check(leaf)

    def test_root_speaks_only_for_its_trust_domains(self) -> None:
        roots = TrustRoots.from_pem(pem(root().certificate), ["abroad.example"])
        assert profile(SetClock(), roots=roots).check(Leaf(names=[spiffe(trust_domain="abroad.example")]).pem())
        assert refusal(Leaf().pem(), roots=roots).detail.startswith("rule 5")

    @pytest.mark.parametrize("unfit", [Leaf().certificate(), authority("weak", key=rsa_key(1024)).certificate])
    def test_unfit_root_is_not_loaded_and_the_former_stay(self, unfit: x509.Certificate) -> None:
        roots = TrustRoots.from_pem(pem(root().certificate))
        before = roots.current
        with pytest.raises(ValueError, match="authority"):
            roots.replace([Anchor(unfit)])
        assert roots.current is before


class TestRule12Time:
    @pytest.mark.parametrize(("seconds", "valid"), [(-61, False), (-60, True), (86400, True), (86401, False)])
    def test_both_ends_of_the_validity_are_inclusive(self, seconds: int, valid: bool) -> None:
        checked = profile(SetClock(NOW + seconds))
        if valid:
            assert checked.check(Leaf().pem())
        else:
            with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
                checked.check(Leaf().pem())

    def test_expiry_is_compared_though_the_verdict_is_cached(self) -> None:
        clock = SetClock()
        checked = profile(clock)
        leaf = Leaf(ends=10).pem()
        assert checked.check(leaf)
        clock.seconds += 11
        with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
            checked.check(leaf)

    def test_expired_intermediate_ends_the_certificate(self) -> None:
        lower = authority("lower", root(), ends=10)
        leaf, chain = Leaf(signer=lower).pem(), pem(lower.certificate)
        assert profile(SetClock()).check(leaf, chain).not_after == NOW + 10
        with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
            profile(SetClock(NOW + 11)).check(leaf, chain)

    def test_expired_root_ends_the_certificate(self) -> None:
        old = authority("old root", ends=5)
        checked = profile(SetClock(NOW + 6), roots=TrustRoots.from_pem(pem(old.certificate)))
        with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
            checked.check(Leaf(signer=old).pem())

    def test_renewed_root_of_the_same_key_carries_on(self) -> None:
        old, new = authority("old root", ends=5), authority("old root", ends=500_000)
        roots = TrustRoots.from_pem(pem(old.certificate, new.certificate))
        assert profile(SetClock(NOW + 6), roots=roots).check(Leaf(signer=old).pem())


class TestRule13Revocation:
    def test_revoked_by_thumbprint_after_a_cached_verdict(self) -> None:
        revocations = Revocations()
        checked = profile(SetClock(), revocations=revocations)
        leaf = Leaf().pem()
        revocations.revoke(checked.check(leaf).thumbprint)
        with pytest.raises(IdentityError, match="CERTIFICATE_REVOKED"):
            checked.check(leaf)

    def test_revoked_by_issuer_and_serial(self) -> None:
        leaf, other = Leaf().certificate(), Leaf().certificate()
        revocations = Revocations()
        revocations.replace(serials=[(leaf.issuer.public_bytes(), leaf.serial_number)])
        checked = profile(SetClock(), revocations=revocations)
        assert checked.check(pem(other))
        with pytest.raises(IdentityError, match="CERTIFICATE_REVOKED"):
            checked.check(pem(leaf))

    def test_revoked_intermediate_ends_what_it_signed(self) -> None:
        lower = authority("lower", root())
        revocations = Revocations()
        revocations.revoke(lower.certificate.fingerprint(hashes.SHA256()))
        error = refusal(Leaf(signer=lower).pem(), pem(lower.certificate), revocations=revocations)
        assert error.reason == "CERTIFICATE_REVOKED"


def test_the_cache_is_bounded() -> None:
    checked = profile(SetClock(), cache_size=2)
    for agency in ("alfa", "bravo", "charlie"):
        assert checked.check(Leaf(names=[spiffe(agency)]).pem()).agency.agency == agency
    assert len(checked._verdicts) == 2
