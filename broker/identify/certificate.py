"""The certificate profile: what a client certificate must be, beyond what TLS checks at the handshake.

Each rule is named by a test. A certificate MUST:

 1. be at most 8 KiB of PEM holding one certificate, its chain at most 16 KiB, and both be parsed only after that;
 2. come in a presented chain of at most 3 certificates, itself included;
 3. be X.509 version 3, with no critical extension that is not evaluated here (RFC 5280 section 4.2);
 4. hold exactly one URI SAN, `spiffe://<trust domain>/agency/<agency id>/<workload...>` (SPIFFE X509-SVID section 2);
 5. name a trust domain that this broker accepts, and that the root may speak for;
 6. list clientAuth among its extended key usages, by name (RFC 5280 section 4.2.1.12);
 7. not be a CA, and have a key usage with digitalSignature and without keyCertSign and cRLSign (X509-SVID section 4);
 8. live at most 90 days from not-before to not-after;
 9. have a P-256, Ed25519 or RSA key of 2048 to 8192 bits with an exponent of at least 65537;
10. be signed, like each certificate above it, with SHA-256 or longer, or Ed25519;
11. lead to one of the *current* roots: a changed set of roots ends old verdicts, whatever TLS once accepted;
12. be within its validity, and each certificate above it too, compared at every call, never cached;
13. not be revoked, nor any certificate above it.

A verdict is cached under exactly (leaf, chain, roots' generation, revocations' generation). Refusals are not cached.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.domain.caller import AgencyId, Peer
from broker.domain.clock import Clock
from broker.domain.errors import IdentityError
from broker.identify.cache import BoundedCache
from broker.identify.issuing import only_understood_extensions
from broker.identify.path import find_path
from broker.identify.roots import Anchor, Revocations, RootSet, TrustRoots
from broker.identify.signatures import fits_leaf_key

LARGEST_LEAF_PEM = 8 * 1024
LARGEST_CHAIN_PEM = 16 * 1024
LONGEST_CHAIN = 3
LONGEST_LIFE = timedelta(days=90)

_SPIFFE = re.compile(
    r"spiffe://(?P<domain>[a-z0-9][a-z0-9._-]{0,254})/agency/(?P<agency>[a-z0-9][a-z0-9._-]{0,62})"
    r"/(?P<workload>[A-Za-z0-9._-]{1,63}(?:/[A-Za-z0-9._-]{1,63}){0,7})",
    re.ASCII,
)
_PEM_HEADER = b"-----BEGIN"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What holds until the time window closes; both ends are in epoch seconds and inclusive (RFC 5280 4.1.2.5)."""

    peer: Peer
    not_before: int


class CertificateProfile:
    """Checks a presented chain against the rules above.

    Args:
        roots: the current roots; replaced in place on rotation.
        trust_domains: which trust domains may call this broker.
        clock: the broker's clock.
        revocations: the current revocations; replaced in place.
        cache_size: how many verdicts are remembered.
    """

    def __init__(
        self,
        roots: TrustRoots,
        trust_domains: Iterable[str],
        clock: Clock,
        *,
        revocations: Revocations | None = None,
        cache_size: int = 4096,
    ) -> None:
        self._roots = roots
        self._trust_domains = frozenset(trust_domains)
        self._clock = clock
        self._revocations = Revocations() if revocations is None else revocations
        self._verdicts: BoundedCache[tuple[bytes, bytes, int, int], _Verdict] = BoundedCache(cache_size)

    def check(self, leaf_pem: bytes, chain_pem: bytes = b"") -> Peer:
        """Who presents this leaf with this chain (concatenated PEM, without the leaf). Raises IdentityError."""
        roots, revocations = self._roots.current, self._revocations.current
        key = (_digest(leaf_pem), _digest(chain_pem), roots.generation, revocations.generation)
        verdict = self._verdicts.get(key)
        if verdict is None:
            leaf, presented = _parse(leaf_pem, chain_pem)
            path, anchor, verdict = self._evaluate(leaf, presented, roots)
            if any(revocations.contains(each) for each in (leaf, *path, anchor.certificate)):
                raise IdentityError(
                    "CERTIFICATE_REVOKED",
                    "This certificate has been revoked. Ask your agency's administrator for a new one.",
                    detail=f"rule 13: serial {leaf.serial_number:x}",
                )
            self._verdicts.put(key, verdict)
        self._require_current(verdict)
        return verdict.peer

    def _evaluate(
        self, leaf: x509.Certificate, presented: list[x509.Certificate], roots: RootSet
    ) -> tuple[tuple[x509.Certificate, ...], Anchor, _Verdict]:
        agency, workload = _guarded(lambda: self._check_leaf(leaf))
        found = _guarded(lambda: find_path(leaf, presented, roots))
        if found is None:
            raise _invalid("it does not lead to a root that this broker trusts today", rule="10, 11: no path")
        path, anchor = found
        if not anchor.may_name(agency.trust_domain):
            raise _invalid("its root may not speak for its trust domain", rule=f"5: {agency.trust_domain}")
        whole = (leaf, *path, anchor.certificate)
        not_after = min(_seconds(each.not_valid_after_utc) for each in whole)
        not_before = max(_seconds(each.not_valid_before_utc) for each in whole)
        peer = Peer(agency, workload, leaf.fingerprint(hashes.SHA256()), f"{leaf.serial_number:x}", not_after)
        return path, anchor, _Verdict(peer, not_before)

    def _check_leaf(self, leaf: x509.Certificate) -> tuple[AgencyId, str]:
        if leaf.version is not x509.Version.v3 or not only_understood_extensions(leaf):
            raise _invalid("it has a critical extension that is not understood", rule="3")
        agency, workload = _identity(leaf)
        if agency.trust_domain not in self._trust_domains:
            raise _invalid("this broker does not accept its trust domain", rule=f"5: {agency.trust_domain}")
        _check_usage(leaf)
        if not timedelta() <= leaf.not_valid_after_utc - leaf.not_valid_before_utc <= LONGEST_LIFE:
            raise _invalid(f"it must live at most {LONGEST_LIFE.days} days", rule="8")
        if not fits_leaf_key(leaf):
            raise _invalid("its key must be P-256, Ed25519, or RSA of at least 2048 bits with e >= 65537", rule="9")
        return agency, workload

    def _require_current(self, verdict: _Verdict) -> None:
        now = self._clock.now_us() // 1_000_000
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


