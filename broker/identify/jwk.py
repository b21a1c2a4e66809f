"""One public key of an issuer (RFC 7517, 7518, 8037), read strictly.

Guarantees: the algorithm is a property of the key: P-256 is ES256, Ed25519 is EdDSA, RSA is RS256 or PS256 as its `alg`
says; strength as in `signatures`, and no modulus with ROCA's structure; a key for encryption, a symmetric key, and a
private key are refused.
Does not: read certificates inside a key (`x5c`, `x5t` are ignored; `x5u`, which names a place to fetch from, is
refused).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from broker.identify.compact import decode_segment
from broker.identify.roca import has_roca_structure
from broker.identify.signatures import LARGEST_RSA_BITS, fits_rsa

LONGEST_KEY_ID = 128
COORDINATE_BYTES = 32

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_COMMON = {"kty", "kid", "use", "key_ops", "alg", "x5c", "x5t", "x5t#S256"}
_SECRET = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_MEMBERS = {"EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "RSA": {"n", "e"}}


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A verification key with its one algorithm. `fingerprint` is the SHA-256 of its SubjectPublicKeyInfo."""

    key_id: str
    algorithm: str
    public_key: PublicKey
    fingerprint: bytes


def read_key(entry: object) -> IssuerKey:
    """One member of a JWK Set. Raises ValueError naming the fault."""
    if not isinstance(entry, dict):
        raise ValueError("a key is a JSON object")  # noqa: TRY004 - one error for all bad input
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= LONGEST_KEY_ID:
        raise ValueError(f"each key needs a kid of 1 to {LONGEST_KEY_ID} characters")
    if _SECRET & set(entry):
        raise ValueError(f"key {key_id}: holds private or symmetric members; publish the public half only")
    kind = entry.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise ValueError(f"key {key_id}: kty must be EC, OKP or RSA")
    unknown = set(entry) - _COMMON - _MEMBERS[kind]
    if unknown:
        raise ValueError(f"key {key_id}: unknown members {sorted(unknown)}")
    _check_usage(key_id, entry)
    try:
        algorithms, public_key = _READERS[kind](entry)
    except ValueError as error:
        raise ValueError(f"key {key_id}: {error}") from error
    algorithm = entry.get("alg", algorithms[0] if len(algorithms) == 1 else None)
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise ValueError(f"key {key_id}: alg must be {' or '.join(algorithms)}")
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return IssuerKey(key_id, algorithm, public_key, hashlib.sha256(spki).digest())


def _check_usage(key_id: str, entry: Mapping[str, object]) -> None:
    if entry.get("use", "sig") != "sig":
        raise ValueError(f"key {key_id}: use must be sig")
    if entry.get("key_ops", ["verify"]) != ["verify"]:
        raise ValueError(f"key {key_id}: key_ops must be verify alone")


def _read_ec(entry: Mapping[str, object]) -> tuple[tuple[str, ...], PublicKey]:
    if entry.get("crv") != "P-256":
        raise ValueError("crv must be P-256")
    x, y = (int.from_bytes(_bytes(entry, name, COORDINATE_BYTES), "big") for name in ("x", "y"))
    # Refuses a point that is not on the curve.
    return ("ES256",), ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _read_okp(entry: Mapping[str, object]) -> tuple[tuple[str, ...], PublicKey]:
    if entry.get("crv") != "Ed25519":
        raise ValueError("crv must be Ed25519")
    return ("EdDSA",), ed25519.Ed25519PublicKey.from_public_bytes(_bytes(entry, "x", COORDINATE_BYTES))


def _read_rsa(entry: Mapping[str, object]) -> tuple[tuple[str, ...], PublicKey]:
    modulus, exponent = _bytes(entry, "n"), _bytes(entry, "e")
    # Base64urlUInt is minimal (RFC 7518 section 2), and a huge modulus is not even loaded.
    if modulus[0] == 0 or exponent[0] == 0 or len(modulus) * 8 > LARGEST_RSA_BITS or len(exponent) > 5:
        raise ValueError("n or e is not minimal, or too large")
    number = int.from_bytes(modulus, "big")
    public_key = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), number).public_key()
    if not fits_rsa(public_key):
        raise ValueError("RSA needs at least 2048 bits and e >= 65537")
    if has_roca_structure(number):
        raise ValueError("n comes from a generator with a known flaw (ROCA); make another key elsewhere")
    return ("RS256", "PS256"), public_key


def _bytes(entry: Mapping[str, object], name: str, length: int | None = None) -> bytes:
    value = entry.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing")  # noqa: TRY004 - one error for all bad input
    content = decode_segment(value)
    if length is not None and len(content) != length:
        raise ValueError(f"{name} must be {length} bytes")
    return content


_READERS = {"EC": _read_ec, "OKP": _read_okp, "RSA": _read_rsa}
