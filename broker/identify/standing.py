"""Whether a peer and a caller still stand: nobody revoked them, and the broker can know it.

MUSTs:
1. What is revoked, however its signature is spelled, is refused at every call and every message of a stream; before
   anything is handed over, the registry is asked once more (`glance`), so that nothing is after a revocation was
   committed.
2. Where nobody has confirmed for `OLDEST_SECONDS` that this is all that is revoked, everybody is refused: a feed that
   is lost must not keep a revoked caller alive.
Does not: read the registry. `broker.watch` does, and calls `replace` and `confirm`.
"""

from __future__ import annotations

from typing import Protocol

from broker.domain.caller import Caller, Peer
from broker.domain.clock import Clock
from broker.domain.errors import IdentityError, UnavailableError
from broker.domain.standing import Revoked

OLDEST_SECONDS = 5.0


class Registry(Protocol):
    """Who can be asked at once. Neither raises: a registry that does not answer confirms nothing."""

    def glance(self) -> None:
        """Take in what was committed since the last time, if anything was."""

    def look_now(self) -> None:
        """The same, and confirm that this is all."""


class Standing:
    """What is revoked now. One per worker; `current` is one consistent set."""

    def __init__(self, clock: Clock, revoked: Revoked | None = None) -> None:
        self._clock = clock
        self.current = revoked or Revoked()
        self._confirmed_us = clock.monotonic_us()
        self._registry: Registry | None = None

    def follow(self, registry: Registry) -> None:
        """From now on, ask this one."""
        self._registry = registry

    def glance(self) -> None:
        """Ask for news now, before something is handed over."""
        if self._registry is not None:
            self._registry.glance()

    def replace(self, revoked: Revoked) -> None:
        """Another revision, whole. It confirms nothing."""
        self.current = revoked

    def confirm(self) -> None:
        """The registry was asked just now, and this is still all of it."""
        self._confirmed_us = self._clock.monotonic_us()

    @property
    def is_current(self) -> bool:
        """Whether it was confirmed lately enough to be relied on (MUST 2)."""
        return self._clock.monotonic_us() - self._confirmed_us <= OLDEST_SECONDS * 1_000_000

    def require_peer(self, peer: Peer) -> None:
        """Raises UnavailableError (MUST 2), or IdentityError: CERTIFICATE_REVOKED, AGENCY_LOCKED."""
        if not self.is_current and self._registry is not None:
            # A process that stood still is not a feed that is lost.
            self._registry.look_now()
        if not self.is_current:
            raise UnavailableError(
                "REVOCATIONS_UNAVAILABLE",
                "the broker cannot learn what is revoked, so it serves nobody; try again later",
                detail=f"last confirmed {self._confirmed_us} us",
            )
        if not self.current.certificates.isdisjoint((peer.thumbprint, *peer.authorities, *peer.twins)):
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
            if any(revoked.holds_user(agency, person) for person in (caller.user, *caller.on_behalf_of)):
                raise IdentityError(
                    "USER_REVOKED",
                    "This user's rights on the network were revoked. Ask your agency's administrator.",
                )
