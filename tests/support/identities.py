"""Certificates and tokens that fit, and ones that are odd in exactly one way.

`Pki` signs whatever it is told to; `Agency` is one agency with a certificate, an issuer and its keys. Everything that a
test does not mention is right, so that a refusal can only come from what it does mention.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.domain.caller import AgencyId, Peer
from broker.identify.certificate import CertificateProfile
from broker.identify.issuers import IssuerEntry, Issuers
from broker.identify.revocation_list import RevocationList, RevocationLists, read_lists
from broker.identify.roots import TrustRoots
from broker.identify.token import TokenVerifier
from certs.issuer import encode_segment, jwks_document, key_id

NOW = 1_800_000_000
TRUST_DOMAIN = "police.example"
AUDIENCE = "urn:entente:broker:test"


@dataclass
class SetClock:
    """A clock that stands still until it is set; `seconds` since the epoch, also monotonic."""

    seconds: float = NOW

    def now_us(self) -> int:
        return int(self.seconds * 1_000_000)

    def monotonic_us(self) -> int:
        return int(self.seconds * 1_000_000)


def at(seconds: float) -> datetime:
    """The moment so many seconds after NOW."""
    return datetime.fromtimestamp(NOW + seconds, UTC)


@cache
def p256(label: str) -> ec.EllipticCurvePrivateKey:
    """One key for each label, made once."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


