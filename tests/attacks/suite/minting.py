"""Tokens by hand: the claims and header of a good one, changed at will, signed with whatever is given."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from certs.issuer import encode_segment, key_id
from tests.support.identities import ABSENT, es256

SignInput = Callable[[bytes], bytes]
LIFE_SECONDS = 300


@dataclass(frozen=True)
class Mint:
    """An agency's issuer, and the certificate that its tokens are bound to."""

    issuer: str
    audience: str
    key: ec.EllipticCurvePrivateKey
    thumbprint: bytes
    user: str = "pc.rowan.ash"
    roles: tuple[str, ...] = ("officer",)
    clearance: str = "SECRET"
    purposes: tuple[str, ...] = ("INVESTIGATION",)
    nationalities: tuple[str, ...] = ("GB",)

    @property
    def key_id(self) -> str:
        return key_id(self.key.public_key())

    def header(self, **changes: object) -> dict[str, object]:
        whole = {"alg": "ES256", "typ": "at+jwt", "kid": self.key_id, **changes}
        return {member: value for member, value in whole.items() if value is not ABSENT}

    def claims(self, **changes: object) -> dict[str, object]:
        now = int(time.time())
        whole: dict[str, object] = {
            "iss": self.issuer,
            "sub": self.user,
            "aud": self.audience,
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
            "jti": secrets.token_urlsafe(12),
            "cnf": {"x5t#S256": encode_segment(self.thumbprint)},
            "roles": list(self.roles),
            "clearance": self.clearance,
            "purposes": list(self.purposes),
            "nationalities": list(self.nationalities),
            **changes,
        }
        return {member: value for member, value in whole.items() if value is not ABSENT}

    def token(self, header: Mapping[str, object] | None = None, **changes: object) -> str:
        """Correctly signed, with these claims changed."""
        return self.signed(json.dumps(self.claims(**changes)).encode(), header)

    def signed(
        self, payload: bytes, header: Mapping[str, object] | bytes | None = None, sign: SignInput | None = None
    ) -> str:
        """Exactly this payload; the header's members changed, or its bytes given."""
        raw = header if isinstance(header, bytes) else json.dumps(self.header(**(header or {}))).encode()
        return compact(raw, payload, sign or es256(self.key))

    def raw(self, member: str) -> bytes:
        """Good claims with raw text before their closing brace: what `json` would never write."""
        return json.dumps(self.claims())[:-1].encode() + b"," + member.encode("utf-8", "surrogatepass") + b"}"


def compact(header: bytes, payload: bytes, sign: SignInput) -> str:
    """JWS compact form of exactly these bytes (RFC 7515 section 7.1)."""
    signing_input = f"{encode_segment(header)}.{encode_segment(payload)}"
    return f"{signing_input}.{encode_segment(sign(signing_input.encode()))}"


def eddsa(key: ed25519.Ed25519PrivateKey) -> SignInput:
    return key.sign


def rs256(key: rsa.RSAPrivateKey) -> SignInput:
    return lambda content: key.sign(content, padding.PKCS1v15(), hashes.SHA256())


def ps256(key: rsa.RSAPrivateKey, salt: int = 32) -> SignInput:
    return lambda content: key.sign(content, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())


def jwk_rsa(key: rsa.RSAPublicKey, name: str, alg: str) -> dict[str, Any]:
    """An RSA key for a JWK Set (RFC 7518 section 6.3)."""
    numbers = key.public_numbers()

    def number(value: int) -> str:
        return encode_segment(value.to_bytes((value.bit_length() + 7) // 8, "big"))

    return {"kty": "RSA", "kid": name, "use": "sig", "alg": alg, "n": number(numbers.n), "e": number(numbers.e)}


def jwk_ed25519(key: ed25519.Ed25519PublicKey, name: str) -> dict[str, Any]:
    """An Ed25519 key for a JWK Set (RFC 8037 section 2)."""
    x = encode_segment(key.public_bytes_raw())
    return {"kty": "OKP", "kid": name, "use": "sig", "alg": "EdDSA", "crv": "Ed25519", "x": x}
