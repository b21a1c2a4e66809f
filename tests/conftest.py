"""What every test needs before anything imports grpc, and the fixtures that several folders share."""

from __future__ import annotations

import pytest

from broker.identify.tls import require_tls13

# grpc reads its TLS settings once, when it is first imported.
require_tls13()


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes name no test: signed, keyed or compressed ones differ in each process, and workers must collect alike."""
    return argname if isinstance(val, bytes) else None
