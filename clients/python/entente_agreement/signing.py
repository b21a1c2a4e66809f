"""Sign an agreement with an agency's key, and look at who has signed it, offline.

Guarantees: a signature is put under the document's canonical bytes and nothing else, with the algorithm of the key.
Does not: judge certificates beyond what is said at `verified_by`; the broker does, when the agreement is concluded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from entente_agreement.errors import AgreementError
from entente_agreement.jws import Signature, SignedDocument, algorithm_of, protected_header
from entente_agreement.strict import decode, encode

# One of P-256's numbers, in bytes (RFC 7518 section 3.4).
_NUMBER = 32
_SPIFFE = re.compile(r"spiffe://(?P<domain>[a-z0-9._-]+)/agency/(?P<agency>[a-z0-9._-]+)/.+", re.ASCII)
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: the certificate chain and key of an agency.

    Args:
        chain: certificates in DER, the signing one first.
        key: its private key.
        agency: as the certificate names it, `trust-domain/agency`.
    """

    chain: tuple[bytes, ...]
    key: object
    agency: str

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> Signer:
        """From PEM. Raises AgreementError where they cannot be read, or are not of one another."""
        try:
            certificates = x509.load_pem_x509_certificates(certificate_pem)
            key = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise AgreementError("", f"certificate or key cannot be read: {error}") from None
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        if certificates[0].public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
            raise AgreementError("", "the key is not the certificate's")
        chain = tuple(one.public_bytes(serialization.Encoding.DER) for one in certificates)
        return cls(chain, key, agency_of(certificates[0]))

    def sign(self, signed: SignedDocument, now: int) -> SignedDocument:
        """The document with this agency's signature; one that it put there before is replaced.

        Raises AgreementError where the agency is no party of it.
        """
        if self.agency not in signed.document.parties:
            raise AgreementError("parties", f"{self.agency} is no party of this agreement; sign with a party's profile")
        others = tuple(one for one in signed.signatures if signed_by(one) != self.agency)
        protected = protected_header(algorithm_of(self.key), now, self.chain)
        value = encode(_sign(self.key, f"{protected}.{signed.payload}".encode("ascii")))
        bare = SignedDocument(signed.document, signed.payload, others)
        return bare.with_signature(Signature(protected, value, algorithm_of(self.key), now, self.chain))


def signed_by(signature: Signature) -> str:
    """The agency that the signing certificate names. Raises AgreementError."""
    return agency_of(_leaf(signature))


def verified_by(signed: SignedDocument, roots_pem: bytes = b"") -> list[str]:
    """The agencies whose signatures hold, in their order; each was made by the key of its certificate.

    `roots_pem`: where given, each chain must end at one of these (by its signature; the broker looks at the rest).

    Raises AgreementError at the first signature that does not hold, is no party's, or is a party's second.
    """
    roots = x509.load_pem_x509_certificates(roots_pem) if roots_pem else []
    found: list[str] = []
    for number, one in enumerate(signed.signatures):
        path, leaf = f"signatures[{number}]", _leaf(one)
        agency = agency_of(leaf)
        if agency not in signed.document.parties or agency in found:
            raise AgreementError(path, f"{agency} is no party of this agreement, or has signed twice")
        _verify(leaf.public_key(), one, signed.payload, path)
        if roots and not _leads_to(one, roots):
            raise AgreementError(path, "its certificate does not come from this network's authority")
        found.append(agency)
    return found


def missing(signed: SignedDocument) -> list[str]:
    """The parties that have not signed yet."""
    there = {signed_by(one) for one in signed.signatures}
    return [party for party in signed.document.parties if party not in there]


def agency_of(certificate: x509.Certificate) -> str:
    """The agency in a certificate's SPIFFE id. Raises AgreementError."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    match = _SPIFFE.fullmatch(uris[0]) if len(uris) == 1 else None
    if match is None:
        raise AgreementError("signatures", "the certificate names no agency (spiffe://<trust domain>/agency/<id>/...)")
    return f"{match['domain']}/{match['agency']}"


def _leaf(signature: Signature) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(signature.chain[0])
    except ValueError:
        raise AgreementError("signatures", "a certificate in x5c cannot be read") from None


def _sign(key: object, content: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(content, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_NUMBER) + s.to_bytes(_NUMBER)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(content)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(content, _PSS, hashes.SHA256())


def _verify(key: object, one: Signature, payload: str, path: str) -> None:
    content, value = f"{one.protected}.{payload}".encode("ascii"), decode(one.value, path)
    try:
        if one.algorithm != algorithm_of(key):
            raise InvalidSignature
        if isinstance(key, ec.EllipticCurvePublicKey):
            r, s = int.from_bytes(value[:_NUMBER]), int.from_bytes(value[_NUMBER:])
            if len(value) != 2 * _NUMBER:
                raise InvalidSignature
            key.verify(encode_dss_signature(r, s), content, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(value, content)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(value, content, _PSS, hashes.SHA256())
    except InvalidSignature:
        raise AgreementError(
            path, "the signature does not hold: the document was changed, or it is another's"
        ) from None


def _leads_to(one: Signature, roots: list[x509.Certificate]) -> bool:
    chain = [x509.load_der_x509_certificate(each) for each in one.chain]
    try:
        for below, above in pairwise(chain):
            below.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return any(_issued(chain[-1], root) for root in roots)


def _issued(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
