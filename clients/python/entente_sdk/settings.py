"""Where a profile's values come from: command line, then environment, then file, then default.

The file is TOML at `ENTENTE_CONFIG`, or else in the user's configuration folder:

    default_profile = "north"

    [profiles.north]
    endpoint = "broker.example:7443"
    ca = "root.pem"                      # relative to this file
    certificate = "cert.pem"
    key = "key.pem"
    renew_command = ["renew-certificate"]
    token_command = ["issue-token", "--me"]   # or token_file, or issuer and client_id
    log_key = "broker.example/log/0+..."   # or a list
    purpose = "INVESTIGATION"

Each setting has an environment variable, `ENTENTE_` and its name in capitals; `ENTENTE_PROFILE` chooses the profile.
Guarantees: an unknown key is refused and named, with its place; each value remembers its origin.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from entente_sdk.errors import ConfigurationError
from entente_sdk.justification import Justification
from entente_sdk.profile import GRANTS, OUTPUTS, Profile

PREFIX = "ENTENTE_"
CONFIG_VARIABLE = "ENTENTE_CONFIG"
PROFILE_VARIABLE = "ENTENTE_PROFILE"
NOT_SET = "not set"
_TOP_LEVEL = frozenset({"default_profile", "profiles"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from, in words."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one profile, complete or not."""

    profile_name: Setting
    path: Path
    values: Mapping[str, Setting]
    unknown_variables: tuple[str, ...] = ()

    def profile(self) -> Profile:
        """The profile. Raises ConfigurationError that names what is missing."""
        given = {name: setting.value for name, setting in self.values.items() if setting.value is not None}
        missing = [name for name in ("endpoint", "ca", "log_key") if name not in given]
        if missing:
            raise ConfigurationError(
                f"{' and '.join(missing)} not set: set {'it' if len(missing) == 1 else 'them'} in profile "
                f"{self.profile_name.value!r} of {self.path}, or in the environment "
                f"({', '.join(PREFIX + name.upper() for name in missing)})",
                reason="SETTING_MISSING",
            )
        given["log_keys"] = given.pop("log_key")
        return Profile(**given, name=str(self.profile_name.value))


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file, whether or not it exists."""
    named = environ.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else Path(platformdirs.user_config_dir("entente")) / "config.toml"


def load_profile(name: str | None = None, *, environ: Mapping[str, str] = os.environ) -> Profile:
    """The profile of that name, or the one that file and environment choose. Raises ConfigurationError."""
    return load_settings(name, environ=environ).profile()


def load_settings(
    name: str | None = None,
    *,
    overrides: Mapping[str, tuple[str, str]] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Every setting with its origin.

    Args:
        name: of the profile, as given on the command line.
        overrides: setting -> (value, the option that gave it).
        environ: the environment.
    """
    path = config_path(environ)
    document = _read(path)
    chosen = _choose(name, document, environ)
    section = _section(document, chosen, path)
    values = {}
    for field, parse in FIELDS.items():
        values[field] = _setting(field, parse, overrides or {}, environ, section, path, str(chosen.value))
    known = {PREFIX + field.upper() for field in FIELDS} | {CONFIG_VARIABLE, PROFILE_VARIABLE}
    unknown = tuple(sorted(key for key in environ if key.startswith(PREFIX) and key not in known))
    return Settings(chosen, path, values, unknown)


def _setting(
    field: str,
    parse: Callable[[Any, Path], Any],
    overrides: Mapping[str, tuple[str, str]],
    environ: Mapping[str, str],
    section: Mapping[str, Any],
    path: Path,
    profile: str,
) -> Setting:
    variable = PREFIX + field.upper()
    if field in overrides:
        raw, option = overrides[field]
        origin, base = f"command line ({option})", Path.cwd()
    elif environ.get(variable):
        raw, origin, base = environ[variable], f"environment ({variable})", Path.cwd()
    elif field in section:
        raw, origin, base = section[field], f"{path} [profiles.{profile}]", path.parent
    elif field == "output":
        return Setting(field, "table", "default")
    else:
        return Setting(field, None, NOT_SET)
    try:
        return Setting(field, parse(raw, base), origin)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{field}: {error.message}; it came from {origin}", reason="SETTING_INVALID"
        ) from error


