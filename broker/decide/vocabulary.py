"""The words in which policy is asked: enums of the protos and roles of the policy data, nothing else.

Whatever a token or the directory says beyond them is left out of the question: a word that policy does not know
grants nothing, and free text never reaches an engine.
"""

from __future__ import annotations

import re
from typing import Any

from broker.domain.marks import CLASSIFICATIONS
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import agreement_pb2, directory_pb2

UNSPECIFIED = "UNSPECIFIED"


def names(enum: Any) -> tuple[str, ...]:
    """An enum's values without prefix, in order, the first (UNSPECIFIED) left out."""
    prefix = enum.keys()[0].removesuffix(UNSPECIFIED)
    return tuple(name.removeprefix(prefix) for name in enum.keys()[1:])


PURPOSES = frozenset(names(exchange_pb2.Purpose))
LEVELS = frozenset(names(directory_pb2.AgencyLevel))
CLEARANCES = frozenset(CLASSIFICATIONS)
USE_LIMITS = frozenset(names(exchange_pb2.UseLimit))
CLASS_TRANSFORMS = names(agreement_pb2.ClassTransform)

FIELD_CLASSES = names(access_pb2.FieldClass)
"""All classes, in the order of the proto."""

UNDECIDED_CLASSES = ("ENVELOPE", "DIRECTORY", "AUDIT")
"""Classes that no grant answers for: the frame of an answer, and its unmarked parts."""

DECIDED_CLASSES = tuple(name for name in FIELD_CLASSES if name not in UNDECIDED_CLASSES)

_COUNTRY = re.compile("[A-Z]{2}", re.ASCII)


def known(value: str, words: frozenset[str]) -> str:
    """The value if it is one of the words, else UNSPECIFIED."""
    return value if value in words else UNSPECIFIED


def country(value: str) -> str:
    """An ISO 3166-1 alpha-2 code, else UNSPECIFIED."""
    return value if _COUNTRY.fullmatch(value) else UNSPECIFIED
