"""Generalisations: the coarser forms of a field. Total: any value that a field can hold gives a value or None.

MUSTs:
1. A text form never holds the whole value, however short that is; where nothing can be kept it is a constant. A
   number's form is shared by all numbers near it.
2. None means that nothing is left; the field is then withheld.
3. Length tells nothing: a form is bounded, and the work on a long value is bounded too.

KEEP is the value as it is: the schema says that it is coarse already.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from broker.release.classes import KEEP

MASK = "***"
# What is read of a value: no name, postcode or number that is one is longer.
_READ = 256
_MOST_INITIALS = 4
_LEAST_FOR_TAIL = 6
_TAIL = 2
_UK_POSTCODE = re.compile(r"([A-Z]{1,2}[0-9][A-Z0-9]?) ?[0-9][A-Z]{2}", re.ASCII)
_LONGEST_DISTRICT = 4
_LAST_YEAR = 9999
_DECIMAL = re.compile(r"[+-]?(?=[0-9])0*([0-9]*)(?:[.][0-9]*)?", re.ASCII)
# By the number of digits before the point: three or fewer, four, five... The last stands for every larger amount.
_UNTOLD_DIGITS = 3
MAGNITUDES = (
    "under a thousand",
    "thousands",
    "tens of thousands",
    "hundreds of thousands",
    "millions",
    "tens of millions",
    "hundreds of millions",
    "a thousand millions or more",
)


def initials(name: str) -> str:
    """ "Ana Lime" -> "A. L."; a name of single letters keeps none of them."""
    words = ["".join(filter(str.isalpha, word)) for word in name[:_READ].split()]
    words = [word for word in words if word]
    shown = words[:_MOST_INITIALS]
    if all(len(word) == 1 for word in shown):
        return MASK
    return " ".join(f"{word[0]}." if len(word) > 1 else "*." for word in shown)


def district(postcode: str) -> str:
    """ "LS1 4AP" -> "LS1"; of a postcode of another shape the first half, at most four characters."""
    text = postcode[:_READ].strip().upper()
    if match := _UK_POSTCODE.fullmatch(text):
        return match[1]
    kept = "".join(filter(str.isalnum, text))
    return kept[: min(len(kept) // 2, _LONGEST_DISTRICT)] or MASK


def tail(number: str) -> str:
    """ "+44 7700 900123" -> "***23"; of fewer than six characters none is shown."""
    kept = "".join(filter(str.isalnum, number[-_READ:]))
    return MASK + kept[-_TAIL:] if len(kept) >= _LEAST_FOR_TAIL else MASK


def grid(degrees: float) -> float | None:
    """A coordinate to one decimal place, about 10 km; None when it is no coordinate."""
    if not math.isfinite(degrees) or abs(degrees) > 180:
        return None
    return round(degrees, 1) + 0.0  # adding zero turns -0.0, which would tell the side, into 0.0


def decade(years: int) -> int | None:
    """37 -> 30, 1987 -> 1980; None for what is neither an age nor a year."""
    return years - years % 10 if 0 <= years <= _LAST_YEAR else None


def magnitude(amount: str) -> str:
    """ "1234.56" -> "thousands": in words, so that no amount is ever read in them. Debt and credit look alike."""
    found = _DECIMAL.fullmatch(amount[:_READ].strip())
    if found is None:
        return MASK
    return MAGNITUDES[min(max(len(found[1]) - _UNTOLD_DIGITS, 0), len(MAGNITUDES) - 1)]


FORMS: Mapping[str, Callable[[Any], Any]] = {
    "DISTRICT": district,
    "INITIALS": initials,
    "TAIL": tail,
    "GRID": grid,
    "DECADE": decade,
    "MAGNITUDE": magnitude,
}
_INTEGERS = (
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
)
_FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)


def fits(form: str, field: FieldDescriptor) -> bool:
    """Whether the form can be applied to values of this field."""
    if form == KEEP:
        return field.message_type is None
    if form == "GRID":
        return field.type in _FLOATS
    if form == "DECADE":
        return field.type in _INTEGERS
    return form in FORMS and field.type == FieldDescriptor.TYPE_STRING


def nameable(field: FieldDescriptor) -> bool:
    """Whether a pseudonym can stand in the field."""
    return field.type == FieldDescriptor.TYPE_STRING
