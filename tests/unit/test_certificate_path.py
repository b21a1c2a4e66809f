"""Rules 2, 5 and 10 to 12 of the certificate profile: what stands above the certificate, and when all of it holds."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.domain.errors import IdentityError
from broker.identify.path import MOST_SIGNATURES
from broker.identify.roots import Anchor, TrustRoots
from tests.support.identities import (
    CA_EXTENSIONS,
    NOW,
    Leaf,
    SetClock,
    Signer,
    authority,
    key_usage,
    p256,
    pem,
    profile,
    root,
    rsa_key,
    spiffe,
)


def refusal(leaf: bytes, chain: bytes = b"", *authorities: Signer, **settings: object) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        profile(SetClock(), *authorities, **settings).check(leaf, chain)
    return caught.value


class TestRule2Chain:
    def test_two_intermediates_are_accepted_in_any_order(self) -> None:
        upper = authority("upper", root())
        lower = authority("lower", upper)
        leaf = Leaf(signer=lower).pem()
        checked = profile(SetClock(), upper, lower)
        above = tuple(each.certificate.fingerprint(hashes.SHA256()) for each in (lower, upper, root()))
        assert checked.check(leaf, pem(lower.certificate, upper.certificate)).authorities == above
        assert checked.check(leaf, pem(upper.certificate, lower.certificate)).authorities == above

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
            (*CA_EXTENSIONS, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)),
            (*CA_EXTENSIONS, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True)),
            (*CA_EXTENSIONS, (x509.PolicyConstraints(0, None), True)),
            (*CA_EXTENSIONS, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)),
        ],
        ids=["none", "not a CA", "no key usage", "may not sign", "other purpose", "only other", "policies", "unknown"],
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
        assert profile(SetClock(), upper).check(Leaf(signer=upper).pem(), pem(upper.certificate))
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
        assert profile(SetClock(), lower).check(leaf, chain).not_after == NOW + 10
        with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
            profile(SetClock(NOW + 11), lower).check(leaf, chain)

    def test_renewed_intermediate_of_the_same_key_carries_on(self) -> None:
        old, new = authority("lower", root(), ends=10), authority("lower", root(), ends=500)
        for chain in (pem(old.certificate, new.certificate), pem(new.certificate, old.certificate)):
            assert profile(SetClock(NOW + 11), old).check(Leaf(signer=old).pem(), chain).not_after == NOW + 500

    def test_expired_root_ends_the_certificate(self) -> None:
        old = authority("old root", ends=5)
        checked = profile(SetClock(NOW + 6), old, roots=TrustRoots.from_pem(pem(old.certificate)))
        with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
            checked.check(Leaf(signer=old).pem())

    def test_renewed_root_of_the_same_key_carries_on(self) -> None:
        old, new = authority("old root", ends=5), authority("old root", ends=500_000)
        roots = TrustRoots.from_pem(pem(old.certificate, new.certificate))
        assert profile(SetClock(NOW + 6), old, roots=roots).check(Leaf(signer=old).pem())


class TestRule16Work:
    def test_roots_of_one_name_cost_a_bounded_number_of_signatures(self) -> None:
        same = [Anchor(authority("test root", key=p256(f"other {n}")).certificate) for n in range(MOST_SIGNATURES + 1)]
        roots = TrustRoots(same)
        assert refusal(Leaf().pem(), roots=roots).detail.startswith("rule 16")

    def test_intermediates_that_signed_one_another_end(self) -> None:
        one = authority("one", root(), key=p256("ring"))
        two = authority("two", one, key=p256("ring"))
        back = authority("one", two, key=p256("ring"))
        forth = authority("two", back, key=p256("ring"))
        leaf = Leaf(signer=forth).pem()
        assert refusal(leaf, pem(back.certificate, forth.certificate)).detail.startswith("rule 10, 11")
