"""A small token issuer for development: ES256 access tokens bound to an agency's certificate.

Guarantees: tokens are RFC 9068 access tokens (`typ` at+jwt) with `cnf.x5t#S256` (RFC 8705 section 3.1), a random `jti`,
and a life of at most 300 seconds; the JWKS holds public members only, `kid` is the key's RFC 7638 thumbprint.
Does not: authenticate anybody. Whoever can read the issuer's key can be any user of that agency.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

DEFAULT_AUDIENCE = "urn:entente:broker:development"
LONGEST_LIFE_SECONDS = 300


class TokenIssuer:
    """Signs tokens of one issuer, bound to one certificate.

    Args:
        issuer: the `iss` URL that the broker has registered for the agency.
        key: a P-256 key whose public half is in the agency's JWKS.
        thumbprint: SHA-256 of the certificate in DER, 32 bytes.
    """

    def __init__(self, issuer: str, key: ec.EllipticCurvePrivateKey, thumbprint: bytes) -> None:
        self._issuer = issuer
        self._key = key
        self._thumbprint = thumbprint

    def mint(
        self,
        user: str,
        *,
        roles: Sequence[str] = (),
        clearance: str = "OFFICIAL",
        purposes: Sequence[str] = (),
        nationalities: Sequence[str] = (),
        on_behalf_of: Sequence[str] = (),
        audience: str = DEFAULT_AUDIENCE,
        life_seconds: int = LONGEST_LIFE_SECONDS,
        now: int | None = None,
    ) -> str:
        """A signed token. Raises ValueError for a life outside 1-300 s.

        `on_behalf_of` runs from the one whom `user` directly acts for to the first who delegated; in RFC 8693
        section 4.1 the last of them is `sub`, and `user` the outermost `act`. `now` is in epoch seconds.
        """
        if not 1 <= life_seconds <= LONGEST_LIFE_SECONDS:
            raise ValueError(f"a token lives 1 to {LONGEST_LIFE_SECONDS} seconds")
        issued_at = int(time.time()) if now is None else now
        actors = [user, *on_behalf_of]
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": actors[-1],
            "aud": audience,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + life_seconds,
            "jti": secrets.token_urlsafe(16),
            "cnf": {"x5t#S256": encode_segment(self._thumbprint)},
            "roles": list(roles),
            "clearance": clearance,
            "purposes": list(purposes),
            "nationalities": list(nationalities),
        }
        act: dict[str, object] | None = None
        for actor in reversed(actors[:-1]):
            act = {"sub": actor} if act is None else {"sub": actor, "act": act}
        if act is not None:
            claims["act"] = act
        header = {"alg": "ES256", "typ": "at+jwt", "kid": key_id(self._key.public_key())}
        return sign_es256(header, claims, self._key)


def sign_es256(header: Mapping[str, object], claims: Mapping[str, object], key: ec.EllipticCurvePrivateKey) -> str:
    """Signs exactly these members in JWS compact form (RFC 7515 section 7.1; r and s per RFC 7518 section 3.4)."""
    signing_input = f"{_encode_json(header)}.{_encode_json(claims)}"
    r, s = utils.decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signing_input}.{encode_segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def jwks_document(keys: Sequence[ec.EllipticCurvePublicKey]) -> bytes:
    """A JWK Set (RFC 7517 section 5) of P-256 verification keys, as a file's bytes."""
    entries = [
        {**_public_members(key), "kid": key_id(key), "use": "sig", "key_ops": ["verify"], "alg": "ES256"}
        for key in keys
    ]
    return json.dumps({"keys": entries}, indent=2).encode() + b"\n"


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The key's thumbprint (RFC 7638): the same key always has the same name."""
    canonical = json.dumps(_public_members(key), separators=(",", ":"), sort_keys=True)
    return encode_segment(hashlib.sha256(canonical.encode()).digest())


def encode_segment(content: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _encode_json(members: Mapping[str, object]) -> str:
    return encode_segment(json.dumps(members, separators=(",", ":")).encode())


def _public_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": encode_segment(numbers.x.to_bytes(32, "big")),
        "y": encode_segment(numbers.y.to_bytes(32, "big")),
    }
