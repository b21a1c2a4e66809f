"""What an authority signed of a revocation list, kept as bytes, so that its signature is cheap to check in a call.

The library's own check writes the whole list anew each time, which takes 50 ms for 4 MB; over bytes that were written
once, in the thread that reads the file, it takes 2 to 10 ms, and an authority may first be met in the midst of a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from broker.identify.signatures import signed_strongly


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """`parameters` are those of an RSA or ECDSA signature, None of an Ed25519 one; `strong` as in `signatures`."""

    content: bytes = field(repr=False)
    signature: bytes
    parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None
    digest: hashes.HashAlgorithm | None
    strong: bool

    @classmethod
    def of(cls, signed: x509.CertificateRevocationList) -> SignedBytes:
        """Raises ValueError where the list names two algorithms (RFC 5280 section 5.1.1.2)."""
        try:
            parameters, digest = signed.signature_algorithm_parameters, signed.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return cls(b"", signed.signature, None, None, strong=False)
        content = signed.tbs_certlist_bytes
        if _inner_algorithm(content) != _outer_algorithm(signed, content):
            raise ValueError("it names two algorithms")
        return cls(content, signed.signature, parameters, digest, strong=signed_strongly(signed))

    def hold_under(self, key: object) -> bool:
        """Whether this key signed them, strongly."""
        try:
            return self.strong and self._verify(key)
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            return False

    def _verify(self, key: object) -> bool:
        parameters = self.parameters
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(self.signature, self.content, parameters)
        elif isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, (padding.PSS, padding.PKCS1v15)):
            assert self.digest is not None
            key.verify(self.signature, self.content, parameters, self.digest)
        elif isinstance(key, ed25519.Ed25519PublicKey) and parameters is None:
            key.verify(self.signature, self.content)
        else:
            return False
        return True


def _inner_algorithm(content: bytes) -> bytes:
    """What follows the version, which a list with a number has."""
    return _element(content, _header(content, 0) + 3)


def _outer_algorithm(signed: x509.CertificateRevocationList, content: bytes) -> bytes:
    whole = signed.public_bytes(serialization.Encoding.DER)
    return _element(whole, _header(whole, 0) + len(content))


def _element(der: bytes, at: int) -> bytes:
    length = der[at + 1]
    if length >= 0x80:
        raise ValueError("its algorithm is too long")
    return der[at : at + 2 + length]


def _header(der: bytes, at: int) -> int:
    return at + 2 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)
