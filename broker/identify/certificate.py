"""The certificate profile: what a client certificate must be, beyond what TLS checks at the handshake.

Each rule is named by a test. A certificate MUST:

 1. be at most 8 KiB of PEM holding one certificate, its chain at most 16 KiB, and both be parsed only after that;
 2. come in a presented chain of at most 3 certificates, itself included;
 3. be X.509 version 3, with no critical extension that is not evaluated here (RFC 5280 section 4.2), and a serial
    that a list can name, positive and of at most 20 bytes, as has each certificate between it and the root;
 4. hold exactly one URI SAN, `spiffe://<trust domain>/agency/<agency id>/<workload...>` (SPIFFE X509-SVID section 2);
 5. name a trust domain that this broker accepts, and that the root may speak for;
 6. list clientAuth among its extended key usages, by name (RFC 5280 section 4.2.1.12);
 7. not be a CA, and have a key usage with digitalSignature and without keyCertSign and cRLSign (X509-SVID section 4);
 8. live at most 90 days from not-before to not-after;
 9. have a P-256, Ed25519 or RSA key of 2048 to 8192 bits with an exponent of at least 65537, a curve being named and
    its point whole, never spelled out;
10. be signed, like each certificate above it, with SHA-256 or longer, or Ed25519;
11. lead to one of the *current* roots: a changed set of roots ends old verdicts, whatever TLS once accepted;
12. be within its validity, and each certificate above it too, compared at every call, never cached;
13. not be on the revocation list of the authority that signed it, nor any authority above it on that of its own;
14. have a current revocation list (`revocation_list`) for each authority above it, the root included, compared at every
    call: where one is missing, unsigned or too old, nobody can know, and the answer is "unavailable";
15. keep within the name constraints of each authority above it, the root included (`constraints`);
16. cost bounded work: at most 32 extensions, 32 names and 32 signature checks on the way to a root.

A verdict is cached under exactly (leaf, chain, generations of roots and of lists). Refusals are not cached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from broker.domain.caller import Peer
from broker.domain.clock import Clock
from broker.domain.errors import IdentityError, UnavailableError
from broker.identify.cache import BoundedCache
from broker.identify.leaf import check_leaf, guarded, invalid
from broker.identify.path import LONGEST_CHAIN, NoPathError, Path, find_path
from broker.identify.revocation_list import SKEW_SECONDS, RevocationLists
from broker.identify.roots import RootSet, TrustRoots
from broker.identify.signatures import twin_thumbprint

LARGEST_LEAF_PEM = 8 * 1024
LARGEST_CHAIN_PEM = 16 * 1024

_PEM_HEADER = b"-----BEGIN"


@dataclass(frozen=True, slots=True)
class _Listed:
    """When an authority's list counts; epoch seconds, both inclusive."""

    until: int
    since: int
    authority: str


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What holds until a time window closes; ends are in epoch seconds and inclusive (RFC 5280 4.1.2.5)."""

    peer: Peer
    not_before: int
    lists: tuple[_Listed, ...]


class CertificateProfile:
    """Checks a presented chain against the rules above.

    Args:
        roots: the current roots; replaced in place on rotation.
        lists: the current revocation lists; replaced in place.
        trust_domains: which trust domains may call this broker.
        clock: the broker's clock.
        cache_size: how many verdicts are remembered.
        noticed: told of each peer that gets a verdict, once for each.
    """

    def __init__(
        self,
        roots: TrustRoots,
        lists: RevocationLists,
        trust_domains: Iterable[str],
        clock: Clock,
        *,
        cache_size: int = 4096,
        noticed: Callable[[Peer], None] = lambda _: None,
    ) -> None:
        self._noticed = noticed
        self._roots = roots
        self._lists = lists
        self._trust_domains = frozenset(trust_domains)
        self._clock = clock
        self._verdicts: BoundedCache[tuple[bytes, bytes, int, int], _Verdict] = BoundedCache(cache_size)

    def check(self, leaf_pem: bytes, chain_pem: bytes = b"") -> Peer:
        """Who presents this leaf with this chain (concatenated PEM, without the leaf).

        Raises IdentityError, or UnavailableError where it cannot be known what an authority has revoked (rule 14).
        """
        roots = self._roots.current
        key = (_digest(leaf_pem), _digest(chain_pem), roots.generation, self._lists.current.generation)
        verdict = self._verdicts.get(key)
        if verdict is None:
            leaf, presented = _parse(leaf_pem, chain_pem)
            verdict = self._evaluate(leaf, presented, roots)
            self._verdicts.put(key, verdict)
            self._noticed(verdict.peer)
        now = self._clock.now_us() // 1_000_000
        _require_current(verdict, now)
        _require_lists(verdict, now)
        return verdict.peer

    def _evaluate(self, leaf: x509.Certificate, presented: list[x509.Certificate], roots: RootSet) -> _Verdict:
        agency, workload = guarded(lambda: check_leaf(leaf, self._trust_domains))
        path = guarded(lambda: _path(leaf, presented, roots))
        if not path.anchor.may_name(agency.trust_domain):
            raise invalid("its root may not speak for its trust domain", rule=f"5: {agency.trust_domain}")
        lists = tuple(self._listed(authority, below) for below, authority in pairwise(path.whole))
        peer = Peer(
            agency,
            workload,
            leaf.fingerprint(hashes.SHA256()),
            f"{leaf.serial_number:x}",
            not_after=min(_seconds(each.not_valid_after_utc) for each in path.whole),
            authorities=tuple(each.fingerprint(hashes.SHA256()) for each in path.authorities),
            twins=tuple(filter(None, (twin_thumbprint(below, above) for below, above in pairwise(path.whole)))),
        )
        return _Verdict(peer, max(_seconds(each.not_valid_before_utc) for each in path.whole), lists)

    def _listed(self, authority: x509.Certificate, below: x509.Certificate) -> _Listed:
        """Rules 13 and 14 for one step of the path; whether the list is current is compared at every call."""
        name = authority.subject.rfc4514_string()[:200]
        found = self._lists.of(authority)
        if found is None:
            raise _unknowable(f"rule 14: no list that {name} has signed")
        if below.serial_number in found.serials:
            raise IdentityError(
                "CERTIFICATE_REVOKED",
                "This certificate, or an authority above it, has been revoked. Ask your agency's administrator for a "
                "new one.",
                detail=f"rule 13: serial {below.serial_number:x} of {name}",
            )
        return _Listed(found.until(self._lists.oldest_seconds), found.this_update - SKEW_SECONDS, name)


def _path(leaf: x509.Certificate, presented: list[x509.Certificate], roots: RootSet) -> Path:
    try:
        return find_path(leaf, presented, roots)
    except NoPathError as error:
        raise invalid("it does not lead to a root that this broker trusts today", rule=str(error)) from None


def _require_current(verdict: _Verdict, now: int) -> None:
    if now < verdict.not_before:
        raise IdentityError(
            "CERTIFICATE_EXPIRED",
            "This certificate is not valid yet. Check the clock of the machine that made it.",
            detail=f"rule 12: not before {verdict.not_before}, now {now}",
        )
    if now > verdict.peer.not_after:
        raise IdentityError(
            "CERTIFICATE_EXPIRED",
            "This certificate, or one above it, has expired. Renew it.",
            detail=f"rule 12: not after {verdict.peer.not_after}, now {now}",
        )


def _require_lists(verdict: _Verdict, now: int) -> None:
    for listed in verdict.lists:
        if not listed.since <= now <= listed.until:
            raise _unknowable(f"rule 14: the list of {listed.authority} counts {listed.since} to {listed.until}")


def _unknowable(detail: str) -> UnavailableError:
    return UnavailableError(
        "REVOCATIONS_UNAVAILABLE",
        "the broker has no current revocation list of an authority above this certificate; tell its operators",
        detail=detail,
    )


def _parse(leaf_pem: bytes, chain_pem: bytes) -> tuple[x509.Certificate, list[x509.Certificate]]:
    if len(leaf_pem) > LARGEST_LEAF_PEM or len(chain_pem) > LARGEST_CHAIN_PEM:
        raise invalid("it or its chain is too large", rule=f"1: {len(leaf_pem)} and {len(chain_pem)} bytes")
    if leaf_pem.count(_PEM_HEADER) != 1:
        raise invalid("exactly one certificate is expected", rule="1")
    if 1 + chain_pem.count(_PEM_HEADER) > LONGEST_CHAIN:
        raise invalid(f"its chain must have at most {LONGEST_CHAIN} certificates", rule="2")
    leaf = guarded(lambda: x509.load_pem_x509_certificate(leaf_pem))
    presented = guarded(lambda: x509.load_pem_x509_certificates(chain_pem)) if chain_pem else []
    return leaf, presented


def _digest(content: bytes) -> bytes:
    # Hashes, not the bytes: a full cache of large chains would be 96 MiB.
    return hashlib.sha256(content).digest()


def _seconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())
