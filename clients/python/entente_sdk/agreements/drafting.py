"""An agreement from what people write: a YAML file with comments, the same members as the document that is signed.

Guarantees: nothing is filled in that the file does not say, but the time of day of a bare date (midnight, UTC) and the
order of lists, which means nothing. A member that comes twice is refused: which one counts would be anybody's guess.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from entente_agreement import AgreementError, Document, SignedDocument
from entente_agreement.document import VERSION
from entente_agreement.jws import LARGEST_SIGNED
from entente_sdk.agreements.words import known_words, legal_bases, purposes
from entente_sdk.errors import ConfigurationError

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SORTED = ("parties", "purposes", "record_types", "assurances", "legal_bases")


class _Strings(yaml.BaseLoader):
    """Every scalar is a text; a member that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        if len(found) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a member comes twice", node.start_mark)
        return found


def read(path: Path) -> SignedDocument:
    """A draft (YAML), or a document with the signatures that it has so far (JSON).

    Raises ConfigurationError that says what is wrong, and where.
    """
    try:
        if path.stat().st_size > LARGEST_SIGNED:
            raise invalid(path, AgreementError("", f"it is larger than {LARGEST_SIGNED} bytes"))
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", reason="USAGE") from error
    except UnicodeDecodeError as error:
        raise invalid(path, AgreementError("", f"it is no text in UTF-8: {error.reason}")) from error
    try:
        return SignedDocument.parse(text) if text.lstrip().startswith("{") else SignedDocument.unsigned(draft(text))
    except AgreementError as error:
        raise invalid(path, error) from None


def draft(text: str) -> Document:
    """A document from YAML. Raises AgreementError."""
    try:
        found = yaml.load(text, _Strings)  # noqa: S506 - it builds texts, lists and mappings, nothing else
    except (yaml.YAMLError, RecursionError) as error:
        raise AgreementError("", f"it is not well-formed YAML: {error}") from None
    if not isinstance(found, Mapping):
        raise AgreementError("", "it must say `agreement_id: ...`, `parties: ...` and so on")
    members: dict[str, object] = {"version": VERSION, **found}
    for name in _SORTED:
        if isinstance(members.get(name), list):
            members[name] = sorted(members[name], key=str)  # type: ignore[call-overload]
    for name in ("valid_from", "valid_until"):
        value = members.get(name)
        if isinstance(value, str) and _DATE.fullmatch(value):
            members[name] = f"{value}T00:00:00Z"
    return Document.from_members(members)


def invalid(path: Path, error: AgreementError) -> ConfigurationError:
    """What is wrong with a file."""
    return ConfigurationError(f"{path}: {error}", reason="AGREEMENT_INVALID")


def template(agreement_id: str, parties: list[str]) -> str:
    """A draft to be filled in, with what may be said in its comments."""
    words = replace(known_words(), owner_classes=frozenset())
    lines = "\n".join(f"  - {party}" for party in parties or ["police.example/one", "police.example/other"])
    return f"""\
# An agreement between agencies. Fill it in, look at it with `entente agreement check`, then each party
# signs it with `entente agreement sign`. Everything is said in so many words; an empty list is [].

# Never used twice on a network; small letters, digits, hyphens.
agreement_id: {agreement_id}
title: What it is called, on one line
# Paragraphs for people; no rule reads them.
notes:
  - Who negotiated it, on what it is based, where the signed paper lies.

# Two or more, as `entente agency list` names them.
parties:
{lines}

# In force from the first second of the one day to the first second of the other (UTC).
valid_from: 2027-01-01
valid_until: 2029-01-01

# What may be asked for under it.
{_commented(purposes() or dict.fromkeys(sorted(words.purposes)))}
purposes: [INTELLIGENCE_DEVELOPMENT, THREAT_TO_LIFE]

# Types of records: {_listed(words.record_types)}.
record_types: [report]

# The highest classification that it covers: {_listed(words.classifications)}.
ceiling: SECRET

# How each class of fields may be released at most: {_listed(words.transforms)}.
# `*` is every class that is not named. Classes:{_listed(words.classes, wrap=True)}
classes:
  "*": FULL

# {_listed(words.uses)}. What is for intelligence only is never asked for in order to go to court.
use: EVIDENTIAL

# Whether it may be passed on: {_listed(words.onwards)}.
onward: WITH_CONSENT

# What the parties assure each other:{_listed(words.assurances, wrap=True)}
assurances: []

# A request under it must state one of these; none: any, or none, will do.
{_commented(legal_bases())}
legal_bases: []
"""


def _listed(words: frozenset[str], *, wrap: bool = False) -> str:
    ordered = sorted(words)
    if not wrap:
        return ", ".join(ordered)
    rows = [", ".join(ordered[at : at + 5]) for at in range(0, len(ordered), 5)]
    return "\n#   " + ",\n#   ".join(rows)


def _commented(table: Mapping[str, Any]) -> str:
    return "\n".join(f"#   {name}{': ' + said['text'] if said else ''}" for name, said in table.items())