def _text(raw: Any, _: Path) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ConfigurationError("a text is needed")
    return raw.strip()


def _file(raw: Any, base: Path) -> Path:
    return base / Path(_text(raw, base)).expanduser()


def _words(raw: Any, base: Path) -> tuple[str, ...]:
    if isinstance(raw, list) and raw:
        return tuple(_text(word, base) for word in raw)
    try:
        return tuple(shlex.split(_text(raw, base)))
    except ValueError as error:
        raise ConfigurationError(f"the quoting is wrong: {error}") from error


def _purpose(raw: Any, base: Path) -> str:
    return Justification(_text(raw, base)).purpose


def _https(raw: Any, base: Path) -> str:
    text = _text(raw, base)
    try:
        found = urlsplit(text)
        fits = found.scheme == "https" and found.hostname and found.port != 0 and "@" not in found.netloc
    except ValueError:
        fits = False
    if not fits or "?" in text or "#" in text or not text.isascii():
        raise ConfigurationError(f"an https URL without query and fragment is needed, not {text!r}")
    return text


def _grant(raw: Any, base: Path) -> str:
    text = _text(raw, base).replace("-", "_")
    if text not in GRANTS:
        raise ConfigurationError(f"{text!r} is not one of {', '.join(GRANTS)}")
    return text


def _output(raw: Any, base: Path) -> str:
    text = _text(raw, base)
    if text not in OUTPUTS:
        raise ConfigurationError(f"{text!r} is not one of {', '.join(OUTPUTS)}")
    return text


FIELDS: dict[str, Callable[[Any, Path], Any]] = {
    "endpoint": _text,
    "server_name": _text,
    "ca": _file,
    "certificate": _file,
    "key": _file,
    "renew_command": _words,
    "token_command": _words,
    "token_file": _file,
    "issuer": _https,
    "issuer_ca": _file,
    "client_id": _text,
    "scope": _text,
    "resource": _text,
    "grant": _grant,
    "log_key": _words,
    "purpose": _purpose,
    "case_reference": _text,
    "legal_basis": _text,
    "output": _output,
}


def _read(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", reason="CONFIG_UNREADABLE") from error
    _refuse_unknown(document, _TOP_LEVEL, f"{path}")
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise ConfigurationError(f"{path}: profiles are tables, [profiles.NAME]", reason="CONFIG_UNREADABLE")
    for name, section in profiles.items():
        _refuse_unknown(section, FIELDS, f"{path} [profiles.{name}]")
    return document


def _refuse_unknown(table: Mapping[str, Any], known: object, place: str) -> None:
    unknown = [key for key in table if key not in known]  # type: ignore[operator]
    if unknown:
        raise ConfigurationError(f"{place}: unknown key {', '.join(map(repr, unknown))}", reason="SETTING_UNKNOWN")


def _choose(name: str | None, document: Mapping[str, Any], environ: Mapping[str, str]) -> Setting:
    profiles = document.get("profiles", {})
    if name:
        return Setting("profile", name, "command line (--profile)")
    if environ.get(PROFILE_VARIABLE):
        return Setting("profile", environ[PROFILE_VARIABLE], f"environment ({PROFILE_VARIABLE})")
    if "default_profile" in document:
        return Setting("profile", document["default_profile"], "file (default_profile)")
    if len(profiles) == 1:
        return Setting("profile", next(iter(profiles)), "file (the only profile)")
    return Setting("profile", "default", "default")


def _section(document: Mapping[str, Any], chosen: Setting, path: Path) -> Mapping[str, Any]:
    profiles: Mapping[str, Mapping[str, Any]] = document.get("profiles", {})
    if chosen.value in profiles:
        return profiles[chosen.value]
    if chosen.origin == "default":
        return {}
    known = ", ".join(profiles) or "none"
    raise ConfigurationError(
        f"there is no profile {chosen.value!r} in {path} (profiles there: {known})", reason="PROFILE_UNKNOWN"
    )
