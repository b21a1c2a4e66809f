"""From a connection and a call's metadata to a Caller: the whole stage, in one place.

Guarantees: the organisation comes from the certificate alone; TLS 1.3; exactly one bearer token; everything is tested
again at every call and, with `require_still_valid`, at every message of a stream.
Does not: import grpc. It reads gRPC's auth context and metadata as the plain values that they are.

What gRPC's auth context holds for mutual TLS (each a sequence of bytes): `x509_pem_cert` the leaf;
`x509_pem_cert_chain` the certificates after it, concatenated, absent when there are none; `ssl_tls_version`;
`ssl_negotiated_key_exchange_group`; `ssl_session_reused`; `peer_spiffe_id` (not used: the profile reads the leaf).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from broker.domain.caller import Caller, Peer
from broker.domain.errors import IdentityError
from broker.identify.certificate import CertificateProfile
from broker.identify.standing import Standing
from broker.identify.token import TokenVerifier

AuthContext: TypeAlias = Mapping[str, Sequence[bytes]]
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

TLS_VERSION = b"TLSv1.3"
_SCHEME = "bearer "


class Identifier:
    """The identify stage."""

    def __init__(self, profile: CertificateProfile, tokens: TokenVerifier, standing: Standing) -> None:
        self._profile = profile
        self._tokens = tokens
        self._standing = standing

    def identify(self, peer: Peer, metadata: Metadata) -> Caller:
        """Who calls. Raises IdentityError, or LimitError after too many failed tokens."""
        caller = self._tokens.check(_bearer(metadata), peer)
        self._standing.require_caller(caller)
        return caller

    def peer(self, auth_context: AuthContext) -> Peer:
        """Which agency and workload calls, without a person. Raises IdentityError, or UnavailableError when it cannot
        be known what is revoked."""
        if tuple(auth_context.get("ssl_tls_version", ())) != (TLS_VERSION,):
            raise IdentityError(
                "TLS_VERSION_REFUSED",
                "This broker speaks TLS 1.3 only. Use a client library that does.",
                detail=repr(auth_context.get("ssl_tls_version"))[:100],
            )
        leaves = auth_context.get("x509_pem_cert", ())
        chains = auth_context.get("x509_pem_cert_chain", ())
        if len(leaves) != 1 or len(chains) > 1:
            raise IdentityError(
                "CERTIFICATE_INVALID",
                "A client certificate is required. Configure your agency's certificate and key.",
                detail=f"{len(leaves)} leaves, {len(chains)} chains",
            )
        peer = self._profile.check(leaves[0], chains[0] if chains else b"")
        self._standing.require_peer(peer)
        return peer

    def require_still_valid(self, caller: Caller, auth_context: AuthContext) -> None:
        """Whether a stream's caller still holds: certificate, its revocation, current roots, token. About 2 us.

        Raises IdentityError with the reason to end the stream with.
        """
        peer = self.peer(auth_context)
        if peer.thumbprint != caller.thumbprint or peer.agency != caller.agency:
            raise IdentityError("TOKEN_NOT_BOUND", "The connection's certificate is not the caller's. Connect again.")
        self._tokens.require_still_valid(caller)
        self._standing.require_caller(caller)

    def require_for_release(self, caller: Caller, auth_context: AuthContext) -> None:
        """The last word before bytes are handed to the transport, with no await in between: the registry is asked for
        what was committed since, then `require_still_valid`. About 8 us. Raises IdentityError, UnavailableError.
        """
        self._standing.glance()
        self.require_still_valid(caller, auth_context)


def _bearer(metadata: Metadata) -> str:
    values = [value for name, value in metadata if name.lower() == "authorization"]
    if len(values) != 1:
        raise IdentityError(
            "TOKEN_MISSING",
            "Send exactly one `authorization: Bearer <access token>` in the call's metadata.",
            detail=f"{len(values)} values",
        )
    value = values[0]
    # The scheme is case-insensitive (RFC 9110 section 11.1); one space and the token follow (RFC 6750 section 2.1).
    if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise IdentityError("TOKEN_MISSING", "The `authorization` metadata must be `Bearer <access token>`.")
    return value[len(_SCHEME) :]
