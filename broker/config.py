"""The broker's configuration: one TOML file, read once, refused when anything in it is unknown or missing.

There is no setting that turns TLS, policy or audit off. Paths are relative to the file.

    [broker]                                  [[issuers]]
    name = "broker.example"                   agency = "police.example/northshire"
    listen = "127.0.0.1:8443"                 issuer = "https://issuer.northshire.police.example"
    data = "data"                             jwks = "agencies/.../jwks.json"
    directory = "directory.toml"
    audience = "entente"                      [tls]
    trust_domains = ["police.example"]        certificate, key, roots = "..."

    [policy]
    engine = "embedded"                       # or "opa", with url = "http://127.0.0.1:8181"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from broker.domain.directory import Agency, Agreement


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file, the key and what to do."""


@dataclass(frozen=True, slots=True)
class BrokerSection:
    """Who the broker is and where it keeps its things."""

    name: str
    listen: str
    data: Path
    directory: Path
    audience: str
    trust_domains: tuple[str, ...]
    reflection: bool = False


@dataclass(frozen=True, slots=True)
class TlsSection:
    """The broker's certificate and the roots that agencies' certificates lead to."""

    certificate: Path
    key: Path
    roots: Path


@dataclass(frozen=True, slots=True)
class PolicySection:
    """Which engine decides. `bundle` is a folder of policies; absent: the ones that come with the broker."""

    engine: str = "embedded"
    url: str = ""
    bundle: Path | None = None


@dataclass(frozen=True, slots=True)
class IssuerSection:
    """An issuer speaks for exactly one agency."""

    agency: str
    issuer: str
    jwks: Path


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `entente serve` is told."""

    broker: BrokerSection
    tls: TlsSection
    issuers: tuple[IssuerSection, ...]
    policy: PolicySection


T = TypeVar("T")
_WORDS = {bool: "boolean, without quotes", list: "list of strings", str: "string"}


def load(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    raw = _read(path)
    known = {"broker", "tls", "issuers", "policy"}
    if unknown := set(raw) - known:
        raise ConfigError(f"{path}: unknown section {sorted(unknown)[0]!r}; known are {sorted(known)}")
    base = path.parent
    config = Config(
        broker=_section(path, base, "broker", BrokerSection, raw.get("broker", {})),
        tls=_section(path, base, "tls", TlsSection, raw.get("tls", {})),
        issuers=tuple(_section(path, base, "issuers", IssuerSection, one) for one in raw.get("issuers", [])),
        policy=_section(path, base, "policy", PolicySection, raw.get("policy", {})),
    )
    if config.policy.engine not in ("embedded", "opa"):
        raise ConfigError(f"{path}: policy.engine is 'embedded' or 'opa'")
    if config.policy.engine == "opa" and not config.policy.url:
        raise ConfigError(f"{path}: policy.engine 'opa' needs policy.url")
    return config


def load_directory(path: Path) -> tuple[list[Agency], list[Agreement]]:
    """Read agencies and agreements: `[[agencies]]` and `[[agreements]]` as in docs/operating.md."""
    raw = _read(path)
    if unknown := set(raw) - {"agencies", "agreements"}:
        raise ConfigError(f"{path}: unknown section {sorted(unknown)[0]!r}")
    agencies = [_agency(path, one) for one in raw.get("agencies", [])]
    return agencies, [_agreement(path, one) for one in raw.get("agreements", [])]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def _section(path: Path, base: Path, name: str, kind: type[T], raw: Mapping[str, Any]) -> T:
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(raw) - set(known):
        raise ConfigError(f"{path}: unknown key {name}.{sorted(unknown)[0]}; known are {sorted(known)}")
    values: dict[str, Any] = {}
    for key, field in known.items():
        if key not in raw:
            if field.default is MISSING:
                raise ConfigError(f"{path}: {name}.{key} is missing")
            continue
        value: Any = raw[key]
        wanted = bool if field.type == "bool" else list if "tuple" in str(field.type) else str
        # A quoted "false" is true, and a word where a list belongs is a list of letters.
        if not _fits(value, wanted):
            raise ConfigError(f"{path}: {name}.{key} must be a {_WORDS[wanted]}")
        if "Path" in str(field.type):
            value = base / value
        values[key] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


_AGENCY_TYPES: dict[str, type] = {"compartments": list, "inspectorate": bool}


def _agency(path: Path, raw: Mapping[str, Any]) -> Agency:
    for key, value in raw.items():
        wanted = _AGENCY_TYPES.get(key, str)
        if not _fits(value, wanted):
            raise ConfigError(f"{path}: agencies: {key} must be a {_WORDS[wanted]}")
    try:
        return Agency(**{**raw, "compartments": frozenset(raw.get("compartments", ()))})
    except TypeError as error:
        raise ConfigError(f"{path}: agencies: {error}") from error


def _fits(value: object, wanted: type) -> bool:
    return type(value) is wanted and (not isinstance(value, list) or all(isinstance(one, str) for one in value))


_AGREEMENT_KEYS = {"id", "parties", "purposes", "ceiling", "valid_from", "valid_until"}


def _agreement(path: Path, raw: Mapping[str, Any]) -> Agreement:
    if unknown := set(raw) - _AGREEMENT_KEYS:
        raise ConfigError(f"{path}: agreements: unknown key {sorted(unknown)[0]!r}")
    try:
        return Agreement(
            agreement_id=raw["id"],
            parties=frozenset(raw["parties"]),
            purposes=frozenset(raw["purposes"]),
            ceiling=raw["ceiling"],
            valid_from_us=_microseconds(raw["valid_from"]),
            valid_until_us=_microseconds(raw["valid_until"]),
        )
    except KeyError as error:
        raise ConfigError(f"{path}: agreements: {error} is missing") from error


def _microseconds(when: Any) -> int:
    moment = when if isinstance(when, datetime) else datetime(when.year, when.month, when.day, tzinfo=UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000
