"""The broker's configuration: one TOML file, read once, refused when anything in it is unknown or missing.

There is no setting that turns TLS, policy or audit off. Paths are relative to the file.

    [broker]                                  [[issuers]]
    name = "broker.example"                   agency = "police.example/northshire"
    listen = "127.0.0.1:8443"                 issuer = "https://issuer.northshire.police.example"
    data = "data"                             jwks = "agencies/.../jwks.json"
    directory = "directory.toml"
    audience = "entente"                      [tls]
    trust_domains = ["police.example"]        certificate, key, roots = "..."
                                              revocation_lists = ["..."]

    [policy]
    engine = "embedded"                       # or "opa", with url = "unix:///run/entente-opa/opa.sock"

`[identity]` and `[limits]` may be left out; their keys and defaults are the classes below.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from broker.domain.agreement import SignedAgreement
from broker.domain.caller import AgencyId
from broker.domain.directory import Agency, Agreement, Appointment


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
    authority that may stand in a path, at least one; where one is missing, or older than `revocation_list_hours`,
    everything below that authority is refused.
    """

    certificate: Path
    key: Path
    roots: Path
    revocation_lists: tuple[Path, ...]
    revocation_list_hours: int = 168


@dataclass(frozen=True, slots=True)
class PolicySection:
    """Which engine decides, and by which policy.

    Args:
        url: where OPA listens; `certificate`, `key` (the broker's own) and `ca` (OPA's root) for one behind TLS.
        deadline_milliseconds: how long an answer of OPA's is waited for; what takes longer is a refusal.
        bundle: a signed bundle (`entente policy build`); absent: the policies that come with the broker.
        verification_key: the policy authority's public key, in PEM; every bundle from outside is proven by it.
        publish: the folder in which the policy in force is left for OPA; absent: `policy` in the data folder.
        passed_over: the revision of an adopted policy over which `bundle` comes into force after all.
    """

    engine: str = "embedded"
    url: str = ""
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    deadline_milliseconds: int = 250
    bundle: Path | None = None
    verification_key: Path | None = None
    publish: Path | None = None
    passed_over: str = ""


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
    """How issuers' keys are read: how often they are fetched, and for how long they count once they cannot be read.

    `jwks_ca`: the roots of the servers of registered issuers; absent: the system's.
    """

    jwks_refresh_seconds: int = 60
    jwks_oldest_seconds: int = 3600
    jwks_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class AgencyLimitsSection:
    """One agency's own limits, as `[[limits.agencies]]`; what is left out is as in `[limits]`."""

    name: str
    connections: int = 0
    streams: int = 0
    calls: int = 0
    requests_per_second: int = 0
    burst: int = 0
    bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """What one agency may use at once, over all workers, and how long a call may last.

    `calls` are calls under way; each may hold a request in memory. `all_connections` is for each worker, whosever they
    are; a connection must have shown its certificate within `handshake_seconds`.
    """

    connections: int = 64
    streams: int = 32
    calls: int = 256
    requests_per_second: int = 500
    burst: int = 1000
    bytes_per_second: int = 32 << 20
    first_message_seconds: int = 10
    longest_call_seconds: int = 120
    handshake_seconds: int = 10
    connection_idle_seconds: int = 300
    connection_age_seconds: int = 1200
    all_connections: int = 4096
    agencies: tuple[AgencyLimitsSection, ...] = ()

    def of(self, agency: AgencyLimitsSection) -> LimitsSection:
        """What holds for this agency."""
        own = {one.name: getattr(agency, one.name) for one in fields(agency) if one.name != "name"}
        return replace(self, **{name: value for name, value in own.items() if value})


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
    base = path.absolute().parent
    config = Config(
        broker=_section(path, base, "broker", BrokerSection, raw.get("broker", {})),
        tls=_section(path, base, "tls", TlsSection, raw.get("tls", {})),
        issuers=tuple(_section(path, base, "issuers", IssuerSection, one) for one in raw.get("issuers", [])),
        policy=_section(path, base, "policy", PolicySection, raw.get("policy", {})),
        identity=_section(path, base, "identity", IdentitySection, raw.get("identity", {})),
        limits=_limits(path, base, raw.get("limits", {})),
    )
    if not config.tls.revocation_lists:
        raise ConfigError(f"{path}: tls.revocation_lists names no file; without one nobody knows what is revoked")
    for one in config.issuers:
        if (one.jwks is None) != bool(one.jwks_uri):
            raise ConfigError(f"{path}: issuer {one.issuer}: set jwks (a file) or jwks_uri (an https URL), one of them")
        if one.ca is not None and not one.jwks_uri:
            raise ConfigError(
                f"{path}: issuer {one.issuer}: ca is the root of the server at jwks_uri; set that, or neither"
            )
    if config.identity.jwks_oldest_seconds < config.identity.jwks_refresh_seconds:
        raise ConfigError(f"{path}: identity.jwks_oldest_seconds is shorter than jwks_refresh_seconds")
    if config.policy.engine not in ("embedded", "opa"):
        raise ConfigError(f"{path}: policy.engine is 'embedded' or 'opa'")
    if config.policy.engine == "opa" and not config.policy.url:
        raise ConfigError(f"{path}: policy.engine 'opa' needs policy.url")
    if config.policy.bundle is not None and config.policy.verification_key is None:
        raise ConfigError(
            f"{path}: policy.bundle needs policy.verification_key: the public key of whoever answers for the policy"
        )
    return config


