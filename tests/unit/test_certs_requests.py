"""The authority's desk: what it signs for a request, what it refuses, and the list of what it has revoked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from broker.domain.clock import SystemClock
from broker.domain.errors import IdentityError
from broker.identify.certificate import CertificateProfile
from broker.identify.revocation_list import RevocationLists, read_lists
from broker.identify.roots import TrustRoots
from certs.__main__ import app
from certs.authority import Authority
from tests.support.identities import ed25519_key, p256, rsa_key, spiffe

NORTHSHIRE = ("police.example", "northshire")


def request(key: Any = None, *names: x509.GeneralName, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    """A request for northshire's gateway, unless told otherwise."""
    signer = p256("request") if key is None else key
    wanted = list(names) or [spiffe("northshire")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.add_extension(x509.SubjectAlternativeName(wanted), critical=False)
    edwards = signer is ed25519_key("request")
    return made.sign(signer, None if edwards else algorithm or hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def profile(authority: Authority) -> CertificateProfile:
    return CertificateProfile(
        TrustRoots.from_pem(authority.root.read_bytes()),
        RevocationLists(read_lists(authority.revocations.read_bytes()), oldest_hours=720),
        ["police.example"],
        SystemClock(),
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority")


KEYS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: p256("request"),
    "Ed25519": lambda: ed25519_key("request"),
    "RSA-2048": lambda: rsa_key(2048),
}


@pytest.mark.parametrize("kind", KEYS)
def test_what_it_signs_fits_the_profile(authority: Authority, kind: str) -> None:
    key = KEYS[kind]()
    signed = authority.sign_request(request(key), *NORTHSHIRE)
    assert x509.load_pem_x509_certificate(signed).public_key() == key.public_key()
    peer = profile(authority).check(signed)
    assert (str(peer.agency), peer.workload) == ("police.example/northshire", "gateway")


def test_the_authority_keeps_nothing_of_it(authority: Authority) -> None:
    before = sorted(authority.root.parent.rglob("*"))
    authority.sign_request(request(), *NORTHSHIRE)
    assert sorted(authority.root.parent.rglob("*")) == before


UNFIT: dict[str, Callable[[], bytes]] = {
    "another agency": lambda: request(None, spiffe("southshire")),
    "another workload": lambda: request(None, spiffe("northshire", "desk")),
    "another trust domain": lambda: request(None, spiffe("northshire", trust_domain="abroad.example")),
    "two names": lambda: request(None, spiffe("northshire"), spiffe("southshire")),
    "a host beside": lambda: request(None, spiffe("northshire"), x509.DNSName("a.example")),
    "a weak key": lambda: request(rsa_key(1024)),
    "a small exponent": lambda: request(rsa_key(2048, 3)),
    "another curve": lambda: request(ec.generate_private_key(ec.SECP384R1())),
    "nothing": lambda: b"",
    "junk": lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    "too much": lambda: request() + b"\n" * 9000,
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_request_is_refused(authority: Authority, case: str) -> None:
    with pytest.raises(ValueError, match=r"request"):
        authority.sign_request(UNFIT[case](), *NORTHSHIRE)


def test_a_request_without_a_name_is_refused(authority: Authority) -> None:
    bare = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(p256("request"), hashes.SHA256())
    with pytest.raises(ValueError, match="no name"):
        authority.sign_request(bare.public_bytes(serialization.Encoding.PEM), *NORTHSHIRE)


def test_a_request_that_its_key_did_not_sign_is_refused(authority: Authority) -> None:
    der = bytearray(x509.load_pem_x509_csr(request()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ValueError, match="not signed"):
        authority.sign_request(forged, *NORTHSHIRE)


def test_its_life_is_limited(authority: Authority) -> None:
    with pytest.raises(ValueError, match="89 days"):
        authority.sign_request(request(), *NORTHSHIRE, life=timedelta(days=90))


def test_the_list_grows_and_its_number_rises(authority: Authority) -> None:
    first, second = (
        x509.load_pem_x509_certificate(authority.issue_agency("police.example", name).certificate.read_bytes())
        for name in ("alfa", "bravo")
    )
    for certificate in (first, second, first):
        authority.revoke(certificate.serial_number)
    authority.renew_revocations()
    (found,) = read_lists(authority.revocations.read_bytes())
    assert found.serials == {first.serial_number, second.serial_number}
    assert found.number == 5
    with pytest.raises(IdentityError, match="CERTIFICATE_REVOKED"):
        profile(authority).check(first.public_bytes(serialization.Encoding.PEM))


def test_the_commands_sign_revoke_and_renew(authority: Authority, tmp_path: Path) -> None:
    run, folder, asked = CliRunner(), str(authority.root.parent), tmp_path / "request.pem"
    asked.write_bytes(request())
    signed = run.invoke(app, ["sign", folder, str(asked), "--agency", "police.example/northshire", "--days", "7"])
    assert signed.exit_code == 0
    assert profile(authority).check(signed.output.encode())
    (tmp_path / "cert.pem").write_text(signed.output)
    for given in (str(tmp_path / "cert.pem"), "1f"):
        assert run.invoke(app, ["revoke", folder, given]).exit_code == 0
    assert run.invoke(app, ["revocations", folder, "--days", "2"]).exit_code == 0
    (found,) = read_lists(authority.revocations.read_bytes())
    serial = x509.load_pem_x509_certificate(signed.output.encode()).serial_number
    assert found.serials == {serial, 0x1F}
    assert found.next_update - found.this_update == 2 * 86400


@pytest.mark.parametrize(
    "arguments",
    [["sign", "{}", "absent.pem", "--agency", "police.example/northshire"], ["revoke", "{}", "neither"]],
)
def test_a_command_that_cannot_be_done_says_why(authority: Authority, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [each.format(authority.root.parent) for each in arguments])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
