"""The login that is kept: one small file for each profile, issuer and client, readable by its owner alone.

Guarantees: mode 0600 from the first byte, replaced in one step; a file that others could read or write is refused; a
login is never sent to another issuer, because it is kept under issuer and client too.
Does not: encrypt; who can read this user's files can act as this user until the login is revoked.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from entente_sdk._locks import file_lock, state_folder
from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import GRANTS, Grant, Profile

LARGEST_FILE = 32 * 1024
LOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Login:
    """How tokens are had: by the refresh token of a device login, or as the workload itself."""

    grant: Grant
    refresh_token: str = field(default="", repr=False)


class LoginStore:
    """Where a profile's login lies."""

    def __init__(self, profile: Profile) -> None:
        words = json.dumps([profile.name, profile.issuer, profile.client_id])
        self._name = hashlib.sha256(words.encode()).hexdigest()[:32]

    @property
    def path(self) -> Path:
        """The file, whether or not it exists."""
        return state_folder("logins") / f"{self._name}.json"

    def locked(self) -> AbstractContextManager[None]:
        """While one process uses a refresh token that will be rotated, no other does."""
        return file_lock(f"login-{self._name}", seconds=LOCK_SECONDS)

    def load(self) -> Login | None:
        """The login, or None. Raises ConfigurationError for a file that cannot be trusted."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.path, str(error)) from error
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if os.name == "posix" and (stat.S_IMODE(about.st_mode) & 0o077 or about.st_uid != os.getuid()):
                raise _unusable(self.path, "others than its owner may use it")
            return _parsed(self.path, file.read(LARGEST_FILE))

    def save(self, login: Login) -> None:
        """Replace it in one step. Raises ConfigurationError."""
        content = json.dumps({"grant": login.grant, "refresh_token": login.refresh_token}).encode()
        beside = self.path.with_name(f".{self._name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise ConfigurationError(f"the login cannot be kept: {error}", reason="STATE_FOLDER") from error

    def remove(self) -> bool:
        """Whether there was one. Raises ConfigurationError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigurationError(f"the login cannot be removed: {error}", reason="STATE_FOLDER") from error
        return True


def _parsed(path: Path, content: bytes) -> Login:
    try:
        found = json.loads(content)
        login = Login(found["grant"], found["refresh_token"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path, "it is damaged") from error
    if login.grant not in GRANTS or not isinstance(login.refresh_token, str):
        raise _unusable(path, "it is damaged")
    return login


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"the login kept in {path} is not used: {why}; log in again", reason="LOGIN_NEEDED")
