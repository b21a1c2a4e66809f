# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""The channel in force, and its replacement when certificate, key or trust roots change.

Guarantees: a call runs on one channel from its beginning to its end; after a change, new calls go over a new channel,
and the old one is closed when the last call on it has ended. Renewals run beside the calls (see `_renewal`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from entente_sdk import _runtime_sync
from entente_sdk._material import Material, WatchedMaterial
from entente_sdk._renewal import Renewal
from entente_sdk.profile import Profile


@dataclass(eq=False)
class Line:
    """One channel, with the material that it was made of and the number of calls on it."""

    material: Material
    transport: _runtime_sync.Transport
    users: int = 0
    # No new calls: there is a newer one.
    retired: bool = False
    # A first answer has shown that the handshake is not what fails.
    answered: bool = False


class Connection:
    """To one broker, as one agency. Opened at first use."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._watched = WatchedMaterial(profile)
        self._renewal = Renewal(profile)
        self._lock = threading.Lock()
        self._lines: list[Line] = []

    def line(self) -> Line:
        """The channel to call over, counted as used until `release`. Raises ConfigurationError."""
        material = self._material()
        idle: Line | None = None
        with self._lock:
            present = self._present()
            if present is None or present.material != material:
                fresh = Line(material, _runtime_sync.Transport(self._profile, material))
                self._lines.append(fresh)
                if present is not None:
                    present.retired = True
                    idle = self._forget_idle(present)
                present = fresh
            present.users += 1
        if idle is not None:
            idle.transport.close()
        return present

    def release(self, line: Line) -> None:
        """The call has ended."""
        with self._lock:
            line.users -= 1
            idle = self._forget_idle(line)
        if idle is not None:
            idle.transport.close()

    def left(self, line: Line) -> bool:
        """Whether new calls go over another channel than this by now."""
        return self._material() != line.material

    def look(self) -> bool:
        """Look at the files at once: a refusal says that they may have changed. Whether they have."""
        with self._lock:
            present = self._present()
            return present is None or self._watched.current(look=True) != present.material

    def close(self) -> None:
        """Close every channel; calls under way are cancelled."""
        with self._lock:
            lines, self._lines = self._lines, []
        for line in lines:
            line.transport.close()

    def _material(self) -> Material:
        material = self._current()
        if self._renewal.is_due(material):
            if self._renewal.must_wait(material):
                _runtime_sync.blocking(self._renewal.run)
                material = self._current(look=True)
            else:
                self._renewal.begin()
        return material

    def _current(self, *, look: bool = False) -> Material:
        with self._lock:
            return self._watched.current(look=look)

    def _present(self) -> Line | None:
        return self._lines[-1] if self._lines and not self._lines[-1].retired else None

    def _forget_idle(self, line: Line) -> Line | None:
        """The line, where it is nobody's any more: to be closed."""
        if not line.retired or line.users > 0 or line not in self._lines:
            return None
        self._lines.remove(line)
        return line
