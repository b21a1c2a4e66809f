"""Certificates written byte by byte, for what no library will write: old versions, doubled extensions, broken DER.

Everything that a case does not mention fits the broker's profile today, so that a refusal can only come from what it
does mention. Times are seconds from now.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.identities import key_usage

Extension = tuple[str, bool, bytes]
SignInput = Callable[[bytes], bytes]

DAY = 86_400.0


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element of DER."""
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytes([40 * first + second])
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return tlv(0x06, content)


def moment(seconds: float) -> bytes:
    """A Time so many seconds from now; from 2050 on in its long form."""
    when = datetime.fromtimestamp(int(time.time() + seconds), UTC)
    if when.year < 2050:
        return tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())


def common_name(text: str) -> bytes:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]).public_bytes()


def extension(value: x509.ExtensionType, *, critical: bool = False) -> Extension:
    return value.oid.dotted_string, critical, value.public_bytes()


def general_names(*names: tuple[int, bytes]) -> bytes:
    """A SubjectAltName's value from tags and contents: 1 e-mail, 2 DNS, 6 URI, 7 address."""
    return sequence(*(tlv(0x80 | tag, content) for tag, content in names))


@dataclass(frozen=True)
class Algorithm:
    """How a certificate is signed: its AlgorithmIdentifier, and the signature of bytes."""

    identifier: bytes
    sign: SignInput


_NULL = b"\x05\x00"
_ECDSA = {"sha1": "1", "sha224": "3.1", "sha256": "3.2", "sha384": "3.3", "sha512": "3.4"}
_RSA = {"md5": "4", "sha1": "5", "sha224": "14", "sha256": "11", "sha384": "12", "sha512": "13"}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def algorithm(key: Any, digest: str = "sha256") -> Algorithm:
    """The usual algorithm of a key, with this digest."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        identifier = sequence(oid(f"1.2.840.10045.4.{_ECDSA[digest]}"))
        return Algorithm(identifier, lambda content: key.sign(content, ec.ECDSA(_HASHES[digest])))
    if isinstance(key, rsa.RSAPrivateKey):
        identifier = sequence(oid(f"1.2.840.113549.1.1.{_RSA[digest]}"), _NULL)
        return Algorithm(identifier, lambda content: key.sign(content, padding.PKCS1v15(), _HASHES[digest]))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Algorithm(sequence(oid("1.3.101.112")), key.sign)
    assert isinstance(key, ed448.Ed448PrivateKey)
    return Algorithm(sequence(oid("1.3.101.113")), key.sign)


@dataclass(frozen=True)
class Issuer:
    """Whoever signs: a name in DER, a key, and its own certificate in DER."""

    name: bytes
    key: Any
    der: bytes


def spiffe_id(agency: str = "northshire", workload: str = "gateway", trust_domain: str = "police.example") -> str:
    return f"spiffe://{trust_domain}/agency/{agency}/{workload}"


def san(*uris: str, more: Sequence[tuple[int, bytes]] = ()) -> Extension:
    return "2.5.29.17", False, general_names(*((6, uri.encode()) for uri in uris), *more)


LEAF_USAGE = extension(key_usage(digital_signature=True), critical=True)
CLIENT_AUTH = extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
NO_CA = extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
CA = extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
CA_USAGE = extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)


@cache
def p256(label: str) -> ec.EllipticCurvePrivateKey:
    """One key for each label, made once."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Forged:
    """A certificate. `extensions` replaces all four that the profile wants; None leaves the field out altogether."""

    issuer: Issuer
    key: Any = field(default_factory=lambda: p256("leaf"))
    names: Extension | None = field(default_factory=lambda: san(spiffe_id()))
    constraints: Extension | None = NO_CA
    usage: Extension | None = LEAF_USAGE
    purposes: Extension | None = CLIENT_AUTH
    more: Sequence[Extension] = ()
    subject: bytes = field(default_factory=lambda: common_name("forged"))
    issuer_name: bytes | None = None
    serial: bytes = field(default_factory=lambda: integer(int.from_bytes(os.urandom(15), "big") | 1 << 112))
    version: int | None = 2
    begins: bytes = field(default_factory=lambda: moment(-60))
    ends: bytes = field(default_factory=lambda: moment(30 * DAY))
    spki: bytes | None = None
    digest: str = "sha256"
    inner_algorithm: bytes | None = None
    outer_algorithm: bytes | None = None
    sign: SignInput | None = None
    before_extensions: bytes = b""
    extension_field: bytes | None = None

    def extensions(self) -> list[Extension]:
        given = (self.names, self.constraints, self.usage, self.purposes)
        return [each for each in given if each is not None] + list(self.more)

    def der(self) -> bytes:
        chosen = algorithm(self.issuer.key, self.digest)
        tbs = self._tbs(self.inner_algorithm or chosen.identifier)
        signature = (self.sign or chosen.sign)(tbs)
        return sequence(tbs, self.outer_algorithm or chosen.identifier, tlv(0x03, b"\x00", signature))

    def _tbs(self, identifier: bytes) -> bytes:
        spki = self.spki or self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return sequence(
            b"" if self.version is None else tlv(0xA0, integer(self.version)),
            self.serial,
            identifier,
            self.issuer.name if self.issuer_name is None else self.issuer_name,
            sequence(self.begins, self.ends),
            self.subject,
            spki,
            self.before_extensions,
            self._extension_field(),
        )

    def _extension_field(self) -> bytes:
        if self.extension_field is not None:
            return self.extension_field
        written = [
            sequence(oid(name), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))
            for name, critical, value in self.extensions()
        ]
        return tlv(0xA3, sequence(*written)) if written else b""


