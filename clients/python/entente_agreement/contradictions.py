"""What in an agreement cannot hold together, or is a word that nobody knows. Found all at once, for whoever drafts it.

The words are policy's own: enums of the protos, the register of legal bases, the table of purposes. Nothing is listed
here a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from entente_agreement.document import REST, Document
from entente_agreement.errors import AgreementError

WITHHOLD = "WITHHOLD"
INTELLIGENCE_ONLY = "INTELLIGENCE_ONLY"


@dataclass(frozen=True, slots=True)
class Words:
    """What an agreement may say.

    Args:
        purposes: operational ones.
        court_purposes: those of them that end in court.
        classes: field classes that records have.
        owner_classes: those of them that never leave their originator.
        legal_bases: codes of the register.
        record_types, transforms, classifications, uses, onwards, assurances: as named.
    """

    purposes: frozenset[str]
    court_purposes: frozenset[str]
    classes: frozenset[str]
    owner_classes: frozenset[str]
    legal_bases: frozenset[str]
    record_types: frozenset[str]
    transforms: frozenset[str]
    classifications: frozenset[str]
    uses: frozenset[str]
    onwards: frozenset[str]
    assurances: frozenset[str]


def require_consistent(document: Document, words: Words) -> None:
    """Raises AgreementError at the first contradiction."""
    found = contradictions(document, words)
    if found:
        raise found[0]


def contradictions(document: Document, words: Words) -> list[AgreementError]:
    """All that is wrong; empty: nothing."""
    found = [
        *_unknown("purposes", document.purposes, words.purposes),
        *_unknown("record_types", document.record_types, words.record_types),
        *_unknown("classes", (name for name, _ in document.classes if name != REST), words.classes),
        *_unknown("classes", (transform for _, transform in document.classes), words.transforms),
        *_unknown("ceiling", (document.ceiling,), words.classifications),
        *_unknown("use", (document.use,), words.uses),
        *_unknown("onward", (document.onward,), words.onwards),
        *_unknown("assurances", document.assurances, words.assurances),
        *_unknown("legal_bases", document.legal_bases, words.legal_bases),
    ]
    for rule in _RULES:
        found += rule(document, words)
    return found


def _unknown(path: str, said: Iterable[str], known: frozenset[str]) -> list[AgreementError]:
    return [
        AgreementError(path, f"{one} is not known; known are {', '.join(sorted(known))}")
        for one in said
        if one not in known
    ]


def _court(document: Document, words: Words) -> list[AgreementError]:
    """What may only be intelligence is not asked for in order to go to court."""
    if document.use != INTELLIGENCE_ONLY:
        return []
    return [
        AgreementError(
            "purposes", f"{one} ends in court, and the agreement is for intelligence only; drop one of the two"
        )
        for one in document.purposes
        if one in words.court_purposes
    ]


def _owner(document: Document, words: Words) -> list[AgreementError]:
    return [
        AgreementError(f"classes.{name}", "it never leaves its originator; say WITHHOLD, or leave it out")
        for name, transform in document.classes
        if name in words.owner_classes and transform != WITHHOLD
    ]


def _nothing(document: Document, _: Words) -> list[AgreementError]:
    if all(transform == WITHHOLD for _, transform in document.classes):
        return [AgreementError("classes", "it withholds every class, so that it shares nothing; grant at least one")]
    return []


_RULES: tuple[Callable[[Document, Words], list[AgreementError]], ...] = (_court, _owner, _nothing)
