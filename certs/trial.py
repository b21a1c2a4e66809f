"""A small token issuer by itself, for an agency that tries a network before its own identity provider is set up.

    DIR/issuer.key     signs tokens; whoever reads it can be anybody of the agency
    DIR/jwks.json      the public half, to be registered with the network

Does not: authenticate anybody. In earnest, an agency's OpenID Connect provider takes its place.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.files import PUBLIC_MODE, SECRET_MODE, write_atomically
from certs.issuer import TokenIssuer, jwks_document


def create(directory: Path) -> Path:
    """Make the key, once; the path of its public half. Raises OSError."""
    path, public = directory / "issuer.key", directory / "jwks.json"
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_atomically(path, key.private_bytes(*form), SECRET_MODE)
    write_atomically(public, jwks_document([_key(path).public_key()]), PUBLIC_MODE)
    return public


def token_issuer(directory: Path, issuer: str, certificate: Path) -> TokenIssuer:
    """The issuer that binds its tokens to a certificate. Raises ValueError or OSError."""
    leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return TokenIssuer(issuer, _key(directory / "issuer.key"), leaf.fingerprint(hashes.SHA256()))


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} does not hold a P-256 key")  # noqa: TRY004 - a file's content, not a type
    return key
