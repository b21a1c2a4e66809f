"""What every test needs before anything imports grpc, and the fixtures that several folders share."""

from __future__ import annotations

from broker.identify.tls import require_tls13

# grpc reads its TLS settings once, when it is first imported.
require_tls13()
