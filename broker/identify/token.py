"""The bearer token: signed by the agency's own issuer, for this broker, for this certificate, for five minutes at most.

A token MUST, beyond its form (`compact`) and its claims (`claims`):

 1. come from an issuer that is registered for exactly the certificate's agency;
 2. be signed by a key of that issuer that `kid` names, with the algorithm of the key: the header's must merely agree;
 3. be for this broker's audience;
 4. be bound to the certificate that presents it: `cnf.x5t#S256` is its thumbprint (RFC 8705 section 3.1);
 5. live at most 300 seconds from `iat` and from `nbf`;
 6. have been issued and be valid now: `iat` and `nbf` at most 5 seconds ahead of this clock, `exp` after it, without
    leeway: an expired token is expired. (Whether it was revoked by its `jti` is `standing`'s to say.)
 7. have an issuer whose keys were read lately enough to count, and still be signed by one of them. Whether they were is
    the broker's affair, not the caller's: ISSUER_UNAVAILABLE.

A token is reusable within its life, because a gRPC retry sends it again. What held is cached under exactly (token's
SHA-256, peer, issuers' generation); rules 6 and 7 are tested every time, and at every message of a stream. What failed
is never cached; failures are limited for each certificate, so that nobody makes the broker verify signatures for
nothing. The limit answers LIMIT_EXCEEDED.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import jwt

from broker.domain.caller import AgencyId, Caller, Peer
from broker.domain.clock import Clock
from broker.domain.errors import IdentityError, UnavailableError
from broker.identify.cache import BoundedCache
from broker.identify.claims import Claims, read_claims
from broker.identify.compact import CompactToken, read_token
from broker.identify.failures import FailureLimit
from broker.identify.issuers import Issuer, Issuers, IssuerSet
from broker.identify.jwk import IssuerKey

LONGEST_LIFE_SECONDS = 300
CLOCK_SKEW_SECONDS = 5

_ALGORITHMS = ("ES256", "EdDSA", "RS256", "PS256")
_JWS = jwt.PyJWS(algorithms=_ALGORITHMS, options={"enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True)
class _Accepted:
    caller: Caller
    valid_from: int


class TokenVerifier:
    """Checks a token against the certificate that presents it.

    Args:
        issuers: the issuers in force; reloaded in place.
        audience: this broker's name in `aud`.
        clock: the broker's clock.
        limit: how many failures a certificate may cause.
        cache_size: how many accepted tokens are remembered.
    """

    def __init__(
        self,
        issuers: Issuers,
        audience: str,
        clock: Clock,
        *,
        limit: FailureLimit | None = None,
        cache_size: int = 8192,
    ) -> None:
        self._issuers = issuers
        self._audience = audience
        self._clock = clock
        self._limit = FailureLimit(clock) if limit is None else limit
        self._accepted: BoundedCache[tuple[bytes, Peer, int], _Accepted] = BoundedCache(cache_size)

    def check(self, token: str, peer: Peer) -> Caller:
        """The person whom the token names.

        Raises IdentityError, LimitError after too many failures, or UnavailableError (rule 7).
        """
        issuers = self._issuers.current
        # Its hash, not itself: 8,192 tokens of 8 KiB would be 64 MiB of memory that a caller fills at will.
        key = (hashlib.sha256(token.encode(errors="surrogatepass")).digest(), peer, issuers.generation)
        accepted = self._accepted.get(key)
        if accepted is None:
            self._limit.require_room(peer.thumbprint)
            try:
                accepted = self._verify(token, peer, issuers)
                self._require_current(accepted)
            except IdentityError:
                self._limit.record(peer.thumbprint)
                raise
            self._accepted.put(key, accepted)
        else:
            self._require_current(accepted)
        return accepted.caller

    def require_still_valid(self, caller: Caller) -> None:
        """Expiry and the issuer's keys, for a caller that `check` returned earlier.

        Raises IdentityError, or UnavailableError (rule 7).
        """
        issuer = _issuer(self._issuers.current, caller.issuer, caller.agency)
        if caller.issuer_key not in issuer.fingerprints:
            raise _invalid("its issuer has withdrawn the key that signed it")
        now = self._clock.now_us() // 1_000_000
        if now >= caller.expires_at:
            message = "The token has expired. Ask your issuer for a new one."
            raise IdentityError("TOKEN_EXPIRED", message, detail=f"expired at {caller.expires_at}, now {now}")

    def _verify(self, token: str, peer: Peer, issuers: IssuerSet) -> _Accepted:
        compact = read_token(token)
        try:
            claims = read_claims(compact.claims)
        except ValueError as error:
            raise _invalid(f"a claim is wrong: {error}") from error
        key = _signing_key(compact, claims, peer, issuers)
        verify_signature(token, compact.payload, key)
        # Only now is anything that the token says believed, so refusals about its content come after the signature.
        if claims.audience != self._audience:
            raise _invalid("its audience is not this broker", detail=f"aud {claims.audience}")
        if not hmac.compare_digest(claims.thumbprint, peer.thumbprint):
            raise IdentityError(
                "TOKEN_NOT_BOUND",
                "The token is bound to another certificate. Ask your issuer for one for the certificate in use.",
                detail=f"cnf {claims.thumbprint.hex()}",
            )
        _check_life(claims)
        return _Accepted(_caller(claims, peer, key), max(claims.issued_at, claims.not_before))

    def _require_current(self, accepted: _Accepted) -> None:
        now = self._clock.now_us() // 1_000_000
        if now + CLOCK_SKEW_SECONDS < accepted.valid_from:
            message = "The token is not valid yet. Check the clocks of your issuer and of this machine."
            raise IdentityError("TOKEN_EXPIRED", message, detail=f"valid from {accepted.valid_from}, now {now}")
        self.require_still_valid(accepted.caller)


def _issuer(issuers: IssuerSet, url: str, agency: AgencyId) -> Issuer:
    issuer = issuers.by_url.get(url)
    # One answer for an unknown issuer and another agency's: nobody learns which issuers are registered.
    if issuer is None or issuer.agency != agency:
        raise IdentityError(
            "ISSUER_NOT_ALLOWED",
            "The token's issuer may not speak for this certificate's agency. Use your own agency's issuer.",
            detail=f"iss {url} for {agency}",
        )
    if not issuer.available:
        raise UnavailableError(
            "ISSUER_UNAVAILABLE",
            "the keys of your agency's issuer cannot be read, and those known are too old; see that it is up, and wait",
            detail=f"iss {url}",
        )
    return issuer


def _signing_key(compact: CompactToken, claims: Claims, peer: Peer, issuers: IssuerSet) -> IssuerKey:
    issuer = _issuer(issuers, claims.issuer, peer.agency)
    key = issuer.keys.get(compact.key_id)
    if key is None:
        raise _invalid("its signature does not hold", detail=f"unknown kid {compact.key_id}")
    if compact.algorithm != key.algorithm:
        raise _invalid("its signature does not hold", detail=f"alg {compact.algorithm}, key is {key.algorithm}")
    return key


def verify_signature(token: str, payload: bytes, key: IssuerKey) -> None:
    """Whether the key signed exactly this payload, with its own algorithm. Raises IdentityError."""
    try:
        signed = _JWS.decode(token, key.public_key, algorithms=[key.algorithm])
    except jwt.PyJWTError as error:
        raise _invalid("its signature does not hold", detail=type(error).__name__) from error
    # What was signed must be what the strict reader read.
    if signed != payload:
        raise _invalid("its signature does not hold", detail="two readers disagree on the payload")


def _check_life(claims: Claims) -> None:
    started = min(claims.issued_at, claims.not_before)
    if claims.expires_at - started > LONGEST_LIFE_SECONDS:
        raise _invalid(f"it lives longer than {LONGEST_LIFE_SECONDS} seconds", detail=f"exp {claims.expires_at}")
    if claims.expires_at <= max(claims.issued_at, claims.not_before):
        raise _invalid("it expires before it begins", detail=f"exp {claims.expires_at}")


def _caller(claims: Claims, peer: Peer, key: IssuerKey) -> Caller:
    return Caller(
        agency=peer.agency,
        workload=peer.workload,
        thumbprint=peer.thumbprint,
        serial=peer.serial,
        user=claims.user,
        roles=claims.roles,
        clearance=claims.clearance,
        nationalities=claims.nationalities,
        purposes=claims.purposes,
        issuer=claims.issuer,
        token_id=claims.token_id,
        expires_at=min(claims.expires_at, peer.not_after + 1),
        on_behalf_of=claims.on_behalf_of,
        certificate_expires_at=peer.not_after,
        issuer_key=key.fingerprint,
        client=claims.client,
    )


def _invalid(what: str, *, detail: str = "") -> IdentityError:
    return IdentityError(
        "TOKEN_INVALID", f"The bearer token is refused: {what}. Ask your issuer for a new one.", detail=detail
    )
