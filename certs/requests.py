"""What a certificate signing request must be before the authority signs it.

Guarantees: the requester holds the key (the request is signed with it, PKCS #10), the key is one that the broker's
certificate profile accepts, and the one name asked for is the SPIFFE id that the authority was told to expect.
Does not: take anything else from the request. Usages, life and serial are the authority's own (`certs.profiles`).
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

LARGEST_REQUEST = 8 * 1024

AgencyKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


def requested_key(pem: bytes, spiffe_id: str) -> AgencyKey:
    """The public key of a request for exactly this SPIFFE id. Raises ValueError that says what to do."""
    if len(pem) > LARGEST_REQUEST:
        raise ValueError(f"the request is larger than {LARGEST_REQUEST} bytes; ask for one certificate alone")
    try:
        request = x509.load_pem_x509_csr(pem)
        signed, names = request.is_signature_valid, _names(request)
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise ValueError(f"this is not a certificate signing request in PEM: {error}") from error
    if not signed:
        raise ValueError("the request is not signed with the key that it names; make it again on the key's machine")
    if names != [x509.UniformResourceIdentifier(spiffe_id)]:
        asked = ", ".join(str(each.value) for each in names) or "no name"
        raise ValueError(f"the request asks for {asked}; its one subject alternative name must be {spiffe_id}")
    if not isinstance(key, AgencyKey) or not _is_strong(key):
        raise ValueError("the request's key must be P-256, Ed25519, or RSA of 2048 to 8192 bits with e >= 65537")
    return key


def _is_strong(key: AgencyKey) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        return 2048 <= key.key_size <= 8192 and exponent >= 65537
    return isinstance(key, ed25519.Ed25519PublicKey) or isinstance(key.curve, ec.SECP256R1)


def _names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
