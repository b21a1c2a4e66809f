"""MUSTs 1 to 5 of the material that TLS and the profile are fed: what is taken from changed files, and what is not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker.domain.clock import SystemClock
from broker.domain.errors import UnavailableError
from broker.identify.certificate import CertificateProfile
from broker.identify.list_numbers import ListNumbers
from broker.identify.material import TlsFiles, TlsMaterial
from broker.identify.revocation_list import ListError
from broker.identify.server_certificate import read_pair
from certs.authority import Authority
from tests.support import forged
from tests.support.identities import SetClock


class Place:
    """An authority's folder, and the material made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder)
        self.server = self.authority.issue_broker()
        self.files = TlsFiles(
            self.server.certificate, self.server.key, self.authority.root, (self.authority.revocations,)
        )
        self.told = 0

    def open(self) -> TlsMaterial:
        numbers = ListNumbers(self.folder / "lists")
        made = TlsMaterial(self.files, ["police.example"], oldest_hours=720, clock=SystemClock(), numbers=numbers)
        made.follow(self._tell)
        return made

    def _tell(self) -> None:
        self.told += 1


def numbers(material: TlsMaterial) -> list[int]:
    return [one.number for lists in material.lists.current.by_issuer.values() for one in lists]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "authority")


async def looked(material: TlsMaterial) -> bool:
    """Two looks: a change is taken when the second sees what the first saw."""
    assert not await material.look()
    return await material.look()


async def test_nothing_is_taken_where_nothing_changed(place: Place) -> None:
    material = place.open()
    before = material.offer
    assert not await looked(material)
    assert material.offer is before


async def test_a_renewed_server_certificate_is_offered(place: Place) -> None:
    material = place.open()
    before = material.offer
    place.authority.issue_broker()
    assert await looked(material)
    assert material.offer is not before
    assert material.offer.pair.certificate_pem == place.server.certificate.read_bytes()
    assert place.told == 0, "nobody's right has changed"


