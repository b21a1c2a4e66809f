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

`[identity]` and `[limits]` may be left out; their keys and defaults are the two classes below.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
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
    """The broker's certificate, the roots that agencies' certificates lead to, and what those roots have revoked.

    All of it is read again when a file changes. `revocation_lists`: a signed list (RFC 5280 section 5) of each
    authority that may stand in a path; one that is missing, or older than `revocation_list_hours`, refuses everything
    below that authority.
    """

    certificate: Path
    key: Path
    roots: Path
    revocation_lists: tuple[Path, ...] = ()
    revocation_list_hours: int = 168


@dataclass(frozen=True, slots=True)
class PolicySection:
    """Which engine decides. `bundle` is a folder of policies; absent: the ones that come with the broker."""

    engine: str = "embedded"
    url: str = ""
    bundle: Path | None = None


@dataclass(frozen=True, slots=True)
class IssuerSection:
    """An issuer speaks for exactly one agency. Its keys are in a file, or at an https URL; `ca` is that server's root.

    Exactly one of `jwks` and `jwks_uri` is set.
    """

    agency: str
    issuer: str
    jwks: Path | None = None
    jwks_uri: str = ""
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class IdentitySection:
    """How issuers' keys are fetched: how often, and for how long fetched keys count while the issuer is down."""

    jwks_refresh_seconds: int = 60
    jwks_oldest_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """What one agency may use at once, over all workers, and how long a call may last."""

    connections: int = 64
    streams: int = 32
    requests_per_second: int = 500
    burst: int = 1000
    bytes_per_second: int = 32 << 20
    first_message_seconds: int = 10
    longest_call_seconds: int = 120
    connection_age_seconds: int = 1200


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `entente serve` is told."""

    broker: BrokerSection
    tls: TlsSection
    issuers: tuple[IssuerSection, ...]
    policy: PolicySection
    identity: IdentitySection = field(default_factory=IdentitySection)
    limits: LimitsSection = field(default_factory=LimitsSection)


T = TypeVar("T")
_WORDS = {bool: "boolean, without quotes", int: "whole number above 0", list: "list of strings", str: "string"}


def load(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    raw = _read(path)
    known = {section.name for section in fields(Config)}
    if unknown := set(raw) - known:
        raise ConfigError(f"{path}: unknown section {sorted(unknown)[0]!r}; known are {sorted(known)}")
    base = path.parent
    config = Config(
        broker=_section(path, base, "broker", BrokerSection, raw.get("broker", {})),
        tls=_section(path, base, "tls", TlsSection, raw.get("tls", {})),
        issuers=tuple(_section(path, base, "issuers", IssuerSection, one) for one in raw.get("issuers", [])),
        policy=_section(path, base, "policy", PolicySection, raw.get("policy", {})),
        identity=_section(path, base, "identity", IdentitySection, raw.get("identity", {})),
        limits=_section(path, base, "limits", LimitsSection, raw.get("limits", {})),
    )
    for one in config.issuers:
        if (one.jwks is None) != bool(one.jwks_uri):
            raise ConfigError(f"{path}: issuer {one.issuer}: set jwks (a file) or jwks_uri (an https URL), one of them")
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
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(raw) - set(known):
        raise ConfigError(f"{path}: unknown key {name}.{sorted(unknown)[0]}; known are {sorted(known)}")
    values: dict[str, Any] = {}
    for key, field_ in known.items():
        if key not in raw:
            if field_.default is MISSING:
                raise ConfigError(f"{path}: {name}.{key} is missing")
            continue
        value: Any = raw[key]
        wanted = {"bool": bool, "int": int}.get(str(field_.type)) or (list if "tuple" in str(field_.type) else str)
        # A quoted "false" is true, and a word where a list belongs is a list of letters.
        if not _fits(value, wanted):
            raise ConfigError(f"{path}: {name}.{key} must be a {_WORDS[wanted]}")
        if "Path" in str(field_.type):
            value = [base / one for one in value] if isinstance(value, list) else base / value
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
    if isinstance(value, list):
        return wanted is list and all(isinstance(one, str) for one in value)
    return type(value) is wanted and (wanted is not int or value > 0)  # type: ignore[operator]


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
