"""One byte of a copy of the ledger is changed, and found.

MUST: the original is opened for reading only.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from entente_sdk.demo.checks import expect
from entente_tlog.tiles import ENTRIES
from entente_tlog.verify import VerificationReport, verify_directory


@dataclass(frozen=True, slots=True)
class Tampering:
    """What was done to the copy, and what verification said."""

    file: Path
    offset: int
    before: int
    after: int
    report: VerificationReport


def tamper(ledger: Path, copy: Path, entry: bytes, word: bytes, key: str) -> Tampering:
    """Copy the ledger, change one byte of `word` within `entry` there, and verify the copy.

    Args:
        ledger: the original's directory.
        copy: where the copy goes; must not exist.
        entry: the exact bytes of the entry to change.
        word: a part of it.
        key: the log's public key.

    Raises DemoError where the entry is not in the ledger.
    """
    shutil.copytree(ledger, copy)
    file, offset = _find(copy, entry)
    offset += entry.index(word)
    content = bytearray(file.read_bytes())
    before = content[offset]
    after = before ^ 0x01
    content[offset] = after
    file.chmod(0o600)
    file.write_bytes(content)
    return Tampering(file, offset, before, after, verify_directory(copy, key))


def fingerprint(directory: Path) -> str:
    """A hash over the names and contents of all files."""
    total = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(directory)).encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _find(ledger: Path, entry: bytes) -> tuple[Path, int]:
    """The file of entries that verification reads, and where the entry begins in it."""
    bundles = [path for path in (ledger / "tile" / ENTRIES).rglob("*") if path.is_file()]
    # Of several partial bundles the widest is the one in force.
    bundles.sort(key=lambda path: path.stat().st_size, reverse=True)
    for path in bundles:
        at = path.read_bytes().find(entry)
        if at >= 0:
            return path, at
    expect(False, "the entry of the receipt is in the ledger")
    raise AssertionError
