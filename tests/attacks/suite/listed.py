"""The authorities of the chain cases, and the revocation list of each: right, or wrong in one way.

The broker wants a current list of every authority above a certificate, so that even a good chain needs its lists.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import forged
from tests.support.forged import DAY, Issuer
from tests.support.identities import ed25519_key, rsa_key

# The serials that the second root's list names.
REVOKED_LEAF, REVOKED_STEP = 0x5AD1EAF, 0x5AD57E9
UNLISTED, STALE, FUTURE, OLD, FORGED = "unlisted", "stale list", "future list", "old list", "forged list"
UNSIGNED, MISNAMED, TWO, DELTA, FORMER = "unsigned list", "misnamed list", "two lists", "delta list", "former list"
LATE_FILES = {DELTA: "delta.crl", FORMER: "former.crl"}


@cache
def curve_key(curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    """One key for each curve."""
    return ec.generate_private_key(curve())


def _authorities() -> list[tuple[str, Any]]:
    """Every authority of a chain that must pass, or that must fail for another reason than its list."""
    named = ["step 0", "step 1", "limited", "constrained", "cross", "odd step", "too low"]
    keys = [rsa_key(2048), curve_key(ec.SECP384R1), ed25519_key("step")]
    plain = [(name, forged.p256(f"authority {name}")) for name in named] + [("cross", forged.p256("cross"))]
    return plain + [("odd step", key) for key in keys]


def revocation_lists(upper: Issuer) -> bytes:
    """All lists, in PEM."""
    lists = [forged.revocation_list(upper, REVOKED_LEAF, REVOKED_STEP)]
    lists += [forged.revocation_list(Issuer(forged.common_name(name), key, b"")) for name, key in _authorities()]
    lists.append(forged.revocation_list(_issuer(STALE), begins=-2 * DAY, ends=-DAY))
    lists.append(forged.revocation_list(_issuer(FUTURE), begins=DAY, ends=2 * DAY))
    lists.append(forged.revocation_list(_issuer(OLD), begins=-300 * DAY, ends=300 * DAY))
    lists.append(forged.revocation_list(_issuer(FORGED), key=forged.p256("forger")))
    lists.append(_unsigned(forged.revocation_list(_issuer(UNSIGNED))))
    lists.append(forged.revocation_list(Issuer(forged.common_name("another"), _issuer(MISNAMED).key, b"")))
    lists.append(forged.revocation_list(_issuer(TWO), REVOKED_LEAF, number=2))
    lists.append(forged.revocation_list(_issuer(TWO), number=1))
    return b"".join(lists)


def before_and_after() -> dict[str, tuple[bytes, bytes]]:
    """Files at the start, and what is put into them while the broker serves; it takes neither of the latter.

    What was in force then stays: of a delta list's authority nothing, and the list on which a leaf is.
    """
    delta = (x509.DeltaCRLIndicator(1), True)
    key = (x509.AuthorityKeyIdentifier(b"former", None, None), False)
    return {
        LATE_FILES[DELTA]: (
            forged.revocation_list(Issuer(forged.common_name("no matter"), forged.p256("no matter"), b"")),
            forged.revocation_list(_issuer(DELTA), number=2, more=[delta]),
        ),
        LATE_FILES[FORMER]: (
            forged.revocation_list(_issuer(FORMER), REVOKED_LEAF, number=2, more=[key]),
            forged.revocation_list(_issuer(FORMER), number=1, more=[key]),
        ),
    }


def _unsigned(pem: bytes) -> bytes:
    made = x509.load_pem_x509_crl(pem)
    identifier = forged.sequence(forged.oid(made.signature_algorithm_oid.dotted_string))
    der = forged.sequence(made.tbs_certlist_bytes, identifier, forged.tlv(0x03, b"\x00"))
    return x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)


def _issuer(name: str) -> Issuer:
    return Issuer(forged.common_name(name), forged.p256(f"authority {name}"), b"")