def authority(name: str, issuer: Issuer | None = None, **changes: Any) -> Issuer:
    """A certificate authority, self-signed without an issuer. `changes` are fields of Forged."""
    key = changes.pop("key", None) or p256(f"authority {name}")
    whole = Forged(
        issuer or Issuer(common_name(name), key, b""),
        key=key,
        subject=common_name(name),
        **{"names": None, "purposes": None, "constraints": CA, "usage": CA_USAGE, **changes},
    )
    return Issuer(whole.subject, key, whole.der())


def without(forged: Forged, **changes: Any) -> Forged:
    """The same with these fields changed."""
    return replace(forged, **changes)


def pem(*ders: bytes) -> bytes:
    """Concatenated PEM."""
    blocks = []
    for der in ders:
        text = base64.encodebytes(der).replace(b"\n", b"")
        lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        blocks.append(b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n")
    return b"".join(blocks)


def key_pem(key: Any) -> bytes:
    raw: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return raw


def mismatched_key_pem(claimed: ec.EllipticCurvePrivateKey, real: ec.EllipticCurvePrivateKey) -> bytes:
    """A key file (RFC 5915) that states one public key and signs with another: a stolen certificate without its key."""
    scalar = real.private_numbers().private_value.to_bytes(32, "big")
    point = claimed.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    der = sequence(
        integer(1),
        tlv(0x04, scalar),
        tlv(0xA0, oid("1.2.840.10045.3.1.7")),
        tlv(0xA1, tlv(0x03, b"\x00", point)),
    )
    return b"-----BEGIN EC PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END EC PRIVATE KEY-----\n"


def respelled(der: bytes, order: int) -> bytes:
    """The same certificate with (r, n - s) for its ECDSA signature (r, s), which holds as well and needs no key.

    `order` is n, of the signer's curve.
    """
    certificate = x509.load_der_x509_certificate(der)
    r, s = utils.decode_dss_signature(certificate.signature)
    signature = utils.encode_dss_signature(r, order - s)
    identifier = sequence(oid(certificate.signature_algorithm_oid.dotted_string))
    return sequence(certificate.tbs_certificate_bytes, identifier, tlv(0x03, b"\x00", signature))


def thumbprint(der: bytes) -> bytes:
    """What a token is bound to (RFC 8705 section 3.1)."""
    return hashlib.sha256(der).digest()


def revocation_list(
    issuer: Issuer,
    *serials: int,
    begins: float = -60,
    ends: float = 7 * DAY,
    key: Any = None,
    number: int = 1,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """What this authority has revoked, in PEM. Another `key` makes it a forgery."""
    now = datetime.fromtimestamp(int(time.time()), UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer.name))
        .last_update(now + timedelta(seconds=begins))
        .next_update(now + timedelta(seconds=ends))
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for value, critical in more:
        builder = builder.add_extension(value, critical)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now + timedelta(seconds=begins))
        builder = builder.add_revoked_certificate(entry.build())
    signing = issuer.key if key is None else key
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signing, digest).public_bytes(serialization.Encoding.PEM)


def _name(der: bytes) -> x509.Name:
    """A name's object, by way of a certificate that bears it: the library reads no bare names."""
    holder = Forged(Issuer(der, p256("name"), b""), key=p256("name"), subject=der)
    return x509.load_der_x509_certificate(holder.der()).subject
