"""Fetched keys on disk, so that a restart during an issuer's outage goes on with them, for no longer than without it.

Guarantees: a file is written whole or not at all, for this user alone; it holds public keys, when they were fetched,
and for which issuer and from where, and counts for exactly those.
Does not: trust what it reads: keys are read as strictly as from the issuer, what is damaged is as good as absent, and
whether the date lets them count is `lease`'s to say. It is not flushed to the disk: after a power cut a file may be
absent.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from broker.identify.compact import read_object
from broker.identify.issuers import IssuerEntry
from broker.identify.jwk import IssuerKey
from broker.identify.key_set import LARGEST_KEY_FILE, LONGEST_MEMBER, MOST_KEYS, read_key_set

_MEMBERS = {"issuer", "agency", "jwks_uri", "fetched_us", "jwks"}


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was fetched, and when (UTC, microseconds)."""

    keys: dict[str, IssuerKey]
    fetched_us: int


class KeyCache:
    """A folder with one file for each issuer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, entry: IssuerEntry) -> Remembered | None:
        """What was remembered of exactly this registration, or None."""
        try:
            with self._path(entry.url).open("rb") as file:
                content = file.read(4 * LARGEST_KEY_FILE)
            told = read_object(content, most_containers=4 * MOST_KEYS + 1, longest_string=LONGEST_MEMBER)
            fetched_us = told["fetched_us"]
            if set(told) != _MEMBERS or not isinstance(fetched_us, int):
                return None
            if (told["issuer"], told["agency"], told["jwks_uri"]) != (entry.url, str(entry.agency), entry.jwks_uri):
                return None
            return Remembered(read_key_set(orjson.dumps(told["jwks"])), fetched_us)
        except (OSError, ValueError, KeyError):
            return None

    def save(self, entry: IssuerEntry, content: bytes, fetched_us: int) -> None:
        """Remember a JWK Set that was read. Blocks. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        told = {
            "issuer": entry.url,
            "agency": str(entry.agency),
            "jwks_uri": entry.jwks_uri,
            "fetched_us": fetched_us,
            "jwks": orjson.loads(content),
        }
        # Made with mode 0600; several workers write the same file, so each writes its own and puts it in place.
        handle, name = tempfile.mkstemp(prefix=".", suffix=".json", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(told))
            Path(name).replace(self._path(entry.url))
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def forget(self, url: str) -> None:
        """An issuer that is no longer one must not come back by its old keys. Raises OSError."""
        self._path(url).unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
