"""The server's TLS: 1.3 only, client certificates required.

Guarantees: a client that offers no more than TLS 1.2 is refused in the handshake, and so is a client without a
certificate from the roots given here.
Does not: decide who calls (`certificate` does, after the handshake), and cannot name a minimum version: gRPC's Python
interface has none. Instead the only TLS 1.2 cipher suite on offer needs a pre-shared key, which nobody holds; TLS 1.3
suites are not governed by that list. Each connection's version is checked again by `caller`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

CIPHER_VARIABLE = "GRPC_SSL_CIPHER_SUITES"
UNUSABLE_TLS12_SUITE = "ECDHE-PSK-CHACHA20-POLY1305"


def require_tls13() -> None:
    """Switches TLS 1.2 off for this process. Call it before anything imports grpc.

    Raises RuntimeError when grpc is already loaded with other settings: it reads them once, so changing them now would
    look right and do nothing.
    """
    if os.environ.get(CIPHER_VARIABLE) == UNUSABLE_TLS12_SUITE:
        return
    if "grpc" in sys.modules:
        raise RuntimeError(f"grpc was imported before {__name__}.require_tls13(): TLS 1.2 would stay on")
    os.environ[CIPHER_VARIABLE] = UNUSABLE_TLS12_SUITE


def server_credentials(certificate_pem: bytes, key_pem: bytes, roots_pem: bytes) -> grpc.ServerCredentials:
    """Credentials that ask every client for a certificate from these roots.

    Raises RuntimeError unless `require_tls13` was called first, and ValueError where a part is empty.
    """
    if os.environ.get(CIPHER_VARIABLE) != UNUSABLE_TLS12_SUITE:
        raise RuntimeError(f"call {__name__}.require_tls13() first: this broker does not serve TLS 1.2")
    if not (certificate_pem and key_pem and roots_pem):
        raise ValueError("a server needs its certificate, its key, and the roots of its clients")
    # Imported here, because the settings above must be in place before grpc is.
    import grpc

    return grpc.ssl_server_credentials(
        [(key_pem, certificate_pem)], root_certificates=roots_pem, require_client_auth=True
    )
