"""Which keys and signature algorithms are strong enough, for certificates and for token issuers alike.

P-256, Ed25519, or RSA of 2048 to 8192 bits with an exponent of at least 65537 (issuing authorities also P-384); signed
with SHA-256 or longer. The upper bounds exist because verifying with a huge key is work that a stranger could order.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192
SMALLEST_EXPONENT = 65537
LARGEST_EXPONENT = 2**32

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def fits_leaf_key(certificate: x509.Certificate) -> bool:
    """Whether an end certificate's own key is allowed and strong."""
    return _fits(certificate, (ec.SECP256R1,))


def fits_issuer_key(certificate: x509.Certificate) -> bool:
    """Whether an authority's key is allowed and strong."""
    return _fits(certificate, (ec.SECP256R1, ec.SECP384R1))


def fits_rsa(key: rsa.RSAPublicKey) -> bool:
    """RSA within the bounds above."""
    exponent = key.public_numbers().e
    return (
        SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS
        and SMALLEST_EXPONENT <= exponent <= LARGEST_EXPONENT
        and exponent % 2 == 1
    )


def signed_strongly(certificate: x509.Certificate) -> bool:
    """Whether the signature on it uses SHA-256, SHA-384, SHA-512 or Ed25519."""
    if certificate.signature_algorithm_oid == x509.SignatureAlgorithmOID.ED25519:
        return True
    try:
        return isinstance(certificate.signature_hash_algorithm, _HASHES)
    except (UnsupportedAlgorithm, ValueError):
        return False


def _fits(certificate: x509.Certificate, curves: tuple[type[ec.EllipticCurve], ...]) -> bool:
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return False
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, curves)
    if isinstance(key, rsa.RSAPublicKey):
        return fits_rsa(key)
    return isinstance(key, ed25519.Ed25519PublicKey)
