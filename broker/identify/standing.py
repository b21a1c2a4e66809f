"""Whether a peer and a caller still stand: nobody revoked them, and the broker can know it.

MUSTs:
1. What is revoked is refused at the next look, at every call and every message of a stream.
2. Where nobody has confirmed for `OLDEST_SECONDS` that this is all that is revoked, everybody is refused: a feed that
   is lost must not keep a revoked caller alive.
Does not: read the registry. `broker.watch` does, and calls `replace` and `confirm`.
"""

from __future__ import annotations

from broker.domain.caller import Caller, Peer
from broker.domain.clock import Clock
from broker.domain.errors import IdentityError, UnavailableError
from broker.domain.standing import Revoked

OLDEST_SECONDS = 5.0


class Standing:
    """What is revoked now. One per worker; `current` is one consistent set."""

    def __init__(self, clock: Clock, revoked: Revoked | None = None) -> None:
        self._clock = clock
        self.current = revoked or Revoked()
        self._confirmed_us = clock.monotonic_us()

    def replace(self, revoked: Revoked) -> None:
        """Another revision, whole."""
        self.current = revoked
        self.confirm()

    def confirm(self) -> None:
        """The registry was asked just now, and this is still all of it."""
        self._confirmed_us = self._clock.monotonic_us()

    def require_peer(self, peer: Peer) -> None:
        """Raises UnavailableError (MUST 2), or IdentityError: CERTIFICATE_REVOKED, AGENCY_LOCKED."""
        if self._clock.monotonic_us() - self._confirmed_us > OLDEST_SECONDS * 1_000_000:
            raise UnavailableError(
                "REVOCATIONS_UNAVAILABLE",
                "the broker cannot learn what is revoked, so it serves nobody; try again later",
                detail=f"last confirmed {self._confirmed_us} us",
            )
        if peer.thumbprint in self.current.certificates:
            raise IdentityError(
                "CERTIFICATE_REVOKED",
                "This certificate has been revoked. Ask your agency's administrator for a new one.",
            )
        if str(peer.agency) in self.current.agencies:
            raise IdentityError(
                "AGENCY_LOCKED", "Your agency is locked on this network. Ask its registrars; two of them can lift it."
            )

    def require_caller(self, caller: Caller) -> None:
        """Raises IdentityError: USER_REVOKED, TOKEN_REVOKED, ISSUER_NOT_ALLOWED."""
        revoked = self.current
        if (caller.issuer, caller.token_id) in revoked.tokens:
            raise IdentityError("TOKEN_REVOKED", "This token was revoked. Ask your issuer for a new one.")
        if caller.issuer in revoked.issuers:
            raise IdentityError(
                "ISSUER_NOT_ALLOWED", "The token's issuer was revoked. Ask your agency's administrator."
            )
        if revoked.users:
            agency = str(caller.agency)
            if any((agency, person) in revoked.users for person in (caller.user, *caller.on_behalf_of)):
                raise IdentityError(
                    "USER_REVOKED",
                    "This user's rights on the network were revoked. Ask your agency's administrator.",
                )
