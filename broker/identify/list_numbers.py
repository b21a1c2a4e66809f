"""The highest number of an authority's revocation lists that ever counted, over restarts: no former list may return.

MUSTs:
1. Only a list that its authority signed leaves its number, and numbers never go down, whoever else writes here.
2. An authority is a name and a key: a renewed certificate goes on, another key of the same name counts for itself.
3. A folder that cannot be read keeps the broker from starting.
Does not: say what follows from it (`revocation_list` does). A number of the last moments before a crash may be absent.
An authority may have to begin anew, with a lower number: then an operator removes its file, and restarts.

An empty file for each authority says all by its name. So that several workers need no lock, a higher one is made before
the lower is removed.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

_NAME = re.compile(r"(?P<authority>[0-9a-f]{64})-(?P<number>[0-9a-f]{1,40})", re.ASCII)
_PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class ListNumbers:
    """In memory, and in `folder` where there is one. Raises OSError where that cannot be read."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._saved = _read(folder) if folder is not None and folder.exists() else {}
        self._highest = dict(self._saved)

    def least(self, authority: x509.Certificate) -> int:
        """The lowest number that a list of this authority may have."""
        return self._highest.get(_identity(authority), 0)

    def note(self, authority: x509.Certificate, number: int) -> None:
        """This authority signed a list with this number."""
        identity = _identity(authority)
        self._highest[identity] = max(number, self._highest.get(identity, 0))

    @property
    def unsaved(self) -> dict[str, int]:
        """What `save` has still to keep."""
        if self._folder is None:
            return {}
        return {one: number for one, number in self._highest.items() if self._saved.get(one) != number}

    def save(self, unsaved: dict[str, int]) -> None:
        """Keep these. Blocks. Raises OSError."""
        if self._folder is None or not unsaved:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for authority, number in unsaved.items():
            (self._folder / f"{authority}-{number:x}").touch(mode=0o600)
        _flush(self._folder)
        for path, authority, number in _entries(self._folder):
            if number < unsaved.get(authority, 0):
                path.unlink(missing_ok=True)
        self._saved |= unsaved


def _identity(authority: x509.Certificate) -> str:
    return hashlib.sha256(authority.subject.public_bytes() + authority.public_key().public_bytes(*_PUBLIC)).hexdigest()


def _read(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    # Twice: while another worker makes a higher one and removes the lower, one listing may show neither.
    for _, authority, number in (*_entries(folder), *_entries(folder)):
        found[authority] = max(number, found.get(authority, 0))
    return found


def _entries(folder: Path) -> list[tuple[Path, str, int]]:
    named = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    return [(path, match["authority"], int(match["number"], 16)) for path, match in named if match]


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
