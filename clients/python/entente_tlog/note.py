"""C2SP signed-note with Ed25519 keys; key texts as in golang.org/x/mod/sumdb/note.

A note is text that ends in a newline, a blank line, then signature lines `— name base64(key id || signature)`.

MUSTs (c2sp.org/signed-note):
1. text without a verified signature from a known key is never returned;
2. a signature of a known key that fails rejects the whole note; signatures of unknown keys are ignored;
3. valid UTF-8, no control character but newline, at most `MAX_NOTE_BYTES` and `MAX_SIGNATURES`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .errors import FormatError, VerificationError

ED25519 = 1
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_DASH = "\N{EM DASH} "


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes((ED25519,)) + public).digest()[:4]


def _check_name(name: str) -> str:
    if not name or "+" in name or any(letter.isspace() or letter < " " for letter in name):
        raise FormatError("a key name is not empty and holds neither spaces nor '+'")
    return name


def decode64(text: str, size: int | None = None) -> bytes:
    """Strict standard base64 (RFC 4648, section 4): padded, and the only encoding of its bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError("not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise FormatError("not canonical base64")
    if size is not None and len(raw) != size:
        raise FormatError(f"{len(raw)} bytes where {size} belong")
    return raw


def encode64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class Verifier:
    """A public key under a name."""

    __slots__ = ("_key", "_public", "key_id", "name")

    def __init__(self, name: str, public: bytes) -> None:
        self.name = _check_name(name)
        self._public = public
        self.key_id = _key_id(name, public)
        self._key = Ed25519PublicKey.from_public_bytes(public)

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """`name+hash+base64(algorithm || key)`; raises FormatError."""
        name, _, rest = vkey.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = decode64(encoded, 33)
        if raw[0] != ED25519:
            raise FormatError("only Ed25519 keys are known")
        verifier = cls(name, raw[1:])
        if verifier.key_id.hex() != key_id:
            raise FormatError("the key's hash does not match its name and key")
        return verifier

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode64(bytes((ED25519,)) + self._public)}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise VerificationError unless the signature holds."""
        try:
            self._key.verify(signature, text)
        except InvalidSignature as error:
            raise VerificationError(f"the signature of {self.name} does not hold") from error


class Signer:
    """A private key under a name. Deterministic (RFC 8032): one text, one signature."""

    __slots__ = ("_key", "_line_start", "_seed", "name", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = _check_name(name)
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())
        self._line_start = f"\n{_DASH}{name} ".encode()

    @classmethod
    def generate(cls, name: str) -> Signer:
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Signer:
        """`PRIVATE+KEY+name+hash+base64(algorithm || seed)`; raises FormatError."""
        parts = text.strip().split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
            raise FormatError("not a private note key")
        raw = decode64(parts[4], 33)
        if raw[0] != ED25519:
            raise FormatError("only Ed25519 keys are known")
        signer = cls(parts[2], raw[1:])
        if signer.verifier.key_id.hex() != parts[3]:
            raise FormatError("the key's hash does not match its name and key")
        return signer

    def private_text(self) -> str:
        """The secret: for the owner's key file only."""
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encode64(bytes((ED25519,)) + self._seed)}"

    def sign(self, text: bytes) -> bytes:
        """The whole note for a text that ends in a newline."""
        signature = self.verifier.key_id + self._key.sign(text)
        return text + self._line_start + base64.b64encode(signature) + b"\n"


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart. The text is not to be trusted before `open_note` has accepted it."""

    text: bytes
    signatures: tuple[Signature, ...]


def parse_note(raw: bytes) -> Note:
    """Take a note apart without verifying; raises FormatError."""
    if len(raw) > MAX_NOTE_BYTES:
        raise FormatError("the note is too large")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("the note is not UTF-8") from error
    if any(letter < " " and letter != "\n" for letter in text):
        raise FormatError("the note holds a control character")
    body, blank, tail = text.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or not body or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise FormatError("the note has no signatures")
    return Note(body.encode() + b"\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise FormatError("a signature line starts with a dash")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    raw = decode64(encoded)
    if not space or len(raw) < 5:
        raise FormatError("a signature line lacks its signature")
    return Signature(_check_name(name), raw[:4], raw[4:])


def open_note(raw: bytes, verifiers: Iterable[Verifier]) -> bytes:
    """The text of a note that at least one known key has signed. Raises FormatError or VerificationError."""
    note = parse_note(raw)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    verified = 0
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is not None:
            verifier.verify(note.text, signature.signature)
            verified += 1
    if not verified:
        raise VerificationError("no known key has signed the note")
    return note.text
