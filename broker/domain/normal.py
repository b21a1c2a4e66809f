"""Normal forms by which values and words are compared: two spellings of one thing become one text.

Guarantees: total and deterministic: every text, however odd, has a normal form, which may be empty; an empty one
matches nothing. The forms are for comparison alone: what is stored and released is what its originator wrote.
Does not guess: a national phone number and its international form stay apart, because the country is not known.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Longer words are cut: an index entry has to stay small, and no word of a language is longer.
MAX_WORD = 64

# Texts are folded in pieces of so many characters.
_PIECE = 256

# Letters that people type without their stroke, and that Unicode does not decompose.
_STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_TRUNK = re.compile(r"\(\s*0\s*\)")
# Scripts written without spaces: each character is a word, so that a part of a sentence can be found.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def name(text: str) -> str:
    """A name: case, spacing, punctuation and accents do not matter. "O'Neill, Zoë" -> "oneillzoe"."""
    return "".join(_runs(text))


def phone(text: str) -> str:
    """A phone number: digits, without the international prefix. "+44 (0)7700 900123" -> "447700900123"."""
    plain = unicodedata.normalize("NFKC", text).strip()
    international = plain.startswith(("+", "00"))
    if international:
        plain = _TRUNK.sub("", plain)
    digits = "".join(str(unicodedata.decimal(c)) for c in plain if c.isdecimal())
    return digits.lstrip("0") if international else digits


def plate(text: str) -> str:
    """A vehicle's plate: letters and digits, upper case. "ab12 cde" -> "AB12CDE"."""
    return name(text).upper()


def account(text: str) -> str:
    """An account: letters and digits, upper case. "gb82 west 1234" -> "GB82WEST1234"."""
    return name(text).upper()


def words(text: str) -> frozenset[str]:
    """The distinct words of a text, each like `name`, at most `MAX_WORD` characters long."""
    return frozenset(word[:MAX_WORD] for run in _runs(text) for word in _split(run))


def _split(run: str) -> list[str]:
    if run.isascii():
        return [run]
    return _UNSPACED.sub(lambda found: f" {found[0]} ", run).split()


def _runs(text: str) -> list[str]:
    """Runs of letters and digits, folded."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # In pieces: putting a long run of accents in order takes quadratic time, and accents are dropped below anyway.
    folded = "".join(_folded(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
    return "".join(map(_kept, folded.translate(_STROKES))).split()


def _folded(text: str) -> str:
    """Folding may decompose and decomposing may uncover what folds: twice is enough (Unicode 3.13, D146)."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.casefold()).casefold())


@lru_cache(maxsize=8192)
def _kept(character: str) -> str:
    """The character, nothing for an accent or a formatting character, a space for what divides words."""
    if character.isalnum():
        return character
    kind = unicodedata.category(character)
    if kind == "Cf" or unicodedata.combining(character):
        return ""
    # Vowel signs of many scripts are marks that do not combine: they belong to the word.
    return character if kind[0] == "M" else " "