def _parse(leaf_pem: bytes, chain_pem: bytes) -> tuple[x509.Certificate, list[x509.Certificate]]:
    if len(leaf_pem) > LARGEST_LEAF_PEM or len(chain_pem) > LARGEST_CHAIN_PEM:
        raise _invalid("it or its chain is too large", rule=f"1: {len(leaf_pem)} and {len(chain_pem)} bytes")
    if leaf_pem.count(_PEM_HEADER) != 1:
        raise _invalid("exactly one certificate is expected", rule="1")
    if 1 + chain_pem.count(_PEM_HEADER) > LONGEST_CHAIN:
        raise _invalid(f"its chain must have at most {LONGEST_CHAIN} certificates", rule="2")
    leaf = _guarded(lambda: x509.load_pem_x509_certificate(leaf_pem))
    presented = _guarded(lambda: x509.load_pem_x509_certificates(chain_pem)) if chain_pem else []
    return leaf, presented


def _identity(leaf: x509.Certificate) -> tuple[AgencyId, str]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise _invalid("it must hold exactly one URI name, its SPIFFE id", rule=f"4: {len(uris)} URIs")
    match = _SPIFFE.fullmatch(uris[0])
    if match is None or any(part in {".", ".."} for part in match["workload"].split("/")):
        raise _invalid("its URI must be spiffe://<trust domain>/agency/<agency id>/<workload>", rule="4: form")
    return AgencyId(match["domain"], match["agency"]), match["workload"]


def _check_usage(leaf: x509.Certificate) -> None:
    extensions = leaf.extensions
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value:
        raise _invalid("its extended key usage must include clientAuth", rule="6")
    if any(isinstance(each.value, x509.BasicConstraints) and each.value.ca for each in extensions):
        raise _invalid("a certificate authority cannot call", rule="7")
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise _invalid("its key usage must be digitalSignature, without keyCertSign and cRLSign", rule="7")


def _guarded(action: Callable[[], Result]) -> Result:
    """Whatever the parser says of hostile bytes is one refusal: its exceptions share no base, so all are caught."""
    try:
        return action()
    except IdentityError:
        raise
    except x509.ExtensionNotFound as error:
        raise _invalid("an extension that the profile requires is missing", rule=f"4, 6, 7: {error}") from error
    except Exception as error:
        raise _invalid("it could not be read", rule=f"1: {type(error).__name__}: {error}") from error


def _digest(content: bytes) -> bytes:
    # Hashes, not the bytes: a full cache of large chains would be 96 MiB.
    return hashlib.sha256(content).digest()


def _seconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())


def _invalid(what: str, *, rule: str) -> IdentityError:
    message = f"The client certificate is refused: {what}. See the certificate profile in the documentation."
    return IdentityError("CERTIFICATE_INVALID", message, detail=f"rule {rule}")
