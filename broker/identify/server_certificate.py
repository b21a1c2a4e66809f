"""The server's own certificate and key, checked before a handshake uses them.

Guarantees: the key is the first certificate's, is P-256, P-384 or RSA of 2048 to 8192 bits, each certificate that
follows signed the one before it, and all are valid now. A pair that is half renewed is refused.
`Offer` is what handshakes use: the pair, and the roots that clients' certificates must lead to.
Does not: check the names in it, or that clients trust it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from broker.identify.signatures import has_issuer_key

_PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class ServerPair:
    """PEM of the certificate with its chain, and of the key. `not_after` is in epoch seconds."""

    certificate_pem: bytes
    key_pem: bytes
    not_after: int

    def __repr__(self) -> str:
        return f"ServerPair(not_after={self.not_after})"


@dataclass(frozen=True, slots=True)
class Offer:
    """What the server's handshakes use, until another offer takes its place: compared by identity."""

    pair: ServerPair
    roots_pem: bytes


def read_pair(certificate_pem: bytes, key_pem: bytes, now: int) -> ServerPair:
    """A pair that a server can present at `now` (epoch seconds). Raises ValueError that says what is wrong."""
    chain = x509.load_pem_x509_certificates(certificate_pem)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the server's key cannot be used: {error}") from error
    public = key.public_key()
    if public.public_bytes(*_PUBLIC) != chain[0].public_key().public_bytes(*_PUBLIC):
        raise ValueError("the key is not the server certificate's; renew both together")
    if isinstance(public, ed25519.Ed25519PublicKey) or not has_issuer_key(chain[0]):
        raise ValueError("the server's key must be P-256, P-384, or RSA of 2048 to 8192 bits with e >= 65537")
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (InvalidSignature, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError("the server's chain is broken: each certificate must sign the one before it") from error
    not_after = min(int(one.not_valid_after_utc.timestamp()) for one in chain)
    if not_after < now:
        raise ValueError("the server's certificate, or one above it, has expired; renew it")
    if now < max(int(one.not_valid_before_utc.timestamp()) for one in chain):
        raise ValueError("the server's certificate, or one above it, is not valid yet; put it in place when it is")
    return ServerPair(certificate_pem, key_pem, not_after)