async def test_a_pair_that_is_half_renewed_keeps_the_former(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    material, key = place.open(), place.server.key.read_bytes()
    before = material.offer
    place.authority.issue_broker()
    renewed = place.server.key.read_bytes()
    place.server.key.write_bytes(key)
    assert await looked(material)
    assert material.offer is before
    assert not await looked(material), "looked at once for each change"
    assert capsys.readouterr().out.count("tls_file_refused") == 1
    place.server.key.write_bytes(renewed)
    assert await looked(material)
    assert material.offer is not before


async def test_a_list_with_more_on_it_counts_and_is_told(place: Place) -> None:
    material = place.open()
    generation = material.lists.current.generation
    place.authority.revoke(0x1F)
    assert await looked(material)
    assert material.lists.current.generation == generation + 1
    assert numbers(material) == [2]
    assert place.told == 1


async def test_a_former_list_does_not_come_back(place: Place) -> None:
    former = place.authority.revocations.read_bytes()
    place.authority.revoke(0x1F)
    material = place.open()
    place.authority.revocations.write_bytes(former)
    assert await looked(material)
    assert numbers(material) == [2]
    assert place.told == 0


async def test_a_former_list_does_not_come_back_over_a_restart(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    former = place.authority.revocations.read_bytes()
    place.authority.revoke(0x1F)
    material = place.open()
    material.start()
    await material.aclose()
    latest = place.authority.revocations.read_bytes()

    place.authority.revocations.write_bytes(former)
    capsys.readouterr()
    material = place.open()
    assert "root_without_revocation_list" in capsys.readouterr().out
    assert material.lists.of(material.roots.current.certificates[0]) is None, "everybody below it is refused"

    place.authority.revocations.write_bytes(latest)
    assert await looked(material)
    assert material.lists.of(material.roots.current.certificates[0]) is not None


async def test_a_former_list_beside_the_latest_keeps_nothing_from_being_taken(place: Place, tmp_path: Path) -> None:
    """One file still has the former list, another the latest: what comes into the first is taken all the same."""
    former, other = place.authority.revocations.read_bytes(), Authority.create(tmp_path / "other")
    place.authority.revoke(0x1F)
    beside = tmp_path / "beside.pem"
    beside.write_bytes(former)
    place.files = replace(place.files, lists=(beside, place.authority.revocations))
    material = place.open()
    beside.write_bytes(former + other.revocations.read_bytes())
    assert await looked(material)
    assert numbers(material) == [2, 1, 1]
    assert material.lists.of(x509.load_pem_x509_certificate(other.root.read_bytes())) is not None


async def test_a_list_that_went_and_came_back_is_not_a_former_one(place: Place, tmp_path: Path) -> None:
    """Without its root for a while, and its list with it: both return, but not to an earlier list."""
    other = Authority.create(tmp_path / "other")
    former, root = place.authority.revocations.read_bytes(), place.authority.root.read_bytes()
    place.authority.revoke(0x1F)
    material = place.open()
    for roots, lists in ((other.root.read_bytes(), other.revocations.read_bytes()), (root, former)):
        place.authority.root.write_bytes(roots)
        place.authority.revocations.write_bytes(lists)
        await looked(material)
    assert material.lists.of(x509.load_pem_x509_certificate(root)) is None


async def test_two_keys_of_one_name_each_have_their_list(place: Place) -> None:
    """An authority that changed its key and kept its name: numbers begin anew, and both lists go on."""
    for number in range(9):
        place.authority.revoke(0x100 + number)
    successor = Authority.create(place.folder / "successor")
    place.authority.root.write_bytes(place.authority.root.read_bytes() + successor.root.read_bytes())
    old = place.authority.revocations.read_bytes()
    place.authority.revocations.write_bytes(old + successor.revocations.read_bytes())
    material = place.open()
    roots = material.roots.current.certificates
    assert len(material.roots.current.by_subject) == 1
    assert len(roots) == 2
    successor.revoke(0x1F)
    place.authority.revocations.write_bytes(old + successor.revocations.read_bytes())
    assert await looked(material)
    found = [material.lists.of(root) for root in roots]
    assert sorted(one.number for one in found if one is not None) == [2, 10]


@pytest.mark.parametrize("which", ["certificate", "roots"])
async def test_one_odd_file_keeps_no_list_from_being_taken(place: Place, which: str) -> None:
    """A key of a kind that no parser here knows raises what is no ValueError."""
    material = place.open()
    path = getattr(place.files, which)
    path.write_bytes(with_unknown_key(path.read_bytes()))
    place.authority.revoke(0x1F)
    assert await looked(material)
    assert numbers(material) == [2]


def with_unknown_key(pem: bytes) -> bytes:
    """The certificate, with the object identifier of its key's algorithm changed to one that nobody knows."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    known = bytes.fromhex("06072a8648ce3d0201")
    assert known in der
    return forged.pem(der.replace(known, known[:-1] + b"\x63"))


async def test_what_cannot_be_read_at_all_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread to be had, or no memory: the change is not forgotten."""
    material = place.open()
    place.authority.revoke(0x1F)
    assert not await material.look()

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken:
        broken.setattr(material, "_read", fail)
        with pytest.raises(RuntimeError):
            await material.look()
    assert await material.look()
    assert numbers(material) == [2]


async def test_a_file_without_end_is_not_read_on(place: Place) -> None:
    place.authority.revocations.unlink()
    place.authority.revocations.symlink_to("/dev/zero")
    with pytest.raises(ListError, match="larger"):
        place.open()


async def test_no_list_is_left_and_all_of_them_age(place: Place) -> None:
    clock = SetClock(time.time())
    material = TlsMaterial(place.files, ["police.example"], oldest_hours=1, clock=clock, numbers=ListNumbers())
    checked = CertificateProfile(material.roots, material.lists, ["police.example"], clock)
    leaf = place.authority.issue_agency("police.example", "northshire").certificate.read_bytes()
    place.authority.revocations.unlink()
    assert await looked(material)
    assert checked.check(leaf)
    clock.seconds += 3601
    with pytest.raises(UnavailableError, match="REVOCATIONS_UNAVAILABLE"):
        checked.check(leaf)


@pytest.mark.parametrize("broken", [b"", b"junk", None], ids=["empty", "junk", "gone"])
@pytest.mark.parametrize("which", ["certificate", "key", "roots", "list"])
async def test_a_broken_file_keeps_what_was_in_force(place: Place, which: str, broken: bytes | None) -> None:
    material = place.open()
    before = (material.offer, material.roots.current, material.lists.current)
    path = place.files.lists[0] if which == "list" else getattr(place.files, which)
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    assert await looked(material)
    assert (material.offer, material.roots.current, material.lists.current) == before
    assert place.told == 0


async def test_a_list_of_a_stranger_is_not_taken(place: Place, tmp_path: Path) -> None:
    material = place.open()
    stranger = Authority.create(tmp_path / "stranger")
    stranger.revoke(0x1F)
    place.authority.revocations.write_bytes(stranger.revocations.read_bytes())
    assert await looked(material)
    assert numbers(material) == [1]


async def test_lists_of_two_authorities_in_one_file(place: Place, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    material = place.open()
    place.authority.revocations.write_bytes(place.authority.revocations.read_bytes() + other.revocations.read_bytes())
    assert await looked(material)
    assert numbers(material) == [1, 1]
    other.revoke(0x1F)
    place.authority.revocations.write_bytes(other.revocations.read_bytes())
    assert await looked(material)
    assert numbers(material) == [1, 1], "the root in force would have none"


async def test_another_set_of_roots_counts_for_calls_and_handshakes(place: Place, tmp_path: Path) -> None:
    material = place.open()
    other = Authority.create(tmp_path / "other").root.read_bytes()
    place.authority.root.write_bytes(place.authority.root.read_bytes() + other)
    assert await looked(material)
    assert len(material.roots.current.certificates) == 2
    assert material.offer.roots_pem.endswith(other)
    assert place.told == 1


async def test_handshakes_get_the_roots_that_calls_have_and_nothing_else(place: Place, tmp_path: Path) -> None:
    root, other = place.authority.root.read_bytes(), Authority.create(tmp_path / "other").root.read_bytes()
    place.authority.root.write_bytes(b"# ours\n" + root + other.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"))
    assert place.open().offer.roots_pem == root


async def test_a_certificate_that_is_no_authority_is_no_root(place: Place) -> None:
    material = place.open()
    before = material.roots.current
    place.authority.root.write_bytes(place.authority.root.read_bytes() + place.server.certificate.read_bytes())
    assert await looked(material)
    assert material.roots.current is before


async def test_a_list_that_is_over_is_reported_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.authority.renew_revocations(life=timedelta(hours=1))
    material = place.open()
    for _ in range(3):
        await material.look()
    assert capsys.readouterr().out.count("revocation_list_ending") == 1


async def test_it_looks_by_itself_until_it_is_closed(place: Place) -> None:
    material = place.open()
    material.start()
    place.authority.revoke(0x1F)
    deadline = time.monotonic() + 10
    while place.told == 0 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    await material.aclose()
    assert place.told == 1


@pytest.mark.parametrize("which", ["certificate", "key", "roots", "list"])
def test_a_broker_does_not_start_on_half_of_it(place: Place, which: str) -> None:
    path = place.files.lists[0] if which == "list" else getattr(place.files, which)
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"."):
        place.open()


def test_a_broker_does_not_start_without_a_list(place: Place) -> None:
    files = TlsFiles(place.files.certificate, place.files.key, place.files.roots, ())
    with pytest.raises(ValueError, match="revocation list"):
        TlsMaterial(files, ["police.example"], oldest_hours=720, clock=SystemClock(), numbers=ListNumbers())


class TestServerCertificate:
    def test_one_that_is_not_valid_yet_is_refused(self, place: Place) -> None:
        certificate, key = self.pair(place)
        begin = int(x509.load_pem_x509_certificate(certificate).not_valid_before_utc.timestamp())
        assert read_pair(certificate, key, begin)
        with pytest.raises(ValueError, match="not valid yet"):
            read_pair(certificate, key, begin - 1)

    def pair(self, place: Place) -> tuple[bytes, bytes]:
        return place.server.certificate.read_bytes(), place.server.key.read_bytes()

    def test_one_that_has_expired_is_refused(self, place: Place) -> None:
        certificate, key = self.pair(place)
        end = int(x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp())
        assert read_pair(certificate, key, end).not_after == end
        with pytest.raises(ValueError, match="expired"):
            read_pair(certificate, key, end + 1)

    def test_a_chain_must_hold(self, place: Place, tmp_path: Path) -> None:
        certificate, key = self.pair(place)
        assert read_pair(certificate + place.authority.root.read_bytes(), key, int(time.time()))
        stranger = Authority.create(tmp_path / "stranger").root.read_bytes()
        with pytest.raises(ValueError, match=r"Issuer name|chain"):
            read_pair(certificate + stranger + stranger, key, int(time.time()))

    def test_its_key_is_never_shown(self, place: Place) -> None:
        assert "PRIVATE" not in repr(read_pair(*self.pair(place), int(time.time())))