class DirectoryFile(NamedTuple):
    """What the operator's directory says. `documents`: agreement id -> what its parties signed."""

    agencies: list[Agency]
    agreements: list[Agreement]
    appointments: list[Appointment]
    documents: dict[str, str]


def load_directory(path: Path, examine: Callable[[str], SignedAgreement]) -> DirectoryFile:
    """Read `[[agencies]]`, `[[appointments]]` and the signed files that `agreements` names, as in docs/operating.md.

    `examine` reads a signed agreement, and raises ValueError where not all of its parties have signed it.

    Raises ConfigError.
    """
    raw = _read(path)
    if unknown := set(raw) - {"agencies", "agreements", "appointments"}:
        raise ConfigError(f"{path}: unknown section {sorted(unknown)[0]!r}")
    signed = _agreements(path, raw.get("agreements", []), examine)
    return DirectoryFile(
        [_agency(path, one) for one in raw.get("agencies", [])],
        [one.agreement for one in signed],
        [_appointment(path, one) for one in raw.get("appointments", [])],
        {one.agreement.agreement_id: one.document for one in signed},
    )


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


def _limits(path: Path, base: Path, raw: Mapping[str, Any]) -> LimitsSection:
    section = {key: value for key, value in raw.items() if key != "agencies"}
    own = [_section(path, base, "limits.agencies", AgencyLimitsSection, one) for one in raw.get("agencies", [])]
    for one in own:
        try:
            AgencyId.parse(one.name)
        except ValueError as error:
            raise ConfigError(f"{path}: limits.agencies: {one.name!r}: {error}") from error
    if len({one.name for one in own}) < len(own):
        raise ConfigError(f"{path}: limits.agencies: an agency stands there twice; leave one")
    return replace(_section(path, base, "limits", LimitsSection, section), agencies=tuple(own))


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


def _appointment(path: Path, raw: Mapping[str, Any]) -> Appointment:
    if set(raw) != {"agency", "user", "role"} or not all(isinstance(value, str) and value for value in raw.values()):
        raise ConfigError(f"{path}: appointments: each has agency, user and role, and nothing else")
    return Appointment(**raw)


def _fits(value: object, wanted: type) -> bool:
    if isinstance(value, list):
        return wanted is list and all(isinstance(one, str) for one in value)
    return type(value) is wanted and (wanted is not int or value > 0)  # type: ignore[operator]


def _agreements(path: Path, patterns: object, examine: Callable[[str], SignedAgreement]) -> list[SignedAgreement]:
    """The signed agreements in the files that these patterns name, relative to the directory's file."""
    if not _fits(patterns, list):
        raise ConfigError(
            f"{path}: agreements: an agreement counts only if its parties have signed it. Write one with `entente "
            'agreement draft`, have each sign it, and name the files, first of all: agreements = ["agreements/*.json"]'
        )
    assert isinstance(patterns, list)
    found: dict[str, SignedAgreement] = {}
    for pattern in patterns:
        files = sorted(path.parent.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not files:
            raise ConfigError(f"{path}: agreements: {pattern} names no file")
        for file in files:
            one = _signed(file, examine)
            if found.setdefault(one.agreement.agreement_id, one) is not one:
                raise ConfigError(f"{file}: agreement {one.agreement.agreement_id} is in another file too; keep one")
    return list(found.values())


def _signed(file: Path, examine: Callable[[str], SignedAgreement]) -> SignedAgreement:
    try:
        return examine(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{file}: is no agreement that its parties have signed: {error}") from error
