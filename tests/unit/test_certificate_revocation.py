"""Rules 13 and 14 of the certificate profile: what is revoked is refused, and so is what nobody can know of."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.domain.errors import BrokerError, IdentityError, UnavailableError
from broker.domain.standing import Revoked
from broker.identify.revocation_list import RevocationLists
from broker.identify.standing import Standing
from tests.support.forged import respelled
from tests.support.identities import (
    CA_EXTENSIONS,
    NOW,
    Leaf,
    SetClock,
    Signer,
    authority,
    key_usage,
    list_der,
    p256,
    pem,
    profile,
    read_list,
    root,
)


def in_force(*lists: bytes, oldest_hours: int = 168) -> RevocationLists:
    return RevocationLists([read_list(each) for each in lists], oldest_hours=oldest_hours)


def refusal(lists: RevocationLists, leaf: bytes, chain: bytes = b"", *, after: float = 0) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        profile(SetClock(NOW + after), lists=lists).check(leaf, chain)
    return caught.value


class TestRule13Revoked:
    def test_what_is_listed_is_refused_and_its_neighbour_is_not(self) -> None:
        leaf, other = Leaf().certificate(), Leaf().certificate()
        lists = in_force(list_der(root(), leaf))
        assert profile(SetClock(), lists=lists).check(pem(other))
        assert refusal(lists, pem(leaf)).reason == "CERTIFICATE_REVOKED"

    def test_a_new_list_ends_a_cached_verdict(self) -> None:
        leaf, lists = Leaf().certificate(), in_force(list_der(root()))
        checked = profile(SetClock(), lists=lists)
        assert checked.check(pem(leaf))
        lists.replace([read_list(list_der(root(), leaf, number=2))])
        with pytest.raises(IdentityError, match="CERTIFICATE_REVOKED"):
            checked.check(pem(leaf))

    def test_a_revoked_intermediate_ends_what_it_signed(self) -> None:
        lower = authority("lower", root())
        lists = in_force(list_der(root(), lower.certificate), list_der(lower))
        assert refusal(lists, Leaf(signer=lower).pem(), pem(lower.certificate)).reason == "CERTIFICATE_REVOKED"

    def test_a_serial_counts_for_its_own_issuer_alone(self) -> None:
        lower, leaf = authority("lower", root()), Leaf().certificate()
        lists = in_force(list_der(root()), list_der(lower, leaf))
        assert profile(SetClock(), lists=lists).check(pem(leaf))

    def test_what_is_listed_is_revoked_though_the_list_is_too_old(self) -> None:
        leaf = Leaf().certificate()
        lists = in_force(list_der(root(), leaf, ends=10))
        assert refusal(lists, pem(leaf), after=11).reason == "CERTIFICATE_REVOKED"

    @pytest.mark.parametrize("which", [0, 1, 2], ids=["leaf", "intermediate", "root"])
    def test_the_brokers_own_revocations_hold_for_the_whole_path(self, which: int) -> None:
        lower = authority("lower", root())
        peer = profile(SetClock(), lower).check(Leaf(signer=lower).pem(), pem(lower.certificate))
        standing = Standing(SetClock())
        standing.require_peer(peer)
        standing.replace(Revoked(certificates=frozenset({(peer.thumbprint, *peer.authorities)[which]})))
        with pytest.raises(IdentityError, match="CERTIFICATE_REVOKED"):
            standing.require_peer(peer)

    @pytest.mark.parametrize("which", [0, 1], ids=["leaf", "intermediate"])
    @pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1])
    def test_another_spelling_of_its_signature_is_no_way_round(self, which: int, curve: type[ec.EllipticCurve]) -> None:
        lower = authority("lower", root(), key=ec.generate_private_key(curve()))
        chain = [Leaf(signer=lower).certificate(), lower.certificate]
        checked = profile(SetClock(), lists=in_force(list_der(root()), list_der(lower)))
        revoked = Revoked(certificates=frozenset({chain[which].fingerprint(hashes.SHA256())}))
        order = (lower.key, root().key)[which].curve.group_order
        der = chain[which].public_bytes(serialization.Encoding.DER)
        chain[which] = x509.load_der_x509_certificate(respelled(der, order))
        peer = checked.check(pem(chain[0]), pem(chain[1]))
        assert revoked.certificates.isdisjoint((peer.thumbprint, *peer.authorities)), "it is another spelling"
        standing = Standing(SetClock(), revoked)
        with pytest.raises(IdentityError, match="CERTIFICATE_REVOKED"):
            standing.require_peer(peer)


class TestRule14Lists:
    """Where a list is missing or not current, everybody below its authority is refused as unknowable."""

    def unknowable(self, lists: RevocationLists, leaf: bytes, chain: bytes = b"", *, after: float = 0) -> str:
        error = refusal(lists, leaf, chain, after=after)
        assert isinstance(error, UnavailableError)
        assert error.reason == "REVOCATIONS_UNAVAILABLE"
        assert error.detail.startswith("rule 14")
        return error.detail

    def test_without_any_list(self) -> None:
        assert "test root" in self.unknowable(in_force(), Leaf().pem())

    def test_the_intermediate_has_none(self) -> None:
        lower = authority("lower", root())
        assert "lower" in self.unknowable(in_force(list_der(root())), Leaf(signer=lower).pem(), pem(lower.certificate))

    def test_the_root_has_none(self) -> None:
        lower = authority("lower", root())
        assert "test root" in self.unknowable(
            in_force(list_der(lower)), Leaf(signer=lower).pem(), pem(lower.certificate)
        )

    def test_one_signed_by_a_stranger_of_the_same_name(self) -> None:
        stranger = authority("test root", key=p256("stranger"))
        self.unknowable(in_force(list_der(stranger)), Leaf().pem())

    def test_an_authority_that_may_not_sign_lists(self) -> None:
        lower = authority("lower", root(), extensions=(CA_EXTENSIONS[0], (key_usage(key_cert_sign=True), True)))
        self.unknowable(in_force(list_der(root()), list_der(lower)), Leaf(signer=lower).pem(), pem(lower.certificate))

    @pytest.mark.parametrize(
        ("begins", "ends", "hours", "after", "known"),
        [
            (-60, 3600, 168, 3600, True),
            (-60, 3600, 168, 3601, False),
            (-60, 30 * 86400, 1, 3540, True),
            (-60, 30 * 86400, 1, 3541, False),
            (60, 3600, 168, 0, True),
            (61, 3600, 168, 0, False),
        ],
        ids=["its last second", "past its end", "oldest", "too old", "within the skew", "from the future"],
    )
    def test_the_edges_of_its_time(self, begins: float, ends: float, hours: int, after: float, known: bool) -> None:
        lists = in_force(list_der(root(), begins=begins, ends=ends), oldest_hours=hours)
        if known:
            assert profile(SetClock(NOW + after), lists=lists).check(Leaf().pem())
        else:
            self.unknowable(lists, Leaf().pem(), after=after)

    def test_a_list_ages_though_the_verdict_is_cached(self) -> None:
        clock = SetClock()
        checked, leaf = profile(clock, lists=in_force(list_der(root(), ends=10))), Leaf().pem()
        assert checked.check(leaf)
        clock.seconds += 11
        with pytest.raises(UnavailableError, match="REVOCATIONS_UNAVAILABLE"):
            checked.check(leaf)

    def test_a_clock_that_steps_back_opens_nothing(self) -> None:
        clock = SetClock()
        checked, leaf = profile(clock, lists=in_force(list_der(root(), begins=-10))), Leaf(begins=-900).pem()
        assert checked.check(leaf)
        clock.seconds -= 71
        with pytest.raises(UnavailableError, match="REVOCATIONS_UNAVAILABLE"):
            checked.check(leaf)
        clock.seconds -= 900
        with pytest.raises(IdentityError, match="CERTIFICATE_EXPIRED"):
            checked.check(leaf)

    def test_the_number_that_is_highest_counts(self) -> None:
        leaf = Leaf().certificate()
        lists = in_force(list_der(root(), leaf, number=8), list_der(root(), number=7))
        assert refusal(lists, pem(leaf)).reason == "CERTIFICATE_REVOKED"

    def test_two_keys_of_one_name_have_a_list_each(self) -> None:
        other: Signer = authority("lower", root(), key=p256("other lower"))
        lower, leaf = authority("lower", root()), Leaf(signer=other).certificate()
        lists = in_force(list_der(root()), list_der(lower, number=9), list_der(other, leaf, number=2))
        assert refusal(lists, pem(leaf), pem(other.certificate)).reason == "CERTIFICATE_REVOKED"
        assert profile(SetClock(), lists=lists).check(Leaf(signer=lower).pem(), pem(lower.certificate))
