"""Whom the broker trusts to name agencies.

Guarantees: each change has a new generation, so that no verdict made under former roots is ever used again; a change is
whole or does not happen; a root may be confined to trust domains.
Does not: read files. Whoever holds these objects calls `replace` (`material`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509

from broker.identify.issuing import may_sign

MOST_ANCHORS = 64


@dataclass(frozen=True, slots=True)
class Anchor:
    """A root, and the trust domains that it may speak for; none named means all that the profile allows."""

    certificate: x509.Certificate
    trust_domains: frozenset[str] = frozenset()

    def may_name(self, trust_domain: str) -> bool:
        """A root of one country cannot name another country's agencies."""
        return not self.trust_domains or trust_domain in self.trust_domains


@dataclass(frozen=True, slots=True)
class RootSet:
    """The roots of one generation, by subject; those that last longest first."""

    generation: int
    by_subject: dict[bytes, tuple[Anchor, ...]]

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """All of them."""
        return tuple(anchor.certificate for anchors in self.by_subject.values() for anchor in anchors)


class TrustRoots:
    """The current roots. `current` is one consistent set; `replace` makes the next."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self._current = RootSet(0, {})
        self.replace(anchors)

    @classmethod
    def from_pem(cls, pem: bytes, trust_domains: Iterable[str] = ()) -> TrustRoots:
        """Roots from concatenated PEM. Raises ValueError where one of them is no certificate authority."""
        return cls(anchors_from_pem(pem, trust_domains))

    @property
    def current(self) -> RootSet:
        return self._current

    def replace(self, anchors: Iterable[Anchor]) -> None:
        """The next generation. Raises ValueError, and keeps the former one, when a root is unfit or there is none."""
        by_subject: dict[bytes, tuple[Anchor, ...]] = {}
        listed = list(anchors)
        if not 1 <= len(listed) <= MOST_ANCHORS:
            raise ValueError(f"a broker trusts between 1 and {MOST_ANCHORS} roots")
        # A renewed root bears the same name and key: trying the one that lasts longest makes the verdict's expiry
        # independent of the order in the file.
        for anchor in sorted(listed, key=lambda each: each.certificate.not_valid_after_utc, reverse=True):
            _require_authority(anchor.certificate)
            subject = anchor.certificate.subject.public_bytes()
            by_subject[subject] = (*by_subject.get(subject, ()), anchor)
        self._current = RootSet(self._current.generation + 1, by_subject)


def anchors_from_pem(pem: bytes, trust_domains: Iterable[str] = ()) -> list[Anchor]:
    """Each certificate of a PEM file as an anchor, confined to `trust_domains`. Raises ValueError."""
    confined = frozenset(trust_domains)
    return [Anchor(certificate, confined) for certificate in x509.load_pem_x509_certificates(pem)]


def _require_authority(certificate: x509.Certificate) -> None:
    if not may_sign(certificate, 0):
        name = certificate.subject.rfc4514_string()
        raise ValueError(f"{name} is not an authority that may sign: see broker/identify/issuing.py")
