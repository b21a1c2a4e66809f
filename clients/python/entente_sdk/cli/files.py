"""Files that commands are given, and those that they leave. What cannot be read or written is said, and ends it."""

from __future__ import annotations

from pathlib import Path

from entente_sdk.errors import ConfigurationError

MAX_BUNDLE_BYTES = 1 << 20


def read_bundle(path: Path) -> bytes:
    """A bundle of policies, as `entente policy build` makes it. Raises ConfigurationError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", reason="USAGE") from error
    if len(content) > MAX_BUNDLE_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_BUNDLE_BYTES} bytes: no bundle", reason="USAGE")
    return content


def agreement_text(path: Path) -> str:
    """An agreement's document, as the wire has it, of a draft or of what was signed. Raises ConfigurationError."""
    from entente_sdk.agreements.drafting import read  # needs YAML's and the agreement's readers

    return read(path).text()


def write(path: Path, content: str | bytes) -> None:
    """Leave a file, in place of one that is there. Raises ConfigurationError."""
    try:
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", reason="USAGE") from error
