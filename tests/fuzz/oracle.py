"""An independent opinion of what may be accepted: the standard library and cryptography, nothing of `broker.identify`.

It is stricter than needed rather than looser: where it says no and the broker said yes, one of the two is wrong, and
the input is kept.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from tests.support.identities import AUDIENCE, NOW, Agency

_SPIFFE = re.compile(r"spiffe://([a-z0-9._-]+)/agency/([a-z0-9][a-z0-9._-]*)/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def token_may_pass(token: str, agency: Agency) -> bool:
    """Three segments, its issuer's own signature, and claims that say what they must."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        header, payload, signature = (_decoded(part) for part in parts)
        signed = utils.encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        agency.issuer_key.public_key().verify(signed, ".".join(parts[:2]).encode(), ec.ECDSA(hashes.SHA256()))
        read_header, claims = _object(header), _object(payload)
    except (ValueError, InvalidSignature):
        return False
    wanted = {"alg": "ES256", "typ": "at+jwt", "kid": agency.header()["kid"]}
    return len(signature) == 64 and read_header == wanted and _claims_hold(claims, agency)


def _claims_hold(claims: dict[str, Any], agency: Agency) -> bool:
    begins = claims.get("nbf", claims.get("iat"))
    times = [claims.get("iat"), begins, claims.get("exp")]
    if any(type(one) is not int for one in times):
        return False
    issued, begun, expires = times
    thumbprint = base64.urlsafe_b64encode(agency.thumbprint).rstrip(b"=").decode()
    return (
        claims.get("iss") == agency.issuer
        and claims.get("aud") in (AUDIENCE, [AUDIENCE])
        and claims.get("cnf") == {"x5t#S256": thumbprint}
        and max(issued, begun) <= NOW + 5
        and NOW < expires <= min(issued, begun) + 300
        and all(isinstance(claims.get(name), str) and claims[name] for name in ("sub", "jti", "clearance"))
        and all(_is_list_of_text(claims.get(name)) for name in ("roles", "nationalities", "purposes"))
    )


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one for one in value)


def keys_may_pass(content: bytes) -> bool:
    """A JWK Set of public keys, each for signatures."""
    keys = _object(content)["keys"]
    secret = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "x5u"}
    return bool(keys) and all(
        not secret & set(key) and key["kty"] in ("EC", "OKP", "RSA") and key.get("use", "sig") == "sig" for key in keys
    )


def agency_named(leaf: x509.Certificate) -> str | None:
    """The one agency that the certificate's one URI names, read off the extension's own value."""
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = [one.value for one in found if isinstance(one, x509.UniformResourceIdentifier)]
    match = _SPIFFE.fullmatch(uris[0]) if len(uris) == 1 else None
    return None if match is None else f"{match[1]}/{match[2]}"


def _decoded(segment: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", segment):
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _object(content: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)

    found = json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - one error for all bad input
    return found
