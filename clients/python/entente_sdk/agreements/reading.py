"""A document in lines that a lawyer reads."""

from __future__ import annotations

from entente_agreement import AgreementError, Document, SignedDocument
from entente_agreement.document import REST, time_text
from entente_agreement.signing import missing, verified_by
from entente_sdk.agreements.words import legal_bases


def agreement_id(text: str) -> str:
    """Of a signed document; a question mark where it cannot be read."""
    try:
        return SignedDocument.parse(text).document.agreement_id
    except AgreementError:
        return "?"


def lines(document: Document) -> list[tuple[str, str]]:
    """(what, how) of all that it says."""
    classes = [f"{'all others' if name == REST else name}: {_lower(how)}" for name, how in document.classes]
    register = legal_bases()
    bases = [f"{code}: {register[code]['text']}" if code in register else code for code in document.legal_bases]
    return [
        ("agreement", document.agreement_id),
        ("title", document.title),
        ("parties", "\n".join(document.parties)),
        ("in force", f"{time_text(document.valid_from)} to {time_text(document.valid_until)}"),
        ("purposes", ", ".join(map(_lower, document.purposes))),
        ("records", ", ".join(document.record_types)),
        ("up to", document.ceiling),
        ("classes of fields", "\n".join(classes)),
        ("use", _lower(document.use)),
        ("passing on", _lower(document.onward)),
        ("assurances", ", ".join(map(_lower, document.assurances)) or "none"),
        ("legal bases", "\n".join(bases) or "any, or none"),
        *(("note", note) for note in document.notes),
    ]


def signatures(signed: SignedDocument, roots_pem: bytes = b"") -> list[tuple[str, str]]:
    """(party, whether it has signed). Raises AgreementError where a signature does not hold."""
    there = verified_by(signed, roots_pem)
    when = {agency: one.issued_at for agency, one in zip(there, signed.signatures, strict=True)}
    absent = missing(signed)
    return [
        (party, "has not signed" if party in absent else f"signed {time_text(when[party])}")
        for party in signed.document.parties
    ]


def _lower(word: str) -> str:
    return word.lower().replace("_", " ")
