"""From a leaf to a current root: the certification path, with bounded work (RFC 5280 section 6.1, the parts used here).

Guarantees: at most two intermediates are tried, in every order, each signature is checked at most once per candidate
issuer; each issuer may sign at its place in the path (`issuing`), and each signature is strong (`signatures`).
Does not: look at the time (the caller compares it on every call), or fetch issuers. (cryptography's own verifier is not
used: it follows the web's profile, which is not this one, and it hung on a pathological chain.)
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from broker.identify.issuing import may_sign
from broker.identify.roots import Anchor, RootSet
from broker.identify.signatures import signed_strongly


def find_path(
    leaf: x509.Certificate, presented: Sequence[x509.Certificate], roots: RootSet
) -> tuple[tuple[x509.Certificate, ...], Anchor] | None:
    """The issuers from the leaf upwards, and the root they end in; None when there is no such path.

    `presented` must already be capped by the caller: the work grows with its factorial.
    """
    return _extend((leaf,), tuple(presented), roots)


def _extend(
    path: tuple[x509.Certificate, ...], presented: tuple[x509.Certificate, ...], roots: RootSet
) -> tuple[tuple[x509.Certificate, ...], Anchor] | None:
    last = path[-1]
    below = len(path) - 1
    if not signed_strongly(last):
        return None
    for anchor in roots.by_subject.get(last.issuer.public_bytes(), ()):
        if may_sign(anchor.certificate, below) and _signed_by(last, anchor.certificate):
            return path[1:], anchor
    for index, candidate in enumerate(presented):
        if candidate.subject == last.issuer and may_sign(candidate, below) and _signed_by(last, candidate):
            found = _extend((*path, candidate), presented[:index] + presented[index + 1 :], roots)
            if found is not None:
                return found
    return None


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
