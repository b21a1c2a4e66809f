"""What each certificate of the development authority contains.

Guarantees: every agency's certificate satisfies the broker's certificate profile (one `spiffe://` URI, clientAuth,
a strong key, ECDSA with SHA-256, a life of at most 90 days), and the broker's own names only hosts that it was given.
Does not: keep keys or write files (`certs.authority` does).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.requests import AgencyKey

ROOT_LIFE = timedelta(days=730)
DEFAULT_LIFE = timedelta(days=30)
LONGEST_LIFE = timedelta(days=89)
"""One day under the broker's limit of 90, which counts from the back-dated not-before."""

LIST_LIFE = timedelta(days=30)
"""How long a revocation list counts, before it must be renewed."""

BACKDATE = timedelta(minutes=1)
"""A certificate is valid at once on a machine whose clock is slightly behind."""

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

_TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?", re.ASCII)
_SEGMENT = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62})", re.ASCII)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A certificate that may sign others, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def check_agency(trust_domain: str, agency: str) -> None:
    """Raises ValueError for a name that is not a SPIFFE trust domain or path segment; the names become folders."""
    if not _TRUST_DOMAIN.fullmatch(trust_domain) or ".." in trust_domain:
        raise ValueError("a trust domain is lower-case letters, digits, '.', '-' and '_', such as police.example")
    if not _SEGMENT.fullmatch(agency):
        raise ValueError("an agency id is lower-case letters, digits, '.', '-' and '_', such as northshire")


def root_certificate(name: str) -> CertificateAuthority:
    """A self-signed P-256 root that signs end certificates only (path length 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = (
        _builder(subject, subject, key.public_key(), ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return CertificateAuthority(builder.sign(key, hashes.SHA256()), key)


def revocation_list(
    authority: CertificateAuthority,
    revoked: Iterable[x509.RevokedCertificate],
    number: int,
    life: timedelta = LIST_LIFE,
) -> x509.CertificateRevocationList:
    """The authority's signed list of what it has revoked, which must be renewed within `life`."""
    now = datetime.now(UTC).replace(microsecond=0)
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + life)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(one)
    return builder.sign(authority.key, hashes.SHA256())


def revoked_certificate(serial: int) -> x509.RevokedCertificate:
    """An entry of a list: this serial, from now on."""
    now = datetime.now(UTC).replace(microsecond=0)
    return x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()


def agency_certificate(
    authority: CertificateAuthority,
    public_key: AgencyKey,
    spiffe_id: str,
    life: timedelta = DEFAULT_LIFE,
) -> x509.Certificate:
    """A client certificate whose identity is its one SPIFFE URI. Raises ValueError above `LONGEST_LIFE`."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
    return _end_certificate(
        authority, public_key, spiffe_id.rpartition("/agency/")[2], names, ExtendedKeyUsageOID.CLIENT_AUTH, life
    )


def broker_certificate(
    authority: CertificateAuthority,
    public_key: ec.EllipticCurvePublicKey,
    name: str,
    hosts: Sequence[str] = LOCAL_HOSTS,
    life: timedelta = DEFAULT_LIFE,
) -> x509.Certificate:
    """A server certificate for DNS names and IP addresses. Raises ValueError without a host."""
    if not hosts:
        raise ValueError("a broker's certificate needs at least one host name or address")
    return _end_certificate(
        authority, public_key, name, [_host(host) for host in hosts], ExtendedKeyUsageOID.SERVER_AUTH, life
    )


def _end_certificate(
    authority: CertificateAuthority,
    public_key: AgencyKey,
    common_name: str,
    names: list[x509.GeneralName],
    usage: x509.ObjectIdentifier,
    life: timedelta,
) -> x509.Certificate:
    if not timedelta() < life <= LONGEST_LIFE:
        raise ValueError(f"a certificate lives at most {LONGEST_LIFE.days} days")
    issuer = authority.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name(common_name), issuer.subject, public_key, life)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    return builder.sign(authority.key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, public_key: AgencyKey, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    # X.520 caps a common name at 64 characters; the identity is in the SAN, never here.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
