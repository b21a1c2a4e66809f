"""Who made a bundle: OPA's own signature (`.signatures.json`), which the embedded engine's side verifies alike.

A JWT (RFC 7519) in compact form signs the list of files with the SHA-256 of each (Open Policy Agent, "Signing").
The key belongs to the authority that answers for the policy, never to the broker, which knows the public half alone.

MUSTs:
1. One algorithm, ES256 (RFC 7518 section 3.4), said by whoever verifies and never by the token; P-256 keys alone.
2. Exactly one signature; every file of the bundle is in its list, and every file of its list in the bundle.
3. JSON files count in their canonical form: OPA hashes them parsed, so two forms of one content would be one hash.
Does not: reach for keys, or ask when something was signed: a bundle is old by its epoch, not by its date.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from broker.decide.bundle_archive import SIGNATURES

ALGORITHM = "ES256"
_HALF = 32
_HEADERS: tuple[dict[str, str], ...] = ({"alg": ALGORITHM}, {"alg": ALGORITHM, "typ": "JWT"})
# Go writes these two escaped and we write them as they are: no hash could fit both.
_UNPORTABLE = ("\u2028", "\u2029")


class SignatureError(ValueError):
    """The bundle is not signed, or not by the key that counts here."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """The public key of the authority that answers for the policy."""

    public: ec.EllipticCurvePublicKey

    @classmethod
    def read(cls, path: Path) -> VerificationKey:
        """From a PEM file. Raises ValueError or OSError."""
        try:
            found = load_pem_public_key(path.read_bytes())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(f"{path}: holds no public key in PEM") from None
        if isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, ec.SECP256R1):
            return cls(found)
        raise ValueError(f"{path}: policies are signed by an elliptic-curve key on P-256 ({ALGORITHM})")

    @property
    def pem(self) -> str:
        """As OPA's configuration takes it."""
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private key, in the hands of whoever answers for the policy. Never on a broker."""

    private: ec.EllipticCurvePrivateKey

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """From an unencrypted PEM file. Raises ValueError or OSError."""
        try:
            found = load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(f"{path}: holds no private key in PEM, or an encrypted one") from None
        if isinstance(found, ec.EllipticCurvePrivateKey) and isinstance(found.curve, ec.SECP256R1):
            return cls(found)
        raise ValueError(f"{path}: policies are signed by an elliptic-curve key on P-256 ({ALGORITHM})")

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def verification_key(self) -> VerificationKey:
        return VerificationKey(self.private.public_key())


def sign(files: Mapping[str, bytes], key: SigningKey) -> bytes:
    """The content of `.signatures.json` for these files. Raises ValueError where OPA would hash them otherwise."""
    listed = [{"algorithm": "SHA-256", "hash": _hash(name, files[name]), "name": name} for name in sorted(files)]
    signed = b".".join(_encoded(orjson.dumps(part)) for part in (_HEADERS[1], {"files": listed}))
    first, second = decode_dss_signature(key.private.sign(signed, ec.ECDSA(SHA256())))
    signature = first.to_bytes(_HALF, "big") + second.to_bytes(_HALF, "big")
    return orjson.dumps({"signatures": [(signed + b"." + _encoded(signature)).decode("ascii")]})


def require_signed(files: Mapping[str, bytes], key: VerificationKey) -> None:
    """Raises SignatureError unless `files`, `.signatures.json` among them, are exactly what this key has signed."""
    if SIGNATURES not in files:
        raise SignatureError(
            "the bundle is not signed; build it with the policy authority's key (entente policy build)"
        )
    try:
        listed = _listed(_verified(files[SIGNATURES], key))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignatureError(f"the bundle's signature does not hold: {error}") from None
    rest = {name: content for name, content in files.items() if name != SIGNATURES}
    if listed.keys() != rest.keys():
        raise SignatureError(f"the signature is for other files: {', '.join(sorted(listed.keys() ^ rest.keys()))}")
    for name, content in rest.items():
        try:
            found = _hash(name, content)
        except ValueError as error:
            raise SignatureError(str(error)) from None
        if listed[name] != found:
            raise SignatureError(f"{name} is not what was signed")


def _verified(document: bytes, key: VerificationKey) -> bytes:
    """The payload of the one signature."""
    held = orjson.loads(document)
    if type(held) is not dict or held.keys() != {"signatures"}:
        raise ValueError("not a list of signatures")
    (token,) = held["signatures"]
    header, payload, signature = (_decoded(part) for part in token.split("."))
    if orjson.loads(header) not in _HEADERS:
        raise ValueError(f"policies are signed with {ALGORITHM} and no further headers")
    if len(signature) != 2 * _HALF:
        raise ValueError("not a signature on P-256")
    numbers = (int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big"))
    try:
        key.public.verify(encode_dss_signature(*numbers), token.rpartition(".")[0].encode("ascii"), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise ValueError("another key has made it") from None
    return payload


def _listed(payload: bytes) -> dict[str, str]:
    held: Any = orjson.loads(payload)
    listed: dict[str, str] = {}
    for entry in held["files"]:
        if entry.keys() != {"name", "hash", "algorithm"} or entry["algorithm"] != "SHA-256" or entry["name"] in listed:
            raise ValueError("its list of files is not in the agreed form")
        listed[entry["name"]] = entry["hash"]
    return listed


def _hash(name: str, content: bytes) -> str:
    if not name.endswith(".rego"):
        if orjson.dumps(orjson.loads(content), option=orjson.OPT_SORT_KEYS) != content:
            raise ValueError(f"{name} is not in canonical form (sorted keys, no spaces)")
        if any(sign in content.decode() for sign in _UNPORTABLE):
            raise ValueError(f"{name} holds a line separator (U+2028 or U+2029); write a space")
    return hashlib.sha256(content).hexdigest()


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decoded(part: str) -> bytes:
    """Base64url without padding (RFC 7515, section 2), in its one form."""
    try:
        content = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if _encoded(content).decode("ascii") != part:
        raise ValueError("not base64url in its one form")
    return content
