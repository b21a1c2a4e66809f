"""Leaves of the network's own authority, odd in one way each: time, form, key and signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519

from tests.attacks.suite.case import ACCEPTED, HANDSHAKE, Case, Expected, refused
from tests.attacks.suite.presented import Make, Presented, certificate_case, judged_case, leaf
from tests.attacks.suite.target import Target
from tests.support import forged
from tests.support.forged import DAY, Forged, extension, integer, moment, oid, sequence, tlv
from tests.support.identities import ed25519_key, rsa_key

INVALID = refused("CERTIFICATE_INVALID")
EXPIRED = refused("CERTIFICATE_EXPIRED")
NULL = b"\x05\x00"
UNKNOWN_OID = "1.3.6.1.4.1.57264.99.1"


def cases() -> list[Case]:
    """All of this file."""
    tables: tuple[dict[str, tuple[Make, Expected]], ...] = (_times(), _forms(), _keys(), _signatures())
    wire = [certificate_case(name, make, expected) for table in tables for name, (make, expected) in table.items()]
    return wire + [judged_case(name, make, expected) for name, (make, expected) in _unpresentable().items()]


def _times() -> dict[str, tuple[Make, Expected]]:
    def span(begins: float, ends: float) -> Make:
        return lambda target: Forged(target.leaf_authority, begins=moment(begins), ends=moment(ends))

    def raw(begins: bytes, ends: bytes) -> Make:
        return lambda target: Forged(target.leaf_authority, begins=begins, ends=ends)

    utc = lambda text: tlv(0x17, text)  # noqa: E731 - an abbreviation
    long = lambda text: tlv(0x18, text)  # noqa: E731 - an abbreviation
    return {
        "time: expired a second ago": (span(-DAY, -1), HANDSHAKE),
        "time: expired a day ago": (span(-2 * DAY, -DAY), HANDSHAKE),
        "time: not valid for ten seconds yet": (span(10, DAY), HANDSHAKE),
        "time: not valid until tomorrow": (span(DAY, 2 * DAY), HANDSHAKE),
        "time: 90 days exactly": (span(-60, 90 * DAY - 60), ACCEPTED),
        "time: 90 days and a second": (span(-60, 90 * DAY - 59), INVALID),
        "time: a year": (span(-60, 365 * DAY), INVALID),
        "time: ten years": (span(-60, 3650 * DAY), INVALID),
        "time: until 9999": (raw(moment(-60), long(b"99991231235959Z")), INVALID),
        "time: backwards": (span(DAY, -DAY), HANDSHAKE),
        "time: a minute of life": (span(-30, 30), ACCEPTED),
        "time: not a date": (raw(moment(-60), utc(b"hello")), HANDSHAKE),
        "time: 30 February": (raw(moment(-60), utc(b"270230000000Z")), HANDSHAKE),
        "time: hour 25": (raw(moment(-60), utc(b"270101250000Z")), HANDSHAKE),
        "time: without seconds": (raw(moment(-60), utc(b"2701010000Z")), HANDSHAKE),
        "time: with an offset": (raw(moment(-60), utc(b"270101000000+0000")), HANDSHAKE),
        "time: fractional": (raw(moment(-60), long(b"20270101000000.5Z")), HANDSHAKE),
        "time: a short date in the long form": (raw(moment(-60), long(b"270101000000Z")), HANDSHAKE),
        "time: empty": (raw(moment(-60), utc(b"")), HANDSHAKE),
        "time: this century in the long form": (raw(long(b"20200101000000Z"), long(b"20400101000000Z")), INVALID),
    }


def _forms() -> dict[str, tuple[Make, Expected]]:
    unknown = (UNKNOWN_OID, True, NULL)
    return {
        "form: version 1": (leaf(version=None, extension_field=b""), INVALID),
        "form: version 1 with extensions": (leaf(version=None), HANDSHAKE),
        "form: version 2": (leaf(version=1, extension_field=b""), INVALID),
        "form: version 2 with extensions": (leaf(version=1), HANDSHAKE),
        "form: version 4": (leaf(version=3), HANDSHAKE),
        "form: version -1": (leaf(version=-1), HANDSHAKE),
        "form: no extensions": (leaf(extension_field=b""), INVALID),
        "form: an empty list of extensions": (leaf(extension_field=tlv(0xA3, sequence())), INVALID),
        "form: unknown critical extension": (leaf(more=[unknown]), HANDSHAKE),
        "form: unknown extension that is not critical": (leaf(more=[(UNKNOWN_OID, False, NULL)]), ACCEPTED),
        "form: an empty EKU": (leaf(purposes=("2.5.29.37", False, sequence())), HANDSHAKE),
        "form: an empty SAN": (leaf(names=("2.5.29.17", False, sequence())), INVALID),
        "form: serial zero": (leaf(serial=integer(0)), INVALID),
        "form: negative serial": (leaf(serial=integer(-5)), INVALID),
        "form: a serial of 21 bytes": (leaf(serial=tlv(0x02, b"\x01" * 21)), INVALID),
        "form: a serial of 2,000 bytes": (leaf(serial=tlv(0x02, b"\x01" * 2000)), INVALID),
        "form: empty subject": (leaf(subject=sequence()), ACCEPTED),
        # A common name names nobody: the identity is the SAN's.
        "form: the authority's own subject": (
            lambda target: Forged(target.leaf_authority, subject=target.leaf_authority.name),
            ACCEPTED,
        ),
        "form: a subject of 4 KB": (leaf(subject=lambda: _long_name(4000)), ACCEPTED),
        "form: unique identifiers": (
            leaf(before_extensions=tlv(0x81, b"\x00ab") + tlv(0x82, b"\x00cd")),
            ACCEPTED,
        ),
        "form: larger than 8 KB": (leaf(more=[(UNKNOWN_OID, False, tlv(0x04, b"x" * 9000))]), HANDSHAKE),
        "form: a thousand unknown extensions": (
            leaf(more=[(f"{UNKNOWN_OID}.{n}", False, NULL) for n in range(1000)]),
            HANDSHAKE,
        ),
        "form: critical name constraints in a leaf": (leaf(more=[_permitted("police.example")]), INVALID),
        "form: critical policy constraints": (
            leaf(more=[extension(x509.PolicyConstraints(0, None), critical=True)]),
            HANDSHAKE,
        ),
        "form: critical certificate policies": (
            leaf(
                more=[
                    extension(
                        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(UNKNOWN_OID), None)]),
                        critical=True,
                    )
                ]
            ),
            INVALID,
        ),
        "form: critical AIA": (leaf(more=[_aia()]), HANDSHAKE),
        "form: critical distribution points": (leaf(more=[_distribution_points()]), HANDSHAKE),
        "form: OCSP must-staple": (
            leaf(more=[extension(x509.TLSFeature([x509.TLSFeatureType.status_request]))]),
            ACCEPTED,
        ),
        "form: a precertificate's poison": (leaf(more=[extension(x509.PrecertPoison(), critical=True)]), HANDSHAKE),
    }


def _unpresentable() -> dict[str, tuple[Make, Expected]]:
    """No TLS library here will load these to send them: the profile judges them in this process."""
    double = forged.san(forged.spiffe_id(agency="north-region"))
    return {
        "form: nothing odd": (leaf(), ACCEPTED),
        "form: the SAN twice": (leaf(more=[double]), INVALID),
        "form: the SAN twice, the second another agency's": (leaf(names=double, more=[forged.san()]), INVALID),
        "form: key usage twice": (leaf(more=[forged.LEAF_USAGE]), INVALID),
        "form: basic constraints twice": (leaf(more=[forged.NO_CA]), INVALID),
        "form: EKU twice": (leaf(more=[forged.CLIENT_AUTH]), INVALID),
        "form: an extension that is no DER": (leaf(more=[("2.5.29.35", False, b"\x30\x80")]), INVALID),
        "form: a SAN that is no DER": (leaf(names=("2.5.29.17", False, b"\x30\x05abc")), INVALID),
        "form: an EKU that is no DER": (leaf(purposes=("2.5.29.37", False, b"hello")), INVALID),
        "form: a key usage that is no DER": (leaf(usage=("2.5.29.15", True, b"\x04\x01\x80")), INVALID),
        "form: basic constraints that are no DER": (leaf(constraints=("2.5.29.19", True, b"\x02\x01\x00")), INVALID),
        "form: an empty serial": (leaf(serial=tlv(0x02, b"")), INVALID),
        "form: a padded serial": (leaf(serial=tlv(0x02, b"\x00\x00\x01")), INVALID),
        "key: a point that is not on the curve": (_off_curve, INVALID),
        "key: X25519": (_spki(lambda: x25519.X25519PrivateKey.generate().public_key()), INVALID),
        "key: explicit curve parameters": (_explicit_curve, INVALID),
    }


def _long_name(length: int) -> bytes:
    part = sequence(oid("2.5.4.11"), tlv(0x0C, b"x" * 60))
    return sequence(*([tlv(0x31, part)] * (length // 70)))


def _permitted(name: str) -> forged.Extension:
    return extension(x509.NameConstraints([x509.UniformResourceIdentifier(name)], None), critical=True)


def _aia() -> forged.Extension:
    where = x509.UniformResourceIdentifier("http://127.0.0.1:9/ca.der")
    described = x509.AccessDescription(x509.AuthorityInformationAccessOID.CA_ISSUERS, where)
    return extension(x509.AuthorityInformationAccess([described]), critical=True)


def _distribution_points() -> forged.Extension:
    where = [x509.UniformResourceIdentifier("http://127.0.0.1:9/list.crl")]
    point = x509.DistributionPoint(full_name=where, relative_name=None, reasons=None, crl_issuer=None)
    return extension(x509.CRLDistributionPoints([point]), critical=True)


def _keys() -> dict[str, tuple[Make, Expected]]:
    def keyed(make: Callable[[], Any]) -> Make:
        return lambda target: Forged(target.leaf_authority, key=make())

    def curve(kind: type[ec.EllipticCurve]) -> Make:
        return keyed(lambda: ec.generate_private_key(kind()))

    return {
        "key: P-256": (keyed(lambda: ec.generate_private_key(ec.SECP256R1())), ACCEPTED),
        "key: RSA-2048": (keyed(lambda: rsa_key(2048)), ACCEPTED),
        "key: RSA-3072": (keyed(lambda: rsa_key(3072)), ACCEPTED),
        "key: RSA-4096": (keyed(lambda: rsa_key(4096)), ACCEPTED),
        "key: RSA-1024": (keyed(lambda: rsa_key(1024)), INVALID),
        "key: RSA-1536": (keyed(lambda: rsa_key(1536)), INVALID),
        "key: RSA-2047": (keyed(lambda: rsa_key(2047)), INVALID),
        "key: RSA-2048 with e = 3": (keyed(lambda: rsa_key(2048, 3)), INVALID),
        "key: P-384": (curve(ec.SECP384R1), INVALID),
        "key: P-521": (curve(ec.SECP521R1), HANDSHAKE),
        "key: P-224": (curve(ec.SECP224R1), HANDSHAKE),
        "key: secp256k1": (curve(ec.SECP256K1), HANDSHAKE),
        "key: brainpoolP256r1": (curve(ec.BrainpoolP256R1), HANDSHAKE),
        "key: Ed25519 (no TLS library in use here takes it from a client)": (
            keyed(lambda: ed25519_key("leaf")),
            HANDSHAKE,
        ),
        "key: Ed448": (keyed(ed448.Ed448PrivateKey.generate), HANDSHAKE),
        "key: that of the authority": (
            lambda target: Forged(target.leaf_authority, key=target.leaf_authority.key),
            ACCEPTED,
        ),
        "key: proof by another key": (_stolen, HANDSHAKE),
        "key: P-256 as a compressed point": (_compressed, INVALID),
    }


def _stolen(target: Target) -> Presented:
    made = Forged(target.leaf_authority)
    return Presented(made.der(), forged.mismatched_key_pem(made.key, forged.p256("thief")))


def _ec_spki(point: bytes, parameters: bytes | None = None) -> bytes:
    curve = parameters or oid("1.2.840.10045.3.1.7")
    return sequence(sequence(oid("1.2.840.10045.2.1"), curve), tlv(0x03, b"\x00", point))


def _point(form: serialization.PublicFormat) -> bytes:
    return forged.p256("leaf").public_key().public_bytes(serialization.Encoding.X962, form)


def _with_spki(target: Target, spki: bytes) -> Presented:
    made = Forged(target.leaf_authority, spki=spki)
    return Presented(made.der(), forged.key_pem(made.key))


def _compressed(target: Target) -> Presented:
    return _with_spki(target, _ec_spki(_point(serialization.PublicFormat.CompressedPoint)))


def _off_curve(target: Target) -> Presented:
    point = bytearray(_point(serialization.PublicFormat.UncompressedPoint))
    point[-1] ^= 1
    return _with_spki(target, _ec_spki(bytes(point)))


def _spki(make: Callable[[], Any]) -> Make:
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return lambda target: _with_spki(target, make().public_bytes(der, info))


def _explicit_curve(target: Target) -> Presented:
    """P-256 by its numbers (CVE-2020-0601): the sender could choose the generator."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    field = sequence(oid("1.2.840.10045.1.1"), integer(prime))
    curve = sequence(tlv(0x04, (prime - 3).to_bytes(32, "big")), tlv(0x04, b.to_bytes(32, "big")))
    point = _point(serialization.PublicFormat.UncompressedPoint)
    parameters = sequence(integer(1), field, curve, tlv(0x04, point), integer(order), integer(1))
    return _with_spki(target, _ec_spki(point, parameters))


