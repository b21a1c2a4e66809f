"""Who signed an agreement: what a signed document must be before anything in it is believed.

A document MUST, beyond its form (`entente_agreement`):

1. have one signature of each party, and no other: none missing, none twice, none of a stranger;
2. be signed by a certificate of the party's own, in its trust domain, that fits the certificate profile (`certificate`,
   rules 3 to 11 and 15) and leads to one of the *current* roots;
3. be signed within the life of that certificate and of each above it: `iat` is when, and is not ahead of this clock;
4. be signed with the algorithm of the certificate's key, whatever its header says, and over exactly the payload that
   was read: the two readers agree;
5. hold together, in words that policy knows (`entente_agreement.contradictions`);
6. at its conclusion, be signed by certificates that no authority above them has revoked; where that cannot be known,
   the answer is "unavailable";
7. at its conclusion, not be over already.

What the registry has revoked (certificates by thumbprint, agencies) is the registry's to ask, in the transaction that
concludes. Does not: care that a signing certificate has expired since; agencies renew theirs every few weeks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from broker.domain.agreement import ExaminedAgreement, SignedAgreement
from broker.domain.caller import Peer
from broker.domain.clock import Clock
from broker.domain.directory import Agreement
from broker.domain.errors import IdentityError, UnavailableError
from broker.identify.leaf import check_leaf, guarded
from broker.identify.path import NoPathError, Path, find_path
from broker.identify.revocation_list import SKEW_SECONDS, RevocationLists
from broker.identify.roots import TrustRoots
from broker.identify.signatures import twin_thumbprint
from entente_agreement import AgreementError, Document, Signature, SignedDocument, Words, require_consistent
from entente_agreement.jws import ALGORITHMS, algorithm_of

_JWS = jwt.PyJWS(algorithms=ALGORITHMS, options={"enforce_minimum_key_length": True})
_MICROSECONDS = 1_000_000


class AgreementExaminer:
    """Examines signed agreements against the rules above.

    Args:
        roots: the current roots.
        trust_domains: those that this broker accepts.
        words: what an agreement may say, as policy has it now.
        clock: the broker's clock.
        lists: the current revocation lists; None: rules 6 and 7 are not asked, for what came into force before.
    """

    def __init__(
        self,
        roots: TrustRoots,
        trust_domains: Iterable[str],
        words: Callable[[], Words],
        clock: Clock,
        lists: RevocationLists | None = None,
    ) -> None:
        self._roots = roots
        self._trust_domains = frozenset(trust_domains)
        self._words = words
        self._clock = clock
        self._lists = lists

    def examine(self, text: str) -> ExaminedAgreement:
        """What was signed, and by whom. Raises AgreementError (a ValueError), or UnavailableError (rule 6)."""
        signed = SignedDocument.parse(text)
        document = signed.document
        require_consistent(document, self._words())
        if self._lists is not None and document.valid_until <= self._now():
            raise AgreementError("valid_until", "it is over already; draft one that ends later")
        if not signed.signatures:
            raise AgreementError("signatures", "nobody has signed it; each party runs `entente agreement sign`")
        signers: dict[str, Peer] = {}
        for number, one in enumerate(signed.signatures):
            path = f"signatures[{number}]"
            signer = self._signer(one, signed.payload, path)
            name = str(signer.agency)
            if name not in document.parties:
                raise AgreementError(path, f"{name} is no party of this agreement")
            if name in signers:
                raise AgreementError(path, f"{name} has signed already; one signature of each party")
            signers[name] = signer
        missing = [party for party in document.parties if party not in signers]
        if missing:
            raise AgreementError("signatures", f"{', '.join(missing)} has not signed it; `entente agreement sign`")
        return ExaminedAgreement(SignedAgreement(agreement_of(document), text), tuple(signers.values()))

    def _signer(self, one: Signature, payload: str, path: str) -> Peer:
        leaf, above = _certificates(one, path)
        try:
            agency, workload = guarded(lambda: check_leaf(leaf, self._trust_domains))
            found = guarded(lambda: _path(leaf, above, self._roots))
        except IdentityError as refusal:
            # The profile's refusal speaks of a caller's certificate; what is wrong is in its detail.
            raise AgreementError(path, f"its certificate does not fit the profile ({refusal.detail})") from None
        if found is None:
            raise AgreementError(path, "its certificate does not lead to a root that this broker trusts today")
        if not found.anchor.may_name(agency.trust_domain):
            raise AgreementError(path, "its certificate's root may not speak for its trust domain")
        # Not before: a stranger's key may be of any size.
        _verify(leaf, one, payload, path)
        self._require_then(found, one.issued_at, path)
        if self._lists is not None:
            _require_unlisted(self._lists, found, self._now(), path)
        whole = found.whole
        return Peer(
            agency,
            workload,
            leaf.fingerprint(hashes.SHA256()),
            f"{leaf.serial_number:x}",
            not_after=min(int(each.not_valid_after_utc.timestamp()) for each in whole),
            authorities=tuple(each.fingerprint(hashes.SHA256()) for each in found.authorities),
            twins=tuple(filter(None, (twin_thumbprint(below, issuer) for below, issuer in pairwise(whole)))),
        )

    def _require_then(self, found: Path, issued_at: int, path: str) -> None:
        """Rule 3."""
        if issued_at > self._now() + SKEW_SECONDS:
            raise AgreementError(path, "it says that it was signed in the future; check the signer's clock")
        for each in found.whole:
            if not each.not_valid_before_utc.timestamp() <= issued_at <= each.not_valid_after_utc.timestamp():
                raise AgreementError(path, "its certificate, or one above it, did not count when it was signed")

    def _now(self) -> int:
        return self._clock.now_us() // _MICROSECONDS


def agreement_of(document: Document) -> Agreement:
    """A document in the domain's words."""
    return Agreement(
        agreement_id=document.agreement_id,
        parties=frozenset(document.parties),
        purposes=frozenset(document.purposes),
        ceiling=document.ceiling,
        valid_from_us=document.valid_from * _MICROSECONDS,
        valid_until_us=document.valid_until * _MICROSECONDS,
        record_types=frozenset(document.record_types),
        classes=document.classes,
        use=document.use,
        onward=document.onward,
        assurances=frozenset(document.assurances),
        legal_bases=frozenset(document.legal_bases),
    )


