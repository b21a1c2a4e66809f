"""A development authority in one folder: a root, a broker's certificate, and agencies' credentials.

    root.pem  authority.key  revocations.pem
    broker/cert.pem  broker/key.pem
    agencies/<trust domain>/<agency>/cert.pem  key.pem  issuer.key  jwks.json

Guarantees: keys are P-256, made here, mode 0600, and never leave the folder; what exists is renewed only by asking
for it again; an agency's issuer key survives the renewal of its certificate.
A key that is made elsewhere never comes here: `sign_request` takes a request and gives a certificate.
Does not: keep a register of what it issued; this is no production authority. The revocation list is its whole memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.files import PUBLIC_MODE, SECRET_MODE, write_atomically
from certs.issuer import TokenIssuer, jwks_document
from certs.profiles import (
    DEFAULT_LIFE,
    LIST_LIFE,
    LOCAL_HOSTS,
    CertificateAuthority,
    agency_certificate,
    broker_certificate,
    check_agency,
    revocation_list,
    revoked_certificate,
    root_certificate,
)
from certs.requests import requested_key


@dataclass(frozen=True, slots=True)
class BrokerCredentials:
    """Where the broker's certificate, key and trust root lie."""

    certificate: Path
    key: Path
    root: Path


@dataclass(frozen=True, slots=True)
class AgencyCredentials:
    """Where one agency's certificate, key, issuer key and public issuer keys lie."""

    trust_domain: str
    agency: str
    certificate: Path
    key: Path
    issuer_key: Path
    jwks: Path
    root: Path

    @property
    def issuer(self) -> str:
        """The agency's issuer URL: the `iss` of its tokens."""
        return f"https://issuer.{self.trust_domain}/{self.agency}"

    @property
    def thumbprint(self) -> bytes:
        """SHA-256 of the certificate in DER, to which tokens are bound (RFC 8705 section 3.1)."""
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).fingerprint(hashes.SHA256())

    def token_issuer(self) -> TokenIssuer:
        """The issuer that signs tokens bound to this agency's certificate."""
        return TokenIssuer(self.issuer, _load_key(self.issuer_key), self.thumbprint)