def _signatures() -> dict[str, tuple[Make, Expected]]:
    sha256 = forged.algorithm(forged.p256("leaf")).identifier
    sha384 = forged.algorithm(forged.p256("leaf"), "sha384").identifier
    return {
        "signature: ECDSA with SHA-384": (leaf(digest="sha384"), ACCEPTED),
        "signature: ECDSA with SHA-512": (leaf(digest="sha512"), ACCEPTED),
        "signature: ECDSA with SHA-224": (leaf(digest="sha224"), INVALID),
        "signature: ECDSA with SHA-1": (leaf(digest="sha1"), INVALID),
        "signature: RSA with MD5": (_rsa_signed("md5"), HANDSHAKE),
        "signature: RSA with SHA-1": (_rsa_signed("sha1"), HANDSHAKE),
        "signature: of other bytes": (_signed_over(b"other"), HANDSHAKE),
        "signature: empty": (leaf(sign=lambda: lambda _: b""), HANDSHAKE),
        "signature: zero r and s": (leaf(sign=lambda: lambda _: sequence(integer(0), integer(0))), HANDSHAKE),
        "signature: r and s of the order": (leaf(sign=lambda: lambda _: _order_signature()), HANDSHAKE),
        "signature: with a byte after it": (_trailing_signature, HANDSHAKE),
        "signature: the algorithm inside differs": (leaf(inner_algorithm=sha384), HANDSHAKE),
        "signature: the algorithm outside differs": (leaf(outer_algorithm=sha384), HANDSHAKE),
        "signature: the algorithm has parameters": (
            leaf(
                inner_algorithm=sequence(oid("1.2.840.10045.4.3.2"), NULL),
                outer_algorithm=sequence(oid("1.2.840.10045.4.3.2"), NULL),
            ),
            INVALID,
        ),
        "signature: an unknown algorithm": (
            leaf(inner_algorithm=sequence(oid(UNKNOWN_OID)), outer_algorithm=sequence(oid(UNKNOWN_OID))),
            HANDSHAKE,
        ),
        "signature: the authority's name, a stranger's key": (_same_name, HANDSHAKE),
        "signature: a stranger's": (_stranger, HANDSHAKE),
        "signature: self-signed": (_self_signed, HANDSHAKE),
        "signature: self-signed with the authority's name": (_self_signed_as_authority, HANDSHAKE),
        "signature: by another agency's leaf": (_signed_by_leaf, HANDSHAKE),
        "signature: RSA-PSS by the second root": (leaf(sign=lambda: lambda _: b"x", outer_algorithm=sha256), HANDSHAKE),
        "signature: high S is no other certificate": (_high_s, ACCEPTED),
    }


