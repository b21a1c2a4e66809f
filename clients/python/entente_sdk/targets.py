"""What can be revoked, for `entente.revocations.revoke`."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from entente.directory.v1 import enrolment_pb2
from entente.directory.v1.revocation_service_pb2 import RevocationTarget, TokenName
from entente_sdk.errors import RequestError

_HEXADECIMAL = frozenset("0123456789abcdef")


def certificate(given: str | bytes) -> RevocationTarget:
    """A certificate, a client's or an authority's: in PEM, or its SHA-256 in hexadecimal (colons do no harm).

    Raises RequestError.
    """
    if isinstance(given, bytes):
        try:
            return RevocationTarget(
                certificate=x509.load_pem_x509_certificate(given).fingerprint(hashes.SHA256()).hex()
            )
        except ValueError as error:
            raise RequestError("REQUEST_INVALID", f"this is no certificate in PEM: {error}") from error
    plain = given.replace(":", "").replace(" ", "").lower()
    if len(plain) != 64 or not _HEXADECIMAL.issuperset(plain):
        raise RequestError("REQUEST_INVALID", "a certificate is named by its SHA-256: 64 hexadecimal digits")
    return RevocationTarget(certificate=plain)


def user(agency: str, user: str) -> RevocationTarget:
    """A person of an agency (`trust-domain/agency`), whatever token names them."""
    return RevocationTarget(user=enrolment_pb2.Person(agency=agency, user=user))


def token(issuer: str, token_id: str) -> RevocationTarget:
    """One token, by its `iss` and `jti`."""
    return RevocationTarget(token=TokenName(issuer=issuer, token_id=token_id))


def issuer(url: str) -> RevocationTarget:
    """An issuer, by its exact `iss`."""
    return RevocationTarget(issuer=url)


def agency(name: str) -> RevocationTarget:
    """A whole agency, `trust-domain/agency`: locked."""
    return RevocationTarget(agency=name)
