"""Pseudonyms: a value's stand-in, by which one recipient follows it through one case and learns nothing else of it.

MUSTs:
1. Two spellings of one value, as search compares them, have one pseudonym for one recipient, case and kind of value.
2. Another recipient, case or kind gives another, and which belong together cannot be told without the broker's key.
3. Without a case there is none: `Scope.stated` is false, and release withholds the class.
4. A value of which nothing can be compared (blanks, signs) has none: it is withheld, not joined with its like.
5. It tells nothing of the value, its length neither; 100 bits keep two values apart.

HMAC-SHA256 (RFC 2104) under the broker's key. Whoever can have values of its choice recorded as another's, and reads
them as pseudonyms, may test guesses: see decision 0017.

For one event loop: it takes no lock.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.domain import normal
from entente.access.v1 import access_pb2

KEY_BYTES = 32
PREFIX = "P-"
_EPOCH_LETTERS, _LETTERS = 2, 20
LENGTH = len(PREFIX) + _EPOCH_LETTERS + 1 + _LETTERS
_BYTES = 13  # the least that give so many letters of five bits
_PURPOSE = b"entente pseudonym 1"
# Bounds; reaching one costs a recomputation.
_MOST_SCOPES = 1024

Namer = Callable[[str, str], str | None]

# By kind of value, the form in which search compares it.
NORMAL: Mapping[str, Callable[[str], str]] = {
    "NAME": normal.name,
    "PHONE": normal.phone,
    "PLATE": normal.plate,
    "ACCOUNT": normal.account,
    "REGISTRATION": normal.account,
    "DEVICE": normal.account,
    "DOCUMENT": normal.account,
    "OPERATION": normal.name,
    "OFFICER": normal.name,
    "STAFF_NUMBER": normal.account,
}
KINDS = frozenset(access_pb2.PseudonymKind.DESCRIPTOR.values_by_name) - {"PSEUDONYM_KIND_UNSPECIFIED"}
if {f"PSEUDONYM_KIND_{name}" for name in NORMAL} != KINDS:
    raise RuntimeError("each PseudonymKind of access.proto needs its normal form in broker/release/pseudonyms.py")


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom an answer is: the agency that receives it, and the case, as normalised; empty where none is stated."""

    recipient: str = ""
    case: str = ""

    @classmethod
    def of(cls, recipient: str, case_reference: str) -> Scope:
        """Case, width and spacing of a reference do not matter; signs alone name no case."""
        plain = " ".join(unicodedata.normalize("NFKC", case_reference).casefold().split())
        return cls(recipient, plain if any(map(str.isalnum, plain)) else "")

    @property
    def stated(self) -> bool:
        """Whether pseudonyms can be given: there are a recipient and a case."""
        return bool(self.recipient and self.case)


NOBODY = Scope()


class Pseudonyms:
    """The pseudonyms of one broker, under its key of 32 bytes. A new key gives everything a new pseudonym."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of pseudonyms has {KEY_BYTES} bytes, not {len(key)}; restore it or remove it")
        self._key = key
        # Names the key, so that pseudonyms of two keys are not taken for one another.
        self.epoch = _letters(_digest(key, _PURPOSE, b"epoch"))[:_EPOCH_LETTERS]
        self._namers: dict[Scope, Namer] = {}

    def namer(self, scope: Scope) -> Namer:
        """(kind, value) -> pseudonym for this recipient and case, or None where nothing of the value is comparable.

        Raises ValueError for a scope that states no case.
        """
        found = self._namers.get(scope)
        if found is None:
            if not scope.stated:
                raise ValueError("no pseudonym without a recipient and a case")
            if len(self._namers) >= _MOST_SCOPES:
                self._namers.clear()
            found = self._namers[scope] = self._namer(scope)
        return found

    def _namer(self, scope: Scope) -> Namer:
        key = _digest(self._key, _PURPOSE, b"scope", scope.recipient.encode(), scope.case.encode())
        lead = f"{PREFIX}{self.epoch}-"

        def name(kind: str, value: str) -> str | None:
            plain = NORMAL[kind](value)
            if not plain:
                return None
            return lead + _letters(_digest(key, kind.encode(), plain.encode()))[:_LETTERS]

        return name


def _digest(key: bytes, *parts: bytes) -> bytes:
    """Each part with its length before it, so that no two lists of parts are one message."""
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256")


def _letters(digest: bytes) -> str:
    """Base32 (RFC 4648): capital letters and 2 to 7, easily read out."""
    return base64.b32encode(digest[:_BYTES]).decode()
