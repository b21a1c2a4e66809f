"""Which keys and signature algorithms are strong enough, for certificates, revocation lists and token issuers
alike; and the one other spelling that an ECDSA signature has.

P-256, Ed25519, or RSA of 2048 to 8192 bits with an exponent of at least 65537 (issuing authorities also P-384); signed
with SHA-256 or longer. The upper bounds exist because verifying with a huge key is work that a stranger could order.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from broker.identify.roca import has_roca_structure

SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192
SMALLEST_EXPONENT = 65537
LARGEST_EXPONENT = 2**32

# A curve whose parameters are spelled out may differ from the one that it seems to be (CVE-2020-0601). Written anew, a
# key has its curve's name and its whole point; a certificate that does not hold exactly that is refused.
_WRITTEN = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def has_leaf_key(certificate: x509.Certificate) -> bool:
    """Whether an end certificate's own key is allowed and strong."""
    return _has(certificate, (ec.SECP256R1,))


def has_issuer_key(certificate: x509.Certificate) -> bool:
    """Whether an authority's key is allowed and strong."""
    return _has(certificate, (ec.SECP256R1, ec.SECP384R1))


def fits_leaf_key(key: object) -> bool:
    """Whether a public key is one that an end certificate may have."""
    return _fits(key, (ec.SECP256R1,))


def fits_rsa(key: rsa.RSAPublicKey) -> bool:
    """RSA within the bounds above."""
    exponent = key.public_numbers().e
    return (
        SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS
        and SMALLEST_EXPONENT <= exponent <= LARGEST_EXPONENT
        and exponent % 2 == 1
    )


def signed_strongly(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    """Whether the signature on it uses SHA-256, SHA-384, SHA-512 or Ed25519."""
    if signed.signature_algorithm_oid == x509.SignatureAlgorithmOID.ED25519:
        return True
    try:
        return isinstance(signed.signature_hash_algorithm, _HASHES)
    except (UnsupportedAlgorithm, ValueError):
        return False


def twin_thumbprint(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes | None:
    """SHA-256 of the certificate with its ECDSA signature spelled the other way; None where there is no other.

    Where (r, s) holds, (r, n - s) does too, and anybody can write it: a certificate that was revoked by its thumbprint
    would come back under another. RSA and Ed25519 signatures have one spelling each.
    """
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return None
    r, s = decode_dss_signature(certificate.signature)
    der = certificate.public_bytes(serialization.Encoding.DER)
    long_form = der[1] & 0x7F if der[1] & 0x80 else 0
    signed = der[2 + long_form :].removesuffix(_bit_string(certificate.signature))
    content = signed + _bit_string(encode_dss_signature(r, key.curve.group_order - s))
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    header = bytes([0x30, 0x80 | len(length)]) + length
    return hashlib.sha256(header + content).digest()


def _bit_string(signature: bytes) -> bytes:
    # On the curves that an issuer may have, a signature is shorter than 128 bytes.
    return bytes([0x03, 1 + len(signature), 0]) + signature


def _has(certificate: x509.Certificate, curves: tuple[type[ec.EllipticCurve], ...]) -> bool:
    try:
        key = certificate.public_key()
        if (
            isinstance(key, ec.EllipticCurvePublicKey)
            and key.public_bytes(*_WRITTEN) not in certificate.tbs_certificate_bytes
        ):
            return False
        return _fits(key, curves)
    except (UnsupportedAlgorithm, ValueError):
        return False


def _fits(key: object, curves: tuple[type[ec.EllipticCurve], ...]) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, curves)
    if isinstance(key, rsa.RSAPublicKey):
        return fits_rsa(key) and not has_roca_structure(key.public_numbers().n)
    return isinstance(key, ed25519.Ed25519PublicKey)
