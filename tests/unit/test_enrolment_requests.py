"""What a certificate request must be, rule by rule as `identify/requests.py` numbers them."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.identify.requests import LARGEST_REQUEST, read_request
from tests.support.enrolments import Newcomer
from tests.support.identities import key_usage

DOMAINS = ("police.example",)
NEWCOMER = Newcomer(agency="fenmoor")


def read(pem: str) -> object:
    return read_request(pem, DOMAINS)


def test_what_it_asks_for_is_read_as_the_key_says_it() -> None:
    found = read_request(NEWCOMER.request(), DOMAINS)
    assert (str(found.agency), found.spiffe_id) == ("police.example/fenmoor", NEWCOMER.spiffe_id)
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert found.fingerprint == hashlib.sha256(NEWCOMER.key.public_key().public_bytes(*form)).hexdigest()


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)])
def test_rule_3_other_strong_keys_are_taken(key: object) -> None:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    assert read(NEWCOMER.request(key=key, algorithm=algorithm))


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no request",
        NEWCOMER.request() * 2,
        NEWCOMER.request() + "\n" * LARGEST_REQUEST,
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n\x00\ud800",
    ],
    ids=["empty", "text", "two", "large", "damaged", "hostile"],
)
def test_rule_1_one_small_request(pem: str) -> None:
    with pytest.raises(ValueError):
        read(pem)
    assert LARGEST_REQUEST == 8192


def test_rule_2_whoever_sends_it_holds_the_key() -> None:
    """The signature of one request under the content of another."""
    raw = x509.load_pem_x509_csr(NEWCOMER.request().encode()).public_bytes(serialization.Encoding.DER)
    other = Newcomer(agency="fenmoor")
    theirs = x509.load_pem_x509_csr(other.request().encode()).public_bytes(serialization.Encoding.DER)
    mine = NEWCOMER.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forged = theirs.replace(
        other.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        mine,
    )
    assert forged not in (theirs, raw)
    pem = x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(ValueError, match="signed with its own key"):
        read(pem)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(3, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["rsa-1024", "e-3", "p-384", "secp256k1"],
)
def test_rule_3_a_weak_or_other_key_is_refused(key: object) -> None:
    with pytest.raises(ValueError, match="key"):
        read(NEWCOMER.request(key=key))


URI = x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    "names",
    [
        (URI(NEWCOMER.spiffe_id), URI(NEWCOMER.spiffe_id.replace("fenmoor", "northshire"))),
        (URI(NEWCOMER.spiffe_id), x509.DNSName("broker.example")),
        (x509.DNSName("fenmoor.example"),),
        (URI("spiffe://elsewhere.example/agency/fenmoor/gateway"),),
        (URI("spiffe://police.example/agency/fenmoor"),),
        (URI("spiffe://police.example/agency/fenmoor/../northshire"),),
        (URI("https://police.example/agency/fenmoor/gateway"),),
        (URI("spiffe://police.example/agency/FENMOOR/gateway"),),
    ],
    ids=["two-ids", "and-a-host", "no-id", "foreign-domain", "no-workload", "dots", "https", "capitals"],
)
def test_rule_4_exactly_one_spiffe_id(names: tuple[x509.GeneralName, ...]) -> None:
    with pytest.raises(ValueError):
        read(NEWCOMER.request(*names))


@pytest.mark.parametrize(
    "extension",
    [
        x509.BasicConstraints(ca=True, path_length=None),
        key_usage(digital_signature=True, key_cert_sign=True),
        key_usage(crl_sign=True),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
        x509.NameConstraints([x509.DNSName("example")], None),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"),
    ],
    ids=["ca", "signs-certificates", "signs-lists", "server", "any-usage", "constraints", "unknown"],
)
def test_rule_5_nothing_that_a_copying_authority_would_regret(extension: x509.ExtensionType) -> None:
    with pytest.raises(ValueError, match="asks for"):
        read(NEWCOMER.request(extensions=(extension,)))


def test_rule_5_what_a_client_is_anyhow_does_no_harm() -> None:
    harmless = (
        key_usage(digital_signature=True),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.BasicConstraints(ca=False, path_length=None),
    )
    assert read(NEWCOMER.request(extensions=harmless))