class FlawedKey:
    """The public half of an RSA key whose modulus has the structure that ROCA breaks (CVE-2017-15361)."""

    def public_key(self) -> rsa.RSAPublicKey:
        small = math.prod(number for number in range(2, 168) if all(number % lower for lower in range(2, number)))
        # 65537 modulo every small prime, odd, and of 2048 bits.
        modulus = (2**2047 // small + 1) * small + 65537
        return rsa.RSAPublicNumbers(65537, modulus).public_key()


@cache
def ed25519_key(label: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def key_usage(**chosen: bool) -> x509.KeyUsage:
    """No usage but the chosen."""
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{usage: chosen.get(usage, False) for usage in every})


@dataclass(frozen=True)
class Signer:
    """Whoever signs a certificate: a name and a key."""

    subject: x509.Name
    key: Any
    certificate: x509.Certificate


CA_EXTENSIONS: tuple[tuple[x509.ExtensionType, bool], ...] = (
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (key_usage(key_cert_sign=True, crl_sign=True), True),
)


def authority(
    common_name: str,
    signer: Signer | None = None,
    *,
    key: Any = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = CA_EXTENSIONS,
    begins: float = -1000,
    ends: float = 1_000_000,
    algorithm: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008 - immutable
) -> Signer:
    """A CA certificate, self-signed without a signer."""
    own = p256(common_name) if key is None else key
    subject = name(common_name)
    certificate = sign(
        subject,
        own,
        signer or Signer(subject, own, None),
        extensions,
        begins,
        ends,
        algorithm,  # type: ignore[arg-type]
    )
    return Signer(subject, own, certificate)


def sign(
    subject: x509.Name,
    key: Any,
    signer: Signer,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    begins: float,
    ends: float,
    algorithm: hashes.HashAlgorithm | None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at(begins))
        .not_valid_after(at(ends))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(signer.key, algorithm)


@cache
def root() -> Signer:
    """The root that the tests' profile trusts."""
    return authority("test root", ends=10_000_000)


def spiffe(agency: str = "alfa", workload: str = "gateway", trust_domain: str = TRUST_DOMAIN) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(f"spiffe://{trust_domain}/agency/{agency}/{workload}")


@dataclass
class Leaf:
    """A client certificate that fits the profile, except where a test changes a field. None leaves an extension out."""

    names: Sequence[x509.GeneralName] | None = field(default_factory=lambda: [spiffe()])
    usages: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    constraints: x509.BasicConstraints | None = field(default_factory=lambda: x509.BasicConstraints(False, None))
    key_usage: x509.KeyUsage | None = field(default_factory=lambda: key_usage(digital_signature=True))
    extra: Sequence[tuple[x509.ExtensionType, bool]] = ()
    begins: float = -60
    ends: float = 86400
    key: Any = field(default_factory=lambda: p256("leaf"))
    algorithm: hashes.HashAlgorithm | None = field(default_factory=hashes.SHA256)
    signer: Signer = field(default_factory=root)

    def certificate(self) -> x509.Certificate:
        extensions: list[tuple[x509.ExtensionType, bool]] = list(self.extra)
        if self.names is not None:
            extensions.append((x509.SubjectAlternativeName(self.names), False))
        if self.usages is not None:
            extensions.append((x509.ExtendedKeyUsage(self.usages), False))
        if self.constraints is not None:
            extensions.append((self.constraints, True))
        if self.key_usage is not None:
            extensions.append((self.key_usage, True))
        return sign(name("leaf"), self.key, self.signer, extensions, self.begins, self.ends, self.algorithm)

    def pem(self) -> bytes:
        return pem(self.certificate())


def revocation_list(
    signer: Signer,
    *revoked: x509.Certificate,
    number: int = 1,
    begins: float = -1000,
    ends: float = 10_000_000,
    algorithm: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008 - immutable
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    entry: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.CertificateRevocationList:
    """What this authority has revoked; a number of 0 leaves the number out."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.subject)
        .last_update(at(begins))
        .next_update(at(ends))
    )
    for value, critical in (*(((x509.CRLNumber(number), False),) if number else ()), *extra):
        builder = builder.add_extension(value, critical)
    for certificate in revoked:
        one = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(at(begins))
        for value, critical in entry:
            one = one.add_extension(value, critical)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(signer.key, algorithm)


def list_der(*arguments: Any, **settings: Any) -> bytes:
    """The same in DER."""
    return revocation_list(*arguments, **settings).public_bytes(serialization.Encoding.DER)


def read_list(content: bytes) -> RevocationList:
    """A file's one list."""
    (found,) = read_lists(content)
    return found


@cache
def _empty_list(signer: Signer) -> RevocationList:
    return read_list(list_der(signer))


def lists(*authorities: Signer) -> RevocationLists:
    """Lists, old enough for every test's clock, on which nothing is revoked: of the tests' root and of these."""
    return RevocationLists([_empty_list(one) for one in (root(), *authorities)], oldest_hours=10_000)


def profile(clock: SetClock, *authorities: Signer, **settings: Any) -> CertificateProfile:
    """The profile of the tests: one root, two trust domains, and a list of each authority named."""
    settings.setdefault("roots", TrustRoots.from_pem(pem(root().certificate)))
    settings.setdefault("lists", lists(*authorities))
    return CertificateProfile(trust_domains=[TRUST_DOMAIN, "abroad.example"], clock=clock, **settings)


def es256(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    """A signer of JWS signing inputs (RFC 7518 section 3.4)."""

    def sign_input(signing_input: bytes) -> bytes:
        r, s = utils.decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign_input


def compact(header: bytes, payload: bytes, signer: Callable[[bytes], bytes]) -> str:
    """The compact form of exactly these bytes."""
    signing_input = f"{encode_segment(header)}.{encode_segment(payload)}"
    return f"{signing_input}.{encode_segment(signer(signing_input.encode()))}"


ABSENT = object()
"""As a claim's or header's value: leave the member out."""


@dataclass(frozen=True)
class Agency:
    """An agency with its peer, issuer and issuer's key."""

    agency: str
    trust_domain: str = TRUST_DOMAIN

    @property
    def id(self) -> AgencyId:
        return AgencyId(self.trust_domain, self.agency)

    @property
    def issuer(self) -> str:
        return f"https://issuer.{self.trust_domain}/{self.agency}"

    @property
    def issuer_key(self) -> ec.EllipticCurvePrivateKey:
        return p256(f"issuer {self.id}")

    @property
    def peer(self) -> Peer:
        return Peer(self.id, "gateway", self.thumbprint, "1f", NOW + 86400)

    @property
    def thumbprint(self) -> bytes:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(str(self.id).encode())
        return digest.finalize()

    def header(self, **changes: object) -> dict[str, object]:
        whole = {"alg": "ES256", "typ": "at+jwt", "kid": key_id(self.issuer_key.public_key()), **changes}
        return {member: value for member, value in whole.items() if value is not ABSENT}

    def claims(self, **changes: object) -> dict[str, object]:
        whole: dict[str, object] = {
            "iss": self.issuer,
            "sub": "o.reyes",
            "aud": AUDIENCE,
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 300,
            "jti": "b7c1",
            "cnf": {"x5t#S256": encode_segment(self.thumbprint)},
            "roles": ["analyst"],
            "clearance": "SECRET",
            "purposes": ["CRIME_PREVENTION"],
            "nationalities": ["GB"],
            **changes,
        }
        return {member: value for member, value in whole.items() if value is not ABSENT}

    def token(self, header: Mapping[str, object] | None = None, **changes: object) -> str:
        """A correctly signed token with these claims changed."""
        return self.sign(json.dumps(self.claims(**changes)).encode(), header=header)

    def sign(self, payload: bytes, header: Mapping[str, object] | None = None) -> str:
        """A correctly signed token with exactly this payload, and these header members changed."""
        return compact(json.dumps(self.header(**(header or {}))).encode(), payload, es256(self.issuer_key))

    def entry(self, folder: Path) -> IssuerEntry:
        """Its registration, with a key file in the folder."""
        file = folder / f"{self.trust_domain}.{self.agency}.json"
        file.write_bytes(jwks_document([self.issuer_key.public_key()]))
        return IssuerEntry(self.issuer, self.id, file)


def verifier(clock: SetClock, folder: Path, *agencies: Agency, **settings: Any) -> TokenVerifier:
    """A verifier that knows these agencies' issuers."""
    return TokenVerifier(Issuers([each.entry(folder) for each in agencies]), AUDIENCE, clock, **settings)


def life(days: float) -> float:
    """Days in seconds."""
    return timedelta(days=days).total_seconds()
