"""From a leaf to a current root: the certification path, with bounded work (RFC 5280 section 6.1, the parts used here).

Guarantees: at most `LONGEST_CHAIN` certificates below the root, at most `MOST_SIGNATURES` signature checks whatever is
presented; each issuer may sign at its place in the path (`issuing`), each signature is strong (`signatures`), and the
names below every authority, the root included, are ones that it may give (`constraints`).
Does not: look at the time or at revocations (the caller compares them on every call), or fetch issuers. (cryptography's
own verifier is not used: it follows the web's profile, which is not this one, and it hung on a pathological chain.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from broker.identify.constraints import broken_constraint
from broker.identify.issuing import has_fit_serial, may_sign
from broker.identify.roots import Anchor, RootSet
from broker.identify.signatures import signed_strongly

LONGEST_CHAIN = 3
# An honest path needs three. With the largest keys that are allowed, so many take a tenth of a second.
MOST_SIGNATURES = 32


class NoPathError(Exception):
    """No path leads to a current root. The message is the rule of the certificate profile, and the nearest miss."""


@dataclass(frozen=True, slots=True)
class Path:
    """`certificates` from the leaf to the last intermediate, and the root above them."""

    certificates: tuple[x509.Certificate, ...]
    anchor: Anchor

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """Everything above the leaf, nearest first, the root last."""
        return (*self.certificates[1:], self.anchor.certificate)

    @property
    def whole(self) -> tuple[x509.Certificate, ...]:
        """Everything, the leaf first, the root last."""
        return (*self.certificates, self.anchor.certificate)


def find_path(leaf: x509.Certificate, presented: Sequence[x509.Certificate], roots: RootSet) -> Path:
    """The path from this leaf to one of these roots, by way of what was presented. Raises NoPathError.

    A certificate that cannot be read raises what the parser raises.
    """
    search = _Search(roots)
    # A renewed intermediate bears the same name and key: the one that lasts longest is tried first.
    found = search.extend((leaf,), sorted(presented, key=lambda one: one.not_valid_after_utc, reverse=True))
    if found is None:
        raise NoPathError(search.miss)
    return found


class _Search:
    def __init__(self, roots: RootSet) -> None:
        self._roots = roots
        self._signatures_left = MOST_SIGNATURES
        self.miss = "10, 11: no path"

    def extend(self, path: tuple[x509.Certificate, ...], presented: list[x509.Certificate]) -> Path | None:
        last, below = path[-1], len(path) - 1
        if not signed_strongly(last) or not has_fit_serial(last):
            return None
        for anchor in self._roots.by_subject.get(last.issuer.public_bytes(), ()):
            if may_sign(anchor.certificate, below) and self._signed_by(last, anchor.certificate):
                found = Path(path, anchor)
                if self._keeps_constraints(found.whole):
                    return found
        if len(path) == LONGEST_CHAIN:
            return None
        for index, candidate in enumerate(presented):
            if candidate.subject == last.issuer and may_sign(candidate, below) and self._signed_by(last, candidate):
                found_above = self.extend((*path, candidate), presented[:index] + presented[index + 1 :])
                if found_above is not None:
                    return found_above
        return None

    def _keeps_constraints(self, whole: tuple[x509.Certificate, ...]) -> bool:
        try:
            broken = broken_constraint(whole)
        except Exception as error:
            # What the parser raises of odd extensions shares no base; a path with one of them is none.
            broken = f"{type(error).__name__}: {error}"[:200]
        if broken is not None:
            self.miss = f"15: {broken}"
        return broken is None

    def _signed_by(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        if self._signatures_left == 0:
            raise NoPathError(f"16: more than {MOST_SIGNATURES} signatures")
        self._signatures_left -= 1
        try:
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            return False
        return True