def _certificates(one: Signature, path: str) -> tuple[x509.Certificate, list[x509.Certificate]]:
    try:
        leaf, *above = (x509.load_der_x509_certificate(each) for each in one.chain)
    except Exception:
        # What the parser raises of hostile bytes shares no base.
        raise AgreementError(path, "a certificate in x5c cannot be read") from None
    return leaf, above


def _path(leaf: x509.Certificate, above: list[x509.Certificate], roots: TrustRoots) -> Path | None:
    try:
        return find_path(leaf, above, roots.current)
    except NoPathError:
        return None


def _verify(leaf: x509.Certificate, one: Signature, payload: str, path: str) -> None:
    """Rule 4."""
    try:
        key: Any = leaf.public_key()
        if algorithm_of(key) != one.algorithm:
            raise jwt.InvalidAlgorithmError
        verified = _JWS.decode(f"{one.protected}.{payload}.{one.value}", key, algorithms=[one.algorithm])
    except AgreementError:
        raise
    except Exception:
        # PyJWT's own, and what the parser says of an odd key.
        raise AgreementError(path, "the signature does not hold: the document is not what was signed") from None
    if verified != SignedDocument.content(payload):
        raise AgreementError(path, "the signature does not hold: two readers disagree on what was signed")


def _require_unlisted(lists: RevocationLists, found: Path, now: int, path: str) -> None:
    """Rule 6."""
    for below, authority in pairwise(found.whole):
        listed = lists.of(authority)
        if listed is None or not listed.this_update - SKEW_SECONDS <= now <= listed.until(lists.oldest_seconds):
            raise UnavailableError(
                "REVOCATIONS_UNAVAILABLE",
                "the broker has no current revocation list of an authority above a signer's certificate; tell its "
                "operators",
                detail=authority.subject.rfc4514_string()[:200],
            )
        if below.serial_number in listed.serials:
            raise AgreementError(path, "its certificate was revoked; have the party sign again with its new one")
