"""A document and its parties' signatures: JWS in its general JSON serialization (RFC 7515 section 7.2.1).

    {"payload": BASE64URL(canonical JSON), "signatures": [{"protected": ..., "signature": ...}, ...]}

MUSTs, of each signature's protected header:
1. It has exactly `alg`, `typ`, `iat`, `x5c`: nothing that names a key elsewhere, and nothing unprotected beside it.
2. `typ` is ours, so that no token or receipt passes for a signature under an agreement.
3. `alg` is one of three, and is never believed: whoever verifies takes the key's own (`algorithm_of`).
4. `x5c` holds 1 to 3 certificates, the signing one first (RFC 7515 section 4.1.6).
Does not: verify. That is the broker's, with its roots, and `signing.verify`, for whoever holds the file.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from entente_agreement.document import LARGEST_DOCUMENT, MOST_PARTIES, Document
from entente_agreement.errors import AgreementError
from entente_agreement.strict import decode, encode, read_object

TYPE = "entente-agreement+jws"
ALGORITHMS = ("ES256", "EdDSA", "PS256")
LARGEST_SIGNED = 256 * 1024
LARGEST_HEADER = 32 * 1024
LONGEST_CHAIN = 3
_HEADER = {"alg", "typ", "iat", "x5c"}


@dataclass(frozen=True, slots=True)
class Signature:
    """One party's signature, read and not yet verified.

    Args:
        protected: the header as it was signed, base64url.
        value: the signature, base64url.
        algorithm: as the header says.
        issued_at: epoch seconds, as the header says.
        chain: certificates in DER, the signing one first.
    """

    protected: str
    value: str
    algorithm: str
    issued_at: int
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document with what its parties put under it. `payload` is base64url of the canonical JSON."""

    document: Document
    payload: str
    signatures: tuple[Signature, ...]

    @classmethod
    def unsigned(cls, document: Document) -> SignedDocument:
        """A document that nobody has signed yet."""
        return cls(document, encode(document.canonical()), ())

    @classmethod
    def parse(cls, text: str) -> SignedDocument:
        """Read the serialization. Raises AgreementError."""
        most = 2 + MOST_PARTIES + 1
        found = read_object(text.encode("utf-8"), "", largest=LARGEST_SIGNED, most_containers=most)
        if set(found) != {"payload", "signatures"}:
            raise AgreementError("", "it must be a JWS in JSON serialization: `payload` and `signatures`, and no more")
        signatures, payload = found["signatures"], found["payload"]
        if not isinstance(signatures, list) or len(signatures) > MOST_PARTIES:
            raise AgreementError("signatures", f"it must be a list of at most {MOST_PARTIES}")
        content = decode(payload, "payload")
        if len(content) > LARGEST_DOCUMENT:
            raise AgreementError("payload", f"it is larger than {LARGEST_DOCUMENT} bytes")
        assert isinstance(payload, str)
        read = tuple(_signature(one, f"signatures[{number}]") for number, one in enumerate(signatures))
        return cls(Document.from_canonical(content), payload, read)

    @staticmethod
    def content(payload: str) -> bytes:
        """The bytes that a payload stands for. Raises AgreementError."""
        return decode(payload, "payload")

    def text(self) -> str:
        """The serialization."""
        signatures = [{"protected": one.protected, "signature": one.value} for one in self.signatures]
        return json.dumps({"payload": self.payload, "signatures": signatures}, indent=2) + "\n"

    def with_signature(self, signature: Signature) -> SignedDocument:
        """The same, with another party's signature."""
        return replace(self, signatures=(*self.signatures, signature))


def protected_header(algorithm: str, issued_at: int, chain: tuple[bytes, ...]) -> str:
    """The header that is signed, base64url."""
    certificates = [base64.b64encode(one).decode("ascii") for one in chain]
    header = {"alg": algorithm, "iat": issued_at, "typ": TYPE, "x5c": certificates}
    return encode(json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii"))


def algorithm_of(key: object) -> str:
    """The algorithm that goes with a key (RFC 7518, RFC 8037). Raises AgreementError for a key that none goes with."""
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) | ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return "ES256"
        case ed25519.Ed25519PublicKey() | ed25519.Ed25519PrivateKey():
            return "EdDSA"
        case rsa.RSAPublicKey() | rsa.RSAPrivateKey():
            return "PS256"
    raise AgreementError("signatures", "an agreement is signed with a P-256, Ed25519 or RSA key")


def _signature(found: object, path: str) -> Signature:
    if not isinstance(found, dict) or set(found) != {"protected", "signature"}:
        raise AgreementError(path, "it must have `protected` and `signature`, and nothing else")
    protected, value = found["protected"], found["signature"]
    content = decode(protected, f"{path}.protected")
    decode(value, f"{path}.signature")
    header = read_object(content, f"{path}.protected", largest=LARGEST_HEADER, most_containers=2)
    if set(header) != _HEADER:
        raise AgreementError(
            f"{path}.protected", f"its header must have {', '.join(sorted(_HEADER))}, and nothing else"
        )
    algorithm, issued_at = header["alg"], header["iat"]
    if algorithm not in ALGORITHMS:
        raise AgreementError(f"{path}.protected", f"alg must be one of {', '.join(ALGORITHMS)}")
    if header["typ"] != TYPE:
        raise AgreementError(f"{path}.protected", f"typ must be {TYPE}")
    if not isinstance(issued_at, int) or isinstance(issued_at, bool) or not 0 < issued_at < 2**40:
        raise AgreementError(f"{path}.protected", "iat must be when it was signed, in seconds since 1970")
    return Signature(str(protected), str(value), str(algorithm), issued_at, _chain(header["x5c"], path))


def _chain(found: object, path: str) -> tuple[bytes, ...]:
    where = f"{path}.protected"
    if not isinstance(found, list) or not 1 <= len(found) <= LONGEST_CHAIN:
        raise AgreementError(where, f"x5c must hold 1 to {LONGEST_CHAIN} certificates, the signing one first")
    return tuple(_certificate(one, where) for one in found)


def _certificate(found: object, where: str) -> bytes:
    try:
        content = base64.b64decode(found if isinstance(found, str) else "", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    # One spelling: what was signed once must not come back looking like something else.
    if not content or base64.b64encode(content).decode("ascii") != found:
        raise AgreementError(where, "x5c must hold certificates in base64 of DER (RFC 7515 section 4.1.6)")
    return content
