"""C2SP tlog-checkpoint: a signed note whose text is origin, tree size and root hash, a line each.

Strict: no leading zeroes, no sign, canonical base64 of exactly 32 bytes, no empty extension line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import FormatError, VerificationError
from .note import Verifier, decode64, encode64, open_note, parse_note

MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: which log, how many entries, which root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> bytes:
        """The note's text, to be signed."""
        lines = (self.origin, str(self.size), encode64(self.root), *self.extensions)
        return ("\n".join(lines) + "\n").encode()


def parse_decimal(text: str) -> int:
    """ASCII decimal without leading zeroes, below 2^63; raises FormatError."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0") or len(text) > 19:
        raise FormatError("not a plain decimal number")
    number = int(text)
    if number > MAX_SIZE:
        raise FormatError("the number is too large")
    return number


def parse_text(text: bytes) -> Checkpoint:
    """The note's text -> Checkpoint; raises FormatError."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError("the checkpoint is not UTF-8") from error
    if lines.pop() != "" or len(lines) < 3 or not all(lines):
        raise FormatError("a checkpoint has at least three lines, none of them empty")
    return Checkpoint(lines[0], parse_decimal(lines[1]), decode64(lines[2], 32), tuple(lines[3:]))


def peek(note: bytes) -> Checkpoint:
    """The checkpoint that a note claims to be. NOT verified: only for choosing a key."""
    return parse_text(parse_note(note).text)


def open_checkpoint(note: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint signed by a key of the log's own name. Raises FormatError or VerificationError."""
    checkpoint = peek(note)
    named = [verifier for verifier in verifiers if verifier.name == checkpoint.origin]
    if not named:
        raise VerificationError(f"no known key bears the origin {checkpoint.origin!r}")
    open_note(note, named)
    return checkpoint
