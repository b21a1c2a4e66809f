"""The development network's agreements: written here, and signed by all of their parties at once.

Between real agencies nobody holds all of the keys: each signs on a machine of its own (docs/agreements.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from certs.authority import Authority
from certs.files import PUBLIC_MODE, write_atomically
from entente_agreement import Document, SignedDocument
from entente_agreement.signing import Signer

# 2020-01-01 and 2040-01-01, UTC.
ALWAYS = (1_577_836_800, 2_208_988_800)


@dataclass(frozen=True, slots=True)
class Terms:
    """What differs between the development network's agreements."""

    agreement_id: str
    title: str
    parties: tuple[str, ...]
    purposes: tuple[str, ...]
    ceiling: str

    def document(self, valid: tuple[int, int] = ALWAYS) -> Document:
        """The whole agreement: reports, every class in full, as evidence, passed on with consent."""
        return Document(
            agreement_id=self.agreement_id,
            title=self.title,
            notes=("Invented, for the development network.",),
            parties=tuple(sorted(self.parties)),
            purposes=tuple(sorted(self.purposes)),
            record_types=("report",),
            classes=(("*", "FULL"),),
            ceiling=self.ceiling,
            use="EVIDENTIAL",
            onward="WITH_CONSENT",
            assurances=(),
            legal_bases=(),
            valid_from=valid[0],
            valid_until=valid[1],
        )


def signed_by_all(authority: Authority, document: Document) -> SignedDocument:
    """The document with a signature of each party, by the certificates that the authority holds for them."""
    signed = SignedDocument.unsigned(document)
    for party in document.parties:
        files = authority.agency(*party.split("/"))
        signed = Signer.load(files.certificate.read_bytes(), files.key.read_bytes()).sign(signed, int(time.time()))
    return signed


def write(folder: Path, authority: Authority, document: Document) -> Path:
    """Put a signed agreement into a folder, named after its id."""
    path = folder / f"{document.agreement_id}.json"
    write_atomically(path, signed_by_all(authority, document).text().encode(), PUBLIC_MODE)
    return path
