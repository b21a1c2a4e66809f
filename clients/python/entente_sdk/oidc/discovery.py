"""What an issuer offers, from its own discovery document.

MUSTs:
1. the document's `issuer` is the very string of the profile (RFC 8414 section 3.3, OpenID Connect Discovery 4.3);
2. every endpoint is https; where the issuer names one for mutual TLS (`mtls_endpoint_aliases`, RFC 8705 section 5),
   that one is used;
3. an issuer that says how clients authenticate must offer it by certificate, or take public clients, whose tokens are
   bound to their certificate all the same (RFC 8705 section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from entente_sdk.errors import ConfigurationError, IdentityError
from entente_sdk.oidc.http import IssuerHttp, Reply, odd, require_https
from entente_sdk.profile import Profile

_BY_CERTIFICATE = {"tls_client_auth", "self_signed_tls_client_auth", "none"}


@dataclass(frozen=True, slots=True)
class Offer:
    """An issuer's endpoints; None where it has none. `date` is its clock, in epoch seconds."""

    token: str
    device_authorization: str | None
    revocation: str | None
    date: float | None


def discover(http: IssuerHttp, profile: Profile) -> Offer:
    """Ask the profile's issuer. Raises EntenteError."""
    if profile.issuer is None:
        raise ConfigurationError("the profile names no issuer: set issuer and client_id", reason="LOGIN_NEEDED")
    reply = _document(http, profile.issuer)
    document = reply.document
    if document.get("issuer") != profile.issuer:
        raise odd(f"its document is that of issuer {str(document.get('issuer'))[:200]!r}, not of {profile.issuer!r}")
    methods = document.get("token_endpoint_auth_methods_supported")
    if isinstance(methods, list) and not _BY_CERTIFICATE & {str(method) for method in methods}:
        raise IdentityError("LOGIN_REFUSED", "the issuer does not let clients authenticate by certificate (RFC 8705)")
    token = _endpoint(document, "token_endpoint")
    if token is None:
        raise odd("its document names no token_endpoint")
    return Offer(
        token,
        _endpoint(document, "device_authorization_endpoint"),
        _endpoint(document, "revocation_endpoint"),
        reply.date,
    )


def _document(http: IssuerHttp, issuer: str) -> Reply:
    for url in addresses(issuer):
        reply = http.get(url)
        if reply.status == 200:
            return reply
        if reply.status != 404:
            break
    raise odd(f"{url} answers with status {reply.status}")


def addresses(issuer: str) -> tuple[str, str]:
    """OpenID Connect appends the well-known path, RFC 8414 section 3.1 puts it between host and path."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    return (
        f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
    )


def _endpoint(document: Mapping[str, Any], name: str) -> str | None:
    aliases = document.get("mtls_endpoint_aliases")
    found = aliases.get(name) if isinstance(aliases, dict) else None
    found = document.get(name) if found is None else found
    if found is None:
        return None
    if not isinstance(found, str):
        raise odd(f"{name} is not a text")
    return require_https(found)
