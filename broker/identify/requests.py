"""What an agency's certificate request must be before two people approve it, and what the certificate that answers it.

A request (PKCS #10, RFC 2986) MUST:

1. be at most 8 KiB of PEM holding one request;
2. be signed with its own key, strongly: whoever sends it holds the key;
3. have a key as the certificate profile asks for (`certificate`, rule 9);
4. ask for exactly one name, a SPIFFE id as in the profile, in a trust domain that this broker accepts;
5. ask for nothing that an authority which copies extensions would regret: no CA, no signing of certificates, no usage
   but that of a client, no other extension.

It may name, in the attribute unstructuredName (RFC 2985 section 5.4.3), the digest of the enrolment that it came in:
then the key has signed that too, and who has heard the key's fingerprint knows that nothing was changed on the way.

What is filed for it MUST fit the whole certificate profile today, up to a current root.
Does not: decide whose it is. The fingerprint that a person reads back does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.domain.enrolment import IssuedCertificate, RequestedKey
from broker.domain.errors import IdentityError
from broker.identify.certificate import CertificateProfile
from broker.identify.leaf import named_agency
from broker.identify.signatures import fits_leaf_key

LARGEST_REQUEST = 8 * 1024
MOST_EXTENSIONS = 4

# What stands before the digest in the attribute.
BINDING = "entente-enrolment-sha256:"

_HEADER = b"-----BEGIN"
_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

Result = TypeVar("Result")


def read_request(pem: str, trust_domains: Iterable[str]) -> RequestedKey:
    """What a request asks for. Raises ValueError with words for whoever keeps the registry."""
    raw = pem.encode()
    if len(raw) > LARGEST_REQUEST or raw.count(_HEADER) != 1:
        raise ValueError(f"it must be one certificate request in PEM, of at most {LARGEST_REQUEST} bytes")
    return _guarded(lambda: _read(x509.load_pem_x509_csr(raw), frozenset(trust_domains)))


def read_certificate(pem: str, profile: CertificateProfile) -> IssuedCertificate:
    """A certificate, followed by those above it, that could call this broker now. Raises ValueError, or
    UnavailableError where it cannot be known what an authority has revoked."""
    raw = pem.encode()
    second = raw.find(_HEADER, raw.find(_HEADER) + 1)
    leaf_pem, chain_pem = (raw, b"") if second < 0 else (raw[:second], raw[second:])
    try:
        peer = profile.check(leaf_pem, chain_pem)
    except IdentityError as refusal:
        raise ValueError(refusal.message) from refusal
    leaf = x509.load_pem_x509_certificate(leaf_pem)
    return IssuedCertificate(
        peer.agency,
        f"spiffe://{peer.agency.trust_domain}/agency/{peer.agency.agency}/{peer.workload}",
        _fingerprint(leaf.public_key()),
        peer.thumbprint.hex(),
        peer.not_after * 1_000_000,
    )


def _read(request: x509.CertificateSigningRequest, trust_domains: frozenset[str]) -> RequestedKey:
    strong = request.signature_algorithm_oid == x509.SignatureAlgorithmOID.ED25519 or isinstance(
        request.signature_hash_algorithm, _STRONG
    )
    if not strong or not request.is_signature_valid:
        raise ValueError("it must be signed with its own key, with SHA-256 or longer, or Ed25519; make it again")
    key = request.public_key()
    if not fits_leaf_key(key):
        raise ValueError("its key must be P-256, Ed25519, or RSA of at least 2048 bits with e >= 65537")
    _require_modest(request.extensions)
    agency, workload = named_agency(request.extensions)
    if len(list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)) != 1:
        raise ValueError("its SPIFFE id must be the only name that it asks for")
    if agency.trust_domain not in trust_domains:
        raise ValueError("this broker does not accept its trust domain; its operator lists those that it accepts")
    spiffe_id = f"spiffe://{agency.trust_domain}/agency/{agency.agency}/{workload}"
    return RequestedKey(agency, spiffe_id, _fingerprint(key), _bound(request))


def _bound(request: x509.CertificateSigningRequest) -> str:
    """The digest of the enrolment, where it is named; another use of the attribute says nothing to us."""
    try:
        text = request.attributes.get_attribute_for_oid(NameOID.UNSTRUCTURED_NAME).value.decode("ascii")
    except (x509.AttributeNotFound, UnicodeDecodeError):
        return ""
    return text.removeprefix(BINDING) if text.startswith(BINDING) else ""


def _require_modest(extensions: x509.Extensions) -> None:
    """Rule 5."""
    if len(extensions) > MOST_EXTENSIONS:
        raise ValueError("it asks for too much; ask for one SPIFFE id alone")
    for extension in extensions:
        if not _modest(extension.value):
            raise ValueError(f"it asks for what no agency gets ({extension.oid.dotted_string}); ask for one SPIFFE id")


def _modest(value: x509.ExtensionType) -> bool:
    if isinstance(value, x509.BasicConstraints):
        return not value.ca
    if isinstance(value, x509.KeyUsage):
        return not (value.key_cert_sign or value.crl_sign)
    if isinstance(value, x509.ExtendedKeyUsage):
        return list(value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    return isinstance(value, x509.SubjectAlternativeName | x509.SubjectKeyIdentifier)


def _fingerprint(key: object) -> str:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key.public_bytes(*form)).hexdigest()  # type: ignore[attr-defined]


def _guarded(action: Callable[[], Result]) -> Result:
    """Whatever the parser says of hostile bytes is one kind of refusal."""
    try:
        return action()
    except IdentityError as refusal:
        raise ValueError(refusal.message.replace("client certificate", "certificate request")) from refusal
    except x509.ExtensionNotFound as error:
        raise ValueError("it must ask for one name, the agency's SPIFFE id (a URI subject alternative name)") from error
    except (TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise ValueError(f"it could not be read ({type(error).__name__})") from error