class Authority:
    """The folder, opened. Make one with `create` or `open`."""

    def __init__(self, directory: Path, authority: CertificateAuthority) -> None:
        self._directory = directory
        self._authority = authority

    @classmethod
    def create(cls, directory: Path) -> Authority:
        """Makes a new root. Raises FileExistsError where there is one already: a root is never overwritten."""
        if (directory / "authority.key").exists() or (directory / "root.pem").exists():
            raise FileExistsError(f"{directory} already holds an authority; choose another folder or remove it")
        authority = root_certificate("Entente development root")
        _write_key(directory / "authority.key", authority.key)
        _write_certificate(directory / "root.pem", authority.certificate)
        made = cls(directory, authority)
        made.renew_revocations()
        return made

    @classmethod
    def open(cls, directory: Path) -> Authority:
        """Opens what `create` made. Raises FileNotFoundError."""
        certificate = x509.load_pem_x509_certificate((directory / "root.pem").read_bytes())
        return cls(directory, CertificateAuthority(certificate, _load_key(directory / "authority.key")))

    @property
    def root(self) -> Path:
        """The trust root, in PEM."""
        return self._directory / "root.pem"

    @property
    def revocations(self) -> Path:
        """The list of what this root has revoked, in PEM."""
        return self._directory / "revocations.pem"

    def renew_revocations(self, *, life: timedelta = LIST_LIFE) -> Path:
        """Signs the list again, with the next number and a new end; what is revoked stays so."""
        former = self._list()
        return self._write_list(list(former or ()), former, life)

    def revoke(self, serial: int, *, life: timedelta = LIST_LIFE) -> Path:
        """Adds a certificate to the list by its serial. Revoking it again changes nothing but the list's dates."""
        former = self._list()
        revoked = list(former or ())
        if all(one.serial_number != serial for one in revoked):
            revoked.append(revoked_certificate(serial))
        return self._write_list(revoked, former, life)

    def _list(self) -> x509.CertificateRevocationList | None:
        if not self.revocations.exists():
            return None
        return x509.load_pem_x509_crl(self.revocations.read_bytes())

    def _write_list(
        self,
        revoked: Sequence[x509.RevokedCertificate],
        former: x509.CertificateRevocationList | None,
        life: timedelta,
    ) -> Path:
        # A list that revokes nothing is falsy.
        number = 0 if former is None else former.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        made = revocation_list(self._authority, revoked, number + 1, life)
        write_atomically(self.revocations, made.public_bytes(serialization.Encoding.PEM), PUBLIC_MODE)
        return self.revocations

    def sign_request(
        self, pem: bytes, trust_domain: str, agency: str, *, workload: str = "gateway", life: timedelta = DEFAULT_LIFE
    ) -> bytes:
        """The certificate, in PEM, for a request (PKCS #10, PEM) that asks for this agency's workload and nothing else.

        Raises ValueError where the name is bad, the life too long, or the request unfit (`certs.requests`).
        """
        check_agency(trust_domain, agency)
        check_agency(trust_domain, workload)
        spiffe_id = _spiffe_id(trust_domain, agency, workload)
        certificate = agency_certificate(self._authority, requested_key(pem, spiffe_id), spiffe_id, life)
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue_broker(
        self, name: str = "broker", hosts: Sequence[str] = LOCAL_HOSTS, *, life: timedelta = DEFAULT_LIFE
    ) -> BrokerCredentials:
        """A new key and server certificate for the broker."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = broker_certificate(self._authority, key.public_key(), name, hosts, life)
        folder = self._directory / "broker"
        _write_key(folder / "key.pem", key)
        _write_certificate(folder / "cert.pem", certificate)
        return BrokerCredentials(folder / "cert.pem", folder / "key.pem", self.root)

    def issue_agency(
        self, trust_domain: str, agency: str, *, workload: str = "gateway", life: timedelta = DEFAULT_LIFE
    ) -> AgencyCredentials:
        """A new key and client certificate, and on the first call an issuer key. Raises ValueError for a bad name."""
        check_agency(trust_domain, agency)
        check_agency(trust_domain, workload)
        credentials = self.agency(trust_domain, agency)
        if not credentials.issuer_key.exists():
            _write_key(credentials.issuer_key, ec.generate_private_key(ec.SECP256R1()))
        issuer_key = _load_key(credentials.issuer_key)
        write_atomically(credentials.jwks, jwks_document([issuer_key.public_key()]), PUBLIC_MODE)
        key = ec.generate_private_key(ec.SECP256R1())
        spiffe_id = _spiffe_id(trust_domain, agency, workload)
        certificate = agency_certificate(self._authority, key.public_key(), spiffe_id, life)
        _write_key(credentials.key, key)
        _write_certificate(credentials.certificate, certificate)
        return credentials

    def agency(self, trust_domain: str, agency: str) -> AgencyCredentials:
        """Where an agency's files lie, whether or not they exist yet. Raises ValueError for a bad name."""
        check_agency(trust_domain, agency)
        folder = self._directory / "agencies" / trust_domain / agency
        return AgencyCredentials(
            trust_domain,
            agency,
            folder / "cert.pem",
            folder / "key.pem",
            folder / "issuer.key",
            folder / "jwks.json",
            self.root,
        )


def _spiffe_id(trust_domain: str, agency: str, workload: str) -> str:
    return f"spiffe://{trust_domain}/agency/{agency}/{workload}"


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomically(path, pem, SECRET_MODE)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_atomically(path, certificate.public_bytes(serialization.Encoding.PEM), PUBLIC_MODE)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} does not hold a P-256 key")  # noqa: TRY004 - a file's content, not a type
    return key
