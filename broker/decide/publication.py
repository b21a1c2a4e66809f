"""The policy in force, laid out for a real OPA: the bundle, and the configuration that names it.

    FOLDER/bundle.tar.gz    the bundle, with the policy authority's signature
    FOLDER/opa.json         where it is and by which key it is proven; OPA follows this file (`--watch-config`)

Guarantees: each file is replaced whole, the bundle before the configuration, and only when it changed: OPA, which loads
the bundle again whenever its configuration changes, never finds half of one. OPA proves the signature by a key that its
own operator gave it (docs/opa.md), not by anything that is written here.
Measured with OPA 1.22: followed like this, another bundle answers after 0.25-0.30 s, and one with a wrong signature
never. `--watch` on the bundle itself is faster (0.05 s) and **does not prove the signature** of what it reloads; a
`file://` bundle is not polled at all.
Does not: know whether anybody reads it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import orjson

from broker.decide.bundle_archive import SIGNATURES, unpack
from broker.domain.policy import PolicyOnFile

BUNDLE, CONFIGURATION = "bundle.tar.gz", "opa.json"
NAME = KEY_ID = "entente"
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


class Publication:
    """Where a broker leaves the policy in force. Every worker may: they all write the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, policy: PolicyOnFile) -> None:
        """Leave this policy for OPA. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        changed = self._replace(BUNDLE, policy.archive)
        configuration = orjson.dumps(self._configuration(policy), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        # A bundle that was not whole when OPA looked is loaded once more, although its configuration said it before.
        self._replace(CONFIGURATION, configuration, again=changed)

    def _configuration(self, policy: PolicyOnFile) -> dict[str, object]:
        bundle: dict[str, object] = {"resource": (self._folder.absolute() / BUNDLE).as_uri()}
        if SIGNATURES in unpack(policy.archive):
            bundle["signing"] = {"keyid": KEY_ID}
        return {
            "bundles": {NAME: bundle},
            "labels": {"policy_epoch": str(policy.epoch), "policy_revision": policy.revision},
        }

    def _replace(self, name: str, content: bytes, *, again: bool = False) -> bool:
        path = self._folder / name
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content and not again:
                return False
        # A name of this process's own: several workers may write at once.
        waiting = path.with_name(f".{name}.{os.getpid()}")
        with waiting.open("wb") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(path)
        return True
