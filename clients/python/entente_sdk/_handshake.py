"""Why a connection fails, in words.

gRPC says "Socket closed" when a broker refuses a certificate: TLS 1.3 lets the client finish its side first. So when
no answer comes, the handshake is tried once more with the platform's TLS, which tells the cases apart.
Sends nothing but the handshake. Does not: explain refusals on the audit log; they have reasons of their own.
"""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime

from cryptography import x509

from entente_sdk._material import read
from entente_sdk.errors import HandshakeError
from entente_sdk.profile import Profile

TRY_SECONDS = 2.0
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH = 62, 64
_NOT_YET_VALID, _EXPIRED = 9, 10


def explain(profile: Profile) -> HandshakeError | None:
    """What is wrong with the handshake, or None when something else fails. Blocks a few seconds at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(profile.ca)
    context.set_alpn_protocols(["h2"])
    if profile.certificate is not None and profile.key is not None:
        context.load_cert_chain(profile.certificate, profile.key)
    try:
        with (
            socket.create_connection((profile.host, profile.port), TRY_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=profile.server_name or profile.host) as secure,
        ):
            # A broker that takes the certificate speaks at once (HTTP/2 SETTINGS); one that refuses it hangs up.
            return None if secure.recv(1) else _certificate_refused(profile)
    except ssl.SSLCertVerificationError as error:
        return _server_untrusted(profile, error)
    except ssl.SSLError as error:
        return _tls_failed(profile, error)
    except ConnectionResetError:
        return _certificate_refused(profile)
    except OSError:
        return None


def _certificate_refused(profile: Profile) -> HandshakeError:
    if profile.certificate is None:
        return HandshakeError(
            "NO_CERTIFICATE", f"the broker at {profile.endpoint} asks for a certificate, and this profile has none"
        )
    leaf = x509.load_pem_x509_certificates(read("certificate", profile.certificate))[0]
    issuer = leaf.issuer.rfc4514_string()
    ends = leaf.not_valid_after_utc
    if ends < datetime.now(UTC):
        detail = f"it expired on {ends:%Y-%m-%d %H:%M} UTC"
    else:
        detail = f"it is a stranger's to the broker; it was issued by {issuer!r}"
    return HandshakeError(
        "CERTIFICATE_REFUSED", f"the broker at {profile.endpoint} does not accept the certificate: {detail}"
    )


def _server_untrusted(profile: Profile, error: ssl.SSLCertVerificationError) -> HandshakeError:
    name = profile.server_name or profile.host
    if error.verify_code in (_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH):
        return HandshakeError(
            "SERVER_NAME_WRONG", f"the server at {profile.endpoint} has a certificate that is not for {name!r}"
        )
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        return HandshakeError(
            "SERVER_UNTRUSTED", f"the certificate of the server at {profile.endpoint} is out of its time"
        )
    return HandshakeError(
        "SERVER_UNTRUSTED",
        f"the server at {profile.endpoint} is not trusted: its certificate does not lead to ca "
        f"({error.verify_message})",
    )


def _tls_failed(profile: Profile, error: ssl.SSLError) -> HandshakeError:
    words = (error.reason or "").replace("_", " ").lower() or "no reason given"
    if "certificate required" in words:
        return _certificate_refused(profile)
    if "unknown ca" in words or "bad certificate" in words or "certificate unknown" in words:
        return _certificate_refused(profile)
    return HandshakeError("TLS_FAILED", f"the TLS handshake with {profile.endpoint} failed: {words}")
