"""MUSTs 1 to 4 and 6 of revocation lists: what a file must hold before anybody believes it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from broker.identify import revocation_list as module
from broker.identify.list_numbers import ListNumbers
from broker.identify.revocation_list import ListError, RevocationLists, read_lists
from tests.support.identities import (
    CA_EXTENSIONS,
    Leaf,
    Signer,
    authority,
    ed25519_key,
    key_usage,
    list_der,
    p256,
    read_list,
    revocation_list,
    root,
    rsa_key,
)

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def list_pem() -> bytes:
    return revocation_list(root()).public_bytes(serialization.Encoding.PEM)


def partition(**chosen: object) -> x509.IssuingDistributionPoint:
    whole = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**whole, **chosen})  # type: ignore[arg-type]


def test_pem_and_der_are_the_same_list() -> None:
    leaf = Leaf().certificate()
    made = revocation_list(root(), leaf, number=7)
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        found = read_list(made.public_bytes(encoding))
        assert (found.number, found.serials) == (7, {leaf.serial_number})
        assert found.is_signed_by(root().certificate)


def test_a_pem_file_may_hold_the_lists_of_several_authorities() -> None:
    other = revocation_list(authority("lower", root()), number=3).public_bytes(serialization.Encoding.PEM)
    assert [one.number for one in read_lists(list_pem() + b"\n" + other.replace(b"\n", b"\r\n"))] == [1, 3]


UNFIT: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "junk": lambda: b"\x30\x82",
    "a certificate": lambda: Leaf().pem(),
    "a list and a certificate": lambda: list_pem() + Leaf().pem(),
    "a certificate and a list": lambda: Leaf().pem() + list_pem(),
    "a list that does not end": lambda: list_pem().replace(b"-----END", b"----END"),
    "a list and the beginning of another": lambda: list_pem() + list_pem()[:200],
    "65 lists": lambda: list_pem() * 65,
    "more after its end": lambda: list_der(root()) + b"\x00",
    "no number": lambda: list_der(root(), number=0),
    "a number of 21 bytes": lambda: list_der(root(), number=2**160),
    "critical number": lambda: list_der(root(), number=0, extra=[(x509.CRLNumber(3), True)]),
    "critical and unknown": lambda: list_der(root(), extra=[(UNKNOWN, True)]),
    "delta": lambda: list_der(root(), extra=[(x509.DeltaCRLIndicator(1), True)]),
    "delta, softly": lambda: list_der(root(), extra=[(x509.DeltaCRLIndicator(1), False)]),
    "indirect": lambda: list_der(root(), extra=[(partition(indirect_crl=True), True)]),
    "only users": lambda: list_der(root(), extra=[(partition(only_contains_user_certs=True), True)]),
    "only authorities, softly": lambda: list_der(root(), extra=[(partition(only_contains_ca_certs=True), False)]),
    "an entry of another issuer": lambda: list_der(
        root(),
        Leaf().certificate(),
        entry=[(x509.CertificateIssuer([x509.DirectoryName(root().subject)]), True)],
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_is_no_whole_list_is_refused(case: str) -> None:
    with pytest.raises(ListError):
        read_lists(UNFIT[case]())


def test_reasons_and_dates_of_entries_are_no_obstacle() -> None:
    entry = [
        (x509.CRLReason(x509.ReasonFlags.key_compromise), False),
        (x509.InvalidityDate(datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)), False),
    ]
    assert len(read_list(list_der(root(), Leaf().certificate(), entry=entry)).serials) == 1


def test_a_list_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    content = list_der(root(), Leaf().certificate())
    monkeypatch.setattr(module, "LARGEST_FILE", len(content) - 1)
    with pytest.raises(ListError, match="larger"):
        read_list(content)


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 1)
    with pytest.raises(ListError, match="entries"):
        read_list(list_der(root(), Leaf().certificate(), Leaf().certificate()))


WHOLE = list_der(root(), Leaf().certificate())


class TestSignature:
    """MUST 4."""

    @settings(max_examples=200, deadline=None)
    @given(at=st.integers(0, 10_000), value=st.integers(0, 255))
    def test_a_list_with_any_byte_changed_is_nobodys(self, at: int, value: int) -> None:
        changed = bytearray(WHOLE)
        changed[at % len(changed)] = value
        assume(changed != WHOLE)
        try:
            (found,) = read_lists(bytes(changed))
        except ListError:
            return
        assert not found.is_signed_by(root().certificate)

    def test_a_changed_byte_of_the_list_is_found(self) -> None:
        leaf = Leaf().certificate()
        content = bytearray(list_der(root(), leaf))
        serial = leaf.serial_number.to_bytes(20, "big")
        content[content.index(serial.lstrip(b"\x00")) + 3] ^= 1
        assert not read_list(bytes(content)).is_signed_by(root().certificate)

    def test_another_key_of_the_same_name(self) -> None:
        stranger = authority("test root", key=p256("stranger"))
        assert not read_list(list_der(stranger)).is_signed_by(root().certificate)

    def test_another_name_of_the_same_key(self) -> None:
        other = authority("other name", key=root().key)
        assert not read_list(list_der(other)).is_signed_by(root().certificate)

    def test_an_authority_without_crl_sign(self) -> None:
        lower = authority("no lists", extensions=(CA_EXTENSIONS[0], (key_usage(key_cert_sign=True), True)))
        assert not read_list(list_der(lower)).is_signed_by(lower.certificate)

    def test_a_weak_hash(self) -> None:
        assert not read_list(list_der(root(), algorithm=hashes.SHA224())).is_signed_by(root().certificate)

    def test_a_weak_key(self) -> None:
        weak = authority("weak lists", key=rsa_key(1024))
        assert not read_list(list_der(weak)).is_signed_by(weak.certificate)

    def test_ed25519(self) -> None:
        edwards = authority("edwards", key=ed25519_key("lists"), algorithm=None)
        assert read_list(list_der(edwards, algorithm=None)).is_signed_by(edwards.certificate)


class TestNumbers:
    """MUST 6."""

    def counts(self, lists: RevocationLists, *added: bytes, signer: Signer | None = None) -> bool:
        lists.replace([read_list(each) for each in added])
        return lists.of((signer or root()).certificate) is not None

    def test_a_lower_number_does_not_count_after_a_higher(self) -> None:
        lists = RevocationLists()
        assert self.counts(lists, list_der(root(), number=5))
        assert not self.counts(lists, list_der(root(), number=4))
        assert not self.counts(lists)
        assert not self.counts(lists, list_der(root(), number=4)), "nor after none at all"

    def test_the_same_and_a_higher_do(self) -> None:
        lists = RevocationLists()
        assert all(self.counts(lists, list_der(root(), number=number)) for number in (5, 5, 6))

    def test_another_key_of_the_same_name_counts_for_itself(self) -> None:
        """No list here says which key signed it."""
        other = authority("test root", key=p256("stranger"))
        lists = RevocationLists()
        assert self.counts(lists, list_der(root(), number=100), list_der(other, number=1))
        assert self.counts(lists, list_der(root(), number=100), list_der(other, number=1), signer=other)
        assert self.counts(lists, list_der(root(), number=100), list_der(other, number=2), signer=other)

    def test_a_renewed_certificate_goes_on(self) -> None:
        lists = RevocationLists()
        assert self.counts(lists, list_der(root(), number=5))
        renewed = authority("test root", ends=20_000_000)
        assert not self.counts(lists, list_der(root(), number=4), signer=renewed)

    def test_what_nobody_signed_raises_no_number(self) -> None:
        stranger = authority("test root", key=p256("stranger"))
        lists = RevocationLists()
        assert self.counts(lists, list_der(stranger, number=2**159), list_der(root(), number=5))
        assert self.counts(lists, list_der(root(), number=5))


class TestNumbersOverRestarts:
    """MUSTs 1 to 3 of `list_numbers`."""

    def test_they_are_kept_and_never_go_down(self, tmp_path: Path) -> None:
        one, other = (ListNumbers(tmp_path / "lists") for _ in range(2))
        for numbers, number in ((one, 2**160 - 1), (other, 4)):
            numbers.note(root().certificate, number)
        for numbers in (one, other, one):
            numbers.save(numbers.unsaved)
        assert ListNumbers(tmp_path / "lists").least(root().certificate) == 2**160 - 1
        assert not one.unsaved

    def test_former_ones_are_removed(self, tmp_path: Path) -> None:
        numbers = ListNumbers(tmp_path / "lists")
        for number in range(1, 20):
            numbers.note(root().certificate, number)
            numbers.save(numbers.unsaved)
        assert len(list((tmp_path / "lists").iterdir())) == 1

    def test_each_authority_has_its_own(self, tmp_path: Path) -> None:
        numbers = ListNumbers(tmp_path / "lists")
        numbers.note(root().certificate, 7)
        numbers.note(authority("lower", root()).certificate, 3)
        numbers.save(numbers.unsaved)
        found = ListNumbers(tmp_path / "lists")
        assert (found.least(root().certificate), found.least(authority("lower", root()).certificate)) == (7, 3)

    def test_a_folder_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "lists").write_text("a file")
        with pytest.raises(OSError, match="lists"):
            ListNumbers(tmp_path / "lists")
