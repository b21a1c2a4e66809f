"""The secure channel's credentials and options, the same for both colours.

Guarantees: there is no insecure channel, and each has a connection of its own.
"""

from __future__ import annotations

import grpc

from entente_sdk._material import Material
from entente_sdk.profile import Profile

MAX_RECEIVE_BYTES = 16 * 1024 * 1024


def options(profile: Profile) -> list[tuple[str, int | str]]:
    """Channel arguments. Raises ConfigurationError for an endpoint that is none."""
    _ = profile.port
    found: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
        # A refusal's receipt travels in the trailers; the default of 8 KiB is near its size.
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 64 * 1024),
        # Retries are ours: they know what may be repeated, and for how long.
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 4000),
        # Servers by default end connections that are pinged more than once in five minutes.
        ("grpc.keepalive_time_ms", 310_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Two clients with different certificates must not share a connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if profile.server_name is not None:
        found.append(("grpc.ssl_target_name_override", profile.server_name))
        found.append(("grpc.default_authority", profile.server_name))
    return found


def credentials(material: Material) -> grpc.ChannelCredentials:
    """Mutual TLS; without a certificate of ours, the broker's alone is checked."""
    if not material.chain:
        return grpc.ssl_channel_credentials(material.roots)
    return grpc.ssl_channel_credentials(material.roots, material.key, material.chain)