def _order_signature() -> bytes:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return sequence(integer(order), integer(order))


def _rsa_signed(digest: str) -> Make:
    def make(_: Target) -> Presented:
        issuer = forged.Issuer(forged.common_name(f"rsa {digest}"), rsa_key(2048), b"")
        made = Forged(issuer, digest=digest)
        return Presented(made.der(), forged.key_pem(made.key))

    return make


def _signed_over(content: bytes) -> Make:
    return lambda target: Forged(
        target.leaf_authority, sign=lambda _: target.leaf_authority.key.sign(content, ec.ECDSA(hashes.SHA256()))
    )


def _trailing_signature(target: Target) -> Forged:
    key = target.leaf_authority.key
    return Forged(target.leaf_authority, sign=lambda content: key.sign(content, ec.ECDSA(hashes.SHA256())) + b"\x00")


def _high_s(target: Target) -> Forged:
    """ECDSA signatures are malleable: the same certificate with another thumbprint, for which no token exists."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

    def sign(content: bytes) -> bytes:
        r, s = decode_dss_signature(target.leaf_authority.key.sign(content, ec.ECDSA(hashes.SHA256())))
        return sequence(integer(r), integer(max(s, order - s)))

    return Forged(target.leaf_authority, sign=sign)


def _same_name(target: Target) -> Forged:
    return Forged(forged.Issuer(target.leaf_authority.name, forged.p256("impostor"), b""))


def _stranger(_: Target) -> Forged:
    return Forged(forged.authority("stranger"))


def _self_signed(_: Target) -> Forged:
    return Forged(forged.Issuer(forged.common_name("forged"), forged.p256("leaf"), b""))


def _self_signed_as_authority(target: Target) -> Forged:
    name = target.leaf_authority.name
    return Forged(forged.Issuer(name, forged.p256("leaf"), b""), subject=name)


def _signed_by_leaf(target: Target) -> Presented:
    upper = Forged(target.leaf_authority, subject=forged.common_name("leaf that signs"))
    der = upper.der()
    made = Forged(forged.Issuer(upper.subject, upper.key, der), key=forged.p256("lower"))
    return Presented(made.der(), forged.key_pem(made.key), (der,))
