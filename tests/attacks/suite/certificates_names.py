"""Names and usages: what identity a leaf of the network's own authority claims, and for what it may be used."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.attacks.suite.case import ACCEPTED, HANDSHAKE, Case, Expected, refused
from tests.attacks.suite.presented import Make, certificate_case, leaf
from tests.support import forged
from tests.support.forged import extension, general_names, oid, san, sequence, spiffe_id, tlv
from tests.support.identities import key_usage

INVALID = refused("CERTIFICATE_INVALID")
ISSUER = refused("ISSUER_NOT_ALLOWED")
GOOD = spiffe_id()
BASE = "spiffe://police.example/agency/northshire"


def cases() -> list[Case]:
    """All of this file."""
    odd = [certificate_case(f"SAN: {name}", leaf(names=san(uri)), INVALID) for name, uri in URIS.items()]
    tables = (_lists(), _usages(), _purposes())
    return odd + [certificate_case(name, make, end) for table in tables for name, (make, end) in table.items()]


URIS = {
    "an upper-case scheme": GOOD.replace("spiffe", "SPIFFE"),
    "a mixed-case scheme": GOOD.replace("spiffe", "Spiffe"),
    "https": GOOD.replace("spiffe", "https"),
    "no scheme": GOOD.replace("spiffe:", ""),
    "one slash": GOOD.replace("//", "/", 1),
    "three slashes": GOOD.replace("//", "///", 1),
    "backslashes": GOOD.replace("/", "\\"),
    "an upper-case trust domain": GOOD.replace("police.example", "Police.Example"),
    "a foreign trust domain": spiffe_id(trust_domain="elsewhere.example"),
    "a trust domain above": spiffe_id(trust_domain="example"),
    "a trust domain below": spiffe_id(trust_domain="x.police.example"),
    "a trust domain with our own as its start": spiffe_id(trust_domain="police.example.elsewhere.example"),
    "a trust domain that ends like ours": spiffe_id(trust_domain="notpolice.example"),
    "a trust domain with a dot at its end": spiffe_id(trust_domain="police.example."),
    "an empty trust domain": spiffe_id(trust_domain=""),
    "a user": GOOD.replace("police", "user@police"),
    "a user and a password": GOOD.replace("police", "user:pw@police"),
    "a port": GOOD.replace("example/", "example:443/"),
    "an empty port": GOOD.replace("example/", "example:/"),
    "a query": f"{GOOD}?agency=north-region",
    "an empty query": f"{GOOD}?",
    "a fragment": f"{GOOD}#north-region",
    "an empty fragment": f"{GOOD}#",
    "parameters": f"{GOOD};a=b",
    "no path": "spiffe://police.example",
    "an empty path": "spiffe://police.example/",
    "no agency": "spiffe://police.example/agency",
    "an empty agency": "spiffe://police.example/agency//gateway",
    "no workload": BASE,
    "an empty workload": f"{BASE}/",
    "another collection": GOOD.replace("/agency/", "/bureau/"),
    "an upper-case collection": GOOD.replace("/agency/", "/AGENCY/"),
    "no collection": GOOD.replace("/agency/", "/"),
    "a collection before it": GOOD.replace("/agency/", "/x/agency/"),
    "an upper-case agency": GOOD.replace("northshire", "Northshire"),
    "a double slash": f"{BASE}//gateway",
    "a slash at the end": f"{GOOD}/",
    "a dot segment": f"{BASE}/./gateway",
    "a dot segment at the end": f"{BASE}/gateway/.",
    "a climb to another agency": f"{BASE}/../north-region/gateway",
    "a climb at the end": f"{BASE}/gateway/..",
    "an agency of dots": GOOD.replace("northshire", ".."),
    "an agency of one dot": GOOD.replace("northshire", "."),
    "an escaped slash": GOOD.replace("northshire/", "northshire%2f"),
    "an escaped letter": GOOD.replace("northshire", "%6eorthshire"),
    "an escaped NUL": f"{GOOD}%00",
    "a NUL": f"{GOOD}\x00.example",
    "a NUL in the agency": GOOD.replace("northshire", "northshire\x00x"),
    "a line feed at the end": f"{GOOD}\n",
    "a line feed at the start": f"\n{GOOD}",
    "a space at the end": f"{GOOD} ",
    "a space in the agency": GOOD.replace("northshire", "north shire"),
    "a tab": GOOD.replace("northshire", "north\tshire"),
    "a plus": GOOD.replace("northshire", "north+shire"),
    "a star": GOOD.replace("northshire", "*"),
    "a Cyrillic letter": GOOD.replace("northshire", "nоrthshire"),
    "an accent": GOOD.replace("northshire", "nórthshire"),
    "Latin-1": GOOD.replace("northshire", "north\xe9"),
    "a full-width letter": GOOD.replace("northshire", "ｎorthshire"),
    "a zero-width space": GOOD.replace("northshire", "north\u200bshire"),
    "a direction override": GOOD.replace("northshire", "\u202enorthshire"),
    "punycode that is a foreign domain": spiffe_id(trust_domain="xn--plice-kva.example"),
    "an agency of 64 characters": spiffe_id(agency="a" * 64),
    "an agency of 2,000 characters": spiffe_id(agency="a" * 2000),
    "a trust domain of 300 characters": spiffe_id(trust_domain="a" * 300),
    "a workload of 64 characters in a segment": spiffe_id(workload="w" * 64),
    "a workload of nine segments": spiffe_id(workload="/".join("w" * 9)),
    "a URI of 6,000 characters": spiffe_id(workload="w/" * 3000),
    "an agency with a hyphen first": GOOD.replace("northshire", "-northshire"),
    "an agency with a dot first": GOOD.replace("northshire", ".northshire"),
    "an address as trust domain": spiffe_id(trust_domain="127.0.0.1"),
    "an empty URI": "",
    "a URN": "urn:spiffe:police.example:northshire",
    "two URIs in one": f"{GOOD},{spiffe_id(agency='north-region')}",
    "JSON": '{"agency":"police.example/northshire"}',
}


def _lists() -> dict[str, tuple[Make, Expected]]:
    other = spiffe_id(agency="north-region")
    dns, mail, address = (2, b"gateway.police.example"), (1, b"a@police.example"), (7, b"\x7f\x00\x00\x01")
    name = (0, oid("1.3.6.1.4.1.311.20.2.3") + tlv(0xA0, tlv(0x0C, GOOD.encode())))
    return {
        "SAN: one SPIFFE id": (leaf(), ACCEPTED),
        "SAN: critical": (leaf(names=(san(GOOD)[0], True, san(GOOD)[2])), ACCEPTED),
        "SAN: a workload of eight segments": (leaf(names=san(spiffe_id(workload="/".join("w" * 8)))), ACCEPTED),
        "SAN: with a DNS name": (leaf(names=san(GOOD, more=[dns])), ACCEPTED),
        "SAN: with an address and an e-mail address": (leaf(names=san(GOOD, more=[address, mail])), ACCEPTED),
        "SAN: none": (leaf(names=None), INVALID),
        "SAN: DNS alone": (leaf(names=san(more=[dns])), INVALID),
        "SAN: the SPIFFE id as DNS": (leaf(names=san(more=[(2, GOOD.encode())])), INVALID),
        "SAN: the SPIFFE id as e-mail": (leaf(names=san(more=[(1, GOOD.encode())])), INVALID),
        "SAN: the SPIFFE id as a registered id": (leaf(names=san(more=[(8, oid("1.2.3")[2:])])), INVALID),
        "SAN: the SPIFFE id as otherName": (
            leaf(names=("2.5.29.17", False, sequence(tlv(0xA0, name[1])))),
            INVALID,
        ),
        "SAN: a SPIFFE id beside an otherName": (
            leaf(names=("2.5.29.17", False, sequence(tlv(0x86, GOOD.encode()), tlv(0xA0, name[1])))),
            ACCEPTED,
        ),
        "SAN: two agencies": (leaf(names=san(GOOD, other)), INVALID),
        "SAN: two agencies, the other first": (leaf(names=san(other, GOOD)), INVALID),
        "SAN: the same id twice": (leaf(names=san(GOOD, GOOD)), INVALID),
        "SAN: two workloads": (leaf(names=san(GOOD, spiffe_id(workload="desk"))), INVALID),
        "SAN: SPIFFE and https": (leaf(names=san(GOOD, "https://police.example/")), INVALID),
        "SAN: SPIFFE and an empty URI": (leaf(names=san(GOOD, "")), INVALID),
        "SAN: 100 ids": (leaf(names=san(*(spiffe_id(agency=f"a{n}") for n in range(100)))), INVALID),
        "SAN: an id and 31 DNS names": (
            leaf(names=san(GOOD, more=[(2, b"n%d.police.example" % n) for n in range(31)])),
            ACCEPTED,
        ),
        "SAN: an id and 100 DNS names": (
            leaf(names=san(GOOD, more=[(2, b"n%d.police.example" % n) for n in range(100)])),
            INVALID,
        ),
        "SAN: an id and 1,000 DNS names": (
            leaf(names=san(GOOD, more=[(2, b"n%d.police.example" % n) for n in range(1000)])),
            HANDSHAKE,
        ),
        "SAN: an id of another agency, with this agency's token": (leaf(names=san(other)), ISSUER),
        "SAN: the collection twice": (leaf(names=san(GOOD.replace("/agency/", "/agency/agency/"))), ISSUER),
        "SAN: an agency that nobody knows": (leaf(names=san(spiffe_id(agency="nowhere"))), ISSUER),
        "SAN: this agency's id in the other trust domain": (
            leaf(names=san(spiffe_id(trust_domain="justitie.example"))),
            ISSUER,
        ),
        "SAN: no id, but the common name": (
            leaf(names=None, subject=forged.common_name("police.example/agency/northshire/gateway")),
            INVALID,
        ),
        "SAN: in the issuer's alternative name": (
            leaf(names=None, more=[("2.5.29.18", False, general_names((6, GOOD.encode())))]),
            INVALID,
        ),
        "SAN: raw Latin-1 bytes": (leaf(names=("2.5.29.17", False, general_names((6, b"spiffe://p\xe9/")))), INVALID),
    }


def _usages() -> dict[str, tuple[Make, Expected]]:
    def usage(*, critical: bool = True, **chosen: bool) -> Make:
        return leaf(usage=extension(key_usage(**chosen), critical=critical))

    def ca(*, path_length: int | None = None, critical: bool = True) -> Make:
        return leaf(constraints=extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=critical))

    raw = lambda value: leaf(constraints=("2.5.29.19", True, value))  # noqa: E731 - an abbreviation
    return {
        "usage: digitalSignature, not critical": (usage(critical=False, digital_signature=True), ACCEPTED),
        "usage: also keyAgreement": (usage(digital_signature=True, key_agreement=True), ACCEPTED),
        "usage: also nonRepudiation": (usage(digital_signature=True, content_commitment=True), ACCEPTED),
        "usage: none": (leaf(usage=None), INVALID),
        "usage: keyAgreement alone": (usage(key_agreement=True), HANDSHAKE),
        "usage: keyEncipherment alone": (usage(key_encipherment=True), HANDSHAKE),
        "usage: nonRepudiation alone": (usage(content_commitment=True), HANDSHAKE),
        "usage: also keyCertSign": (usage(digital_signature=True, key_cert_sign=True), INVALID),
        "usage: also cRLSign": (usage(digital_signature=True, crl_sign=True), INVALID),
        "constraints: none": (leaf(constraints=None), ACCEPTED),
        "constraints: a CA": (ca(), INVALID),
        "constraints: a CA of path length 0": (ca(path_length=0), INVALID),
        "constraints: a CA, not critical": (ca(critical=False), INVALID),
        "constraints: no CA, not critical": (
            leaf(constraints=extension(x509.BasicConstraints(ca=False, path_length=None))),
            ACCEPTED,
        ),
        "constraints: no CA, with a path length": (raw(sequence(tlv(0x02, b"\x00"))), HANDSHAKE),
        "constraints: no CA, written out": (raw(sequence(b"\x01\x01\x00")), INVALID),
        "constraints: a CA, with another true": (raw(sequence(b"\x01\x01\x01")), INVALID),
    }


def _purposes() -> dict[str, tuple[Make, Expected]]:
    def eku(*usages: x509.ObjectIdentifier, critical: bool = False) -> Make:
        return leaf(purposes=extension(x509.ExtendedKeyUsage(usages), critical=critical))

    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    unknown = x509.ObjectIdentifier("1.3.6.1.4.1.57264.99.2")
    return {
        "EKU: clientAuth, critical": (eku(client, critical=True), ACCEPTED),
        "EKU: clientAuth and serverAuth": (eku(server, client), ACCEPTED),
        "EKU: clientAuth and an unknown one": (eku(unknown, client), ACCEPTED),
        "EKU: none": (leaf(purposes=None), INVALID),
        "EKU: serverAuth": (eku(server), HANDSHAKE),
        "EKU: any": (eku(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), HANDSHAKE),
        "EKU: any, critical": (eku(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, critical=True), HANDSHAKE),
        "EKU: any and serverAuth": (eku(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, server), HANDSHAKE),
        "EKU: code signing": (eku(ExtendedKeyUsageOID.CODE_SIGNING), HANDSHAKE),
        "EKU: e-mail": (eku(ExtendedKeyUsageOID.EMAIL_PROTECTION), HANDSHAKE),
        "EKU: OCSP signing": (eku(ExtendedKeyUsageOID.OCSP_SIGNING), HANDSHAKE),
        "EKU: time stamping": (eku(ExtendedKeyUsageOID.TIME_STAMPING), HANDSHAKE),
        "EKU: an unknown one": (eku(unknown), HANDSHAKE),
        "EKU: an unknown one, critical": (eku(unknown, critical=True), HANDSHAKE),
        "EKU: smart card log-on": (eku(ExtendedKeyUsageOID.SMARTCARD_LOGON), HANDSHAKE),
    }
