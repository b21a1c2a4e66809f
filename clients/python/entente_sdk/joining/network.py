"""What the registrars hand to a newcomer, `network.toml`, and the profile that it becomes.

    endpoint = "broker.example:8443"
    audience = "urn:example:broker"       # of the agency's tokens
    log_keys = ["broker.example+..."]     # what receipts are checked with
    root = "-----BEGIN CERTIFICATE..."    # where the broker's certificate comes from

It is public, and must come by a way that the newcomer trusts: whoever can change it can pose as the broker.
"""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from entente_sdk.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """The file's content."""

    endpoint: str
    audience: str
    log_keys: tuple[str, ...]
    root: str


def read_network(path: Path) -> NetworkFile:
    """Raises ConfigurationError that names what is missing or unknown."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    wanted = {field.name for field in fields(NetworkFile)}
    if set(raw) != wanted:
        differing = ", ".join(sorted(set(raw) ^ wanted))
        raise ConfigurationError(f"{path} must hold {', '.join(sorted(wanted))} and nothing else; look at {differing}")
    keys = raw["log_keys"]
    texts = [raw["endpoint"], raw["audience"], raw["root"], *(keys if isinstance(keys, list) else [None])]
    if not all(isinstance(text, str) and text for text in texts) or len(texts) < 4:
        raise ConfigurationError(f"{path}: endpoint, audience and root are texts, log_keys a list of them")
    return NetworkFile(raw["endpoint"], raw["audience"], tuple(keys), raw["root"])


def add_profile(config: Path, name: str, settings: dict[str, Any]) -> bool:
    """Add a profile to the user's configuration. False: it is there already, the same. Raises ConfigurationError.

    What else the file holds stays as it is, byte for byte.
    """
    try:
        former = config.read_text(encoding="utf-8") if config.exists() else ""
        known = tomllib.loads(former).get("profiles", {}).get(name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{config} cannot be read: {error}", reason="CONFIG_UNREADABLE") from error
    if known == settings:
        return False
    if known is not None:
        raise ConfigurationError(f"{config} has another profile {name!r}; choose another name with --profile-name")
    lines = [f"[profiles.{_toml(name)}]", *(f"{key} = {_toml(value)}" for key, value in settings.items())]
    _replace(config, "\n".join([*([former.rstrip("\n"), ""] if former.strip() else []), *lines, ""]))
    return True


def _toml(value: str | list[str]) -> str:
    """A basic string or a list of them (TOML 1.0: JSON's escapes are among its own)."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text.encode())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
