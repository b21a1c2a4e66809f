"""The server's TLS: 1.3 only, client certificates required.

Guarantees: a client that offers no more than TLS 1.2 is refused in the handshake, and so is a client without a
certificate from the roots that are in force. Certificate, key and roots change without a restart: each handshake uses
the offer of its moment.
Does not: decide who calls (`certificate` does, after the handshake), and cannot name a minimum version: gRPC's Python
interface has none. Instead the only TLS 1.2 cipher suite on offer needs a pre-shared key, which nobody holds; TLS 1.3
suites are not governed by that list. Each connection's version is checked again by `caller`. The key exchange is the
library's choice: X25519MLKEM768 (hybrid, post-quantum) with every client that offers it, as gRPC's own clients do.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

    from broker.identify.server_certificate import Offer

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


def server_credentials(current: Callable[[], Offer]) -> grpc.ServerCredentials:
    """Credentials that ask every client for a certificate from the offer's roots, and look at `current` at each
    handshake: another offer (another object) is used from then on.

    Raises RuntimeError unless `require_tls13` was called first.
    """
    if os.environ.get(CIPHER_VARIABLE) != UNUSABLE_TLS12_SUITE:
        raise RuntimeError(f"call {__name__}.require_tls13() first: this broker does not serve TLS 1.2")
    # Imported here, because the settings above must be in place before grpc is.
    import grpc

    given = current()
    guard = threading.Lock()

    def configuration(offer: Offer) -> grpc.ServerCertificateConfiguration:
        pair = (offer.pair.key_pem, offer.pair.certificate_pem)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=offer.roots_pem)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # Called on gRPC's own threads before each handshake; None means that nothing has changed.
        nonlocal given
        with guard:
            offer = current()
            if offer is given:
                return None
            given = offer
        return configuration(offer)

    return grpc.dynamic_ssl_server_credentials(
        configuration(given),
        # The stubs do not know of None; gRPC's documentation does.
        fetch,  # type: ignore[arg-type]
        require_client_authentication=True,
    )
