"""The form of an agreement that its parties sign: shared by the broker and the SDK, so that there is one.

    AgreementError (ValueError)     what is wrong, at which path of the document, and what to do
    Document                        an agreement; `canonical()` is what is signed (RFC 8785)
    Words, contradictions           what an agreement may say, and what in it cannot hold together
    SignedDocument                  a document and its signatures: JWS in JSON serialization (RFC 7515 section 7.2)

Does not: judge certificates. The broker does, against its roots (`broker.identify.agreement_signatures`).
"""

from __future__ import annotations

from entente_agreement.contradictions import Words, contradictions, require_consistent
from entente_agreement.document import Document
from entente_agreement.errors import AgreementError
from entente_agreement.jws import Signature, SignedDocument

__all__ = [
    "AgreementError",
    "Document",
    "Signature",
    "SignedDocument",
    "Words",
    "contradictions",
    "require_consistent",
]
