"""The secure channel's credentials and options, the same for both colours.

Guarantees: there is no insecure channel; files that cannot be read or do not belong together are named before a
connection is tried.
"""

from __future__ import annotations

from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import Profile

MAX_RECEIVE_BYTES = 16 * 1024 * 1024


def options(profile: Profile) -> list[tuple[str, int | str]]:
    """Channel arguments."""
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


def credentials(profile: Profile) -> grpc.ChannelCredentials:
    """Mutual TLS. Raises ConfigurationError that names the setting at fault."""
    _ = profile.port
    roots = read("ca", profile.ca)
    _certificates("ca", roots)
    if profile.certificate is None or profile.key is None:
        return grpc.ssl_channel_credentials(roots)
    chain, key = read("certificate", profile.certificate), read("key", profile.key)
    _belong_together(chain, key)
    return grpc.ssl_channel_credentials(roots, key, chain)


def read(setting: str, path: Path) -> bytes:
    """A file's bytes. Raises ConfigurationError with the setting's name."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} cannot be read: {error}") from error


def _certificates(setting: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationError(f"{setting} does not hold a certificate in PEM") from error


def _belong_together(chain: bytes, key_pem: bytes) -> None:
    leaf = _certificates("certificate", chain)[0]
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError("key does not hold an unencrypted private key in PEM") from error
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ConfigurationError("key does not belong to certificate")
