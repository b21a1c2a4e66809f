"""What a command cannot read or write is said in words, with what to do, and never as a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from entente_sdk.cli.files import MAX_BUNDLE_BYTES, read_bundle, write
from entente_sdk.errors import ConfigurationError


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    for attempt in (lambda path: write(path, "text"), lambda path: write(path, b"bytes"), read_bundle):
        with pytest.raises(ConfigurationError, match=r"absent/file cannot be (read|written): No such"):
            attempt(tmp_path / "absent" / "file")


def test_what_is_larger_than_any_bundle_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    write(path, bytes(MAX_BUNDLE_BYTES))
    assert read_bundle(path) == bytes(MAX_BUNDLE_BYTES)
    write(path, bytes(MAX_BUNDLE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="no bundle"):
        read_bundle(path)
