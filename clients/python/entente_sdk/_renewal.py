"""The certificate is renewed in time: `renew_command` runs when two thirds of its life have passed.

Guarantees:
1. one renewal at a time for each certificate, in this process and, by a lock on a file in the user's state folder,
   among this user's processes; whoever waited looks again before renewing;
2. calls do not wait for it while the old certificate lives, and fail because of it only when that has ended;
3. a failure is a warning in the log `entente_sdk`, with the command's last words, and is not repeated for 30 s.

Does not: write certificate or key; the command replaces both, and `_material` notices.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from entente_sdk._commands import run_words
from entente_sdk._locks import file_lock
from entente_sdk._material import Material, read_material
from entente_sdk.errors import ConfigurationError, EntenteError
from entente_sdk.profile import Profile

COMMAND_SECONDS = 120
AGAIN_AFTER_SECONDS = 30.0
DUE_AFTER_SHARE = 2 / 3

_log = logging.getLogger("entente_sdk")


@dataclass
class _State:
    """Of one certificate file, for all clients of this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    again_at: float = 0.0
    failed: EntenteError | None = None


_states: dict[str, _State] = {}
_states_lock = threading.Lock()


class Renewal:
    """Of one profile's certificate."""

    def __init__(self, profile: Profile, now: Callable[[], float] = time.time) -> None:
        self._profile = profile
        self._now = now
        name = str(profile.certificate.absolute()) if profile.certificate is not None else ""
        self._lock_name = "renew-" + hashlib.sha256(name.encode()).hexdigest()[:32]
        with _states_lock:
            self._state = _states.setdefault(name, _State())

    def is_due(self, material: Material) -> bool:
        """Two thirds of the certificate's life have passed, and the profile says how to renew it."""
        if not self._profile.renew_command or not material.chain:
            return False
        life = material.not_after - material.not_before
        return self._now() >= material.not_before + life * DUE_AFTER_SHARE

    def must_wait(self, material: Material) -> bool:
        """The certificate has ended: without a new one no call can succeed."""
        return self._now() >= material.not_after

    def begin(self) -> None:
        """Renew in the background, unless that is under way or was tried a moment ago."""
        if time.monotonic() >= self._state.again_at and not self._state.lock.locked():
            # Not a daemon: a program that ends does not leave half a renewal behind.
            threading.Thread(target=self._quietly, name="entente renewal", daemon=False).start()

    def run(self) -> None:
        """Renew now, or wait for whoever does. Raises ConfigurationError where it failed."""
        with self._state.lock:
            if time.monotonic() < self._state.again_at:
                if self._state.failed is not None:
                    raise self._state.failed
                return
            self._state.failed = None
            try:
                with file_lock(self._lock_name, seconds=COMMAND_SECONDS):
                    if self._still_due():
                        run_words("renew_command", self._profile.renew_command, COMMAND_SECONDS, "CERTIFICATE_RENEWAL")
                        self._warn_if_unchanged()
            except EntenteError as error:
                self._state.failed = error
                raise
            finally:
                self._state.again_at = time.monotonic() + AGAIN_AFTER_SECONDS

    def _quietly(self) -> None:
        try:
            self.run()
        except EntenteError as error:
            _log.warning("the certificate could not be renewed, the old one is still in use: %s", error.message)

    def _still_due(self) -> bool:
        try:
            return self.is_due(read_material(self._profile))
        except ConfigurationError:
            return True

    def _warn_if_unchanged(self) -> None:
        if self._still_due():
            _log.warning("renew_command succeeded, but certificate and key are not renewed: does it replace them?")
