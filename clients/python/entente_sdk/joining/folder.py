"""The folder of an agency that joins: made step by step, each file whole or absent, and read again at any time.

MUSTs:
1. The key is made on this machine, mode 0600, and is never overwritten or sent. It signs the whole request.
2. A certificate is taken only for this very key and name, from an authority that the network's root vouches for, and
   while it counts.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import json_format

from entente.directory.v1 import enrolment_pb2
from entente_sdk.errors import ConfigurationError
from entente_sdk.joining.answers import Answers
from entente_sdk.joining.fingerprint import fingerprint

_SECRET, _PUBLIC = 0o600, 0o644
_LONGEST_CHAIN = 3


class JoinFolder:
    """One agency's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.key = self.path / "key.pem"
        self.request = self.path / "join-request.json"
        self.certificate = self.path / "certificate.pem"
        self.root = self.path / "root.pem"
        self._answers = self.path / "answers.json"

    def answers(self) -> Answers:
        """What was answered so far. Raises ConfigurationError."""
        if not self._answers.exists():
            return Answers()
        return Answers.from_json(_read(self._answers).decode("utf-8", "replace"), self._answers)

    def keep(self, answers: Answers) -> None:
        """Keep the answers. Raises ConfigurationError where they are not sound, or the certificate names another."""
        answers.require_sound()
        if self.certificate.exists() and self.answers().spiffe_id != answers.spiffe_id:
            raise ConfigurationError(f"{self.certificate} was issued for another name; join again in another folder")
        _write(self._answers, answers.to_json().encode(), _PUBLIC)

    def make_key(self) -> bool:
        """Make the key (P-256). False: it is there already."""
        if self.key.exists():
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _write(self.key, key.private_bytes(*form), _SECRET)
        return True

    @property
    def fingerprint(self) -> str:
        """Of the key. Raises ConfigurationError."""
        return fingerprint(self._key().public_key())

    def make_request(self) -> bool:
        """Write what the registrars get. False: it says the same already."""
        answers = self.answers()
        if self.request.exists() and self._says(answers):
            return False
        message = answers.enrolment(self._certificate_request(answers))
        text = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=2) + "\n"
        _write(self.request, text.encode(), _PUBLIC)
        return True

    def take_certificate(self, pem: bytes, root_pem: bytes) -> None:
        """Check a certificate, and keep it with the network's root. Raises ConfigurationError."""
        chain = _certificates(pem, "the certificate")
        leaf, roots = chain[0], _certificates(root_pem, "the network's root")
        if fingerprint(leaf.public_key()) != self.fingerprint:
            raise ConfigurationError(
                "the certificate is for another key than this folder's; ask for that of the request"
            )
        wanted = self.answers().spiffe_id
        if _uris(leaf) != [wanted]:
            raise ConfigurationError(f"the certificate names {', '.join(_uris(leaf)) or 'nobody'}, not {wanted}")
        _require_path(leaf, chain[1:], roots)
        now = datetime.now(UTC)
        if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
            span = f"from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            raise ConfigurationError(f"the certificate counts {span}; compare with this machine's clock, or ask anew")
        _write(self.root, root_pem, _PUBLIC)
        _write(self.certificate, pem, _PUBLIC)

    def _says(self, answers: Answers) -> bool:
        """Whether the request on file is for these answers and this key."""
        try:
            kept = json_format.Parse(_read(self.request), enrolment_pb2.AgencyEnrolment())
        except json_format.ParseError:
            return False
        request, kept.certificate_request = kept.certificate_request, ""
        return kept == answers.enrolment("") and self._is_ours(request)

    def _is_ours(self, pem: str) -> bool:
        try:
            request = x509.load_pem_x509_csr(pem.encode())
        except ValueError:
            return False
        return fingerprint(request.public_key()) == self.fingerprint

    def _certificate_request(self, answers: Answers) -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, answers.agency.partition("/")[2][:64])])
        name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(answers.spiffe_id)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(name, critical=False)
        # The key signs the answers too: who hears its fingerprint knows that nothing was changed on the way.
        builder = builder.add_attribute(NameOID.UNSTRUCTURED_NAME, answers.binding().encode("ascii"))
        return builder.sign(self._key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode("ascii")

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(_read(self.key), password=None)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{self.key} does not hold an unencrypted private key in PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigurationError(f"{self.key} is not a P-256 key; join again in another folder")
        return key


def _require_path(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> None:
    """At most two steps up to one of the network's roots."""
    last = leaf
    for _ in range(_LONGEST_CHAIN):
        if any(_signed_by(last, root) for root in roots):
            return
        above = [one for one in between if one != last and _signed_by(last, one)]
        if not above:
            break
        last = above[0]
    raise ConfigurationError("the certificate does not come from the network's authority; ask the registrars for both")


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _uris(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationError(f"{what} is not in PEM: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or absent, with its mode from the first byte on. Raises ConfigurationError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
