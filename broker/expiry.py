"""Nobody is surprised by a certificate's end: 60, 30, 7 and 1 days before, the ledger and the operator's log say so.

Guarantees: each certificate that was filed, that called, or that the broker itself serves with or trusts is announced
once for each threshold, over all workers; a warning that could not be put on record is left again later. What is seen
calling costs the call one entry in a dictionary.
Does not: look at revocation lists (they live for days, and `identify.material` refuses when one is too old).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from broker.audit.recorder import Recorder
from broker.domain.caller import Peer
from broker.domain.clock import Clock
from broker.domain.enrolment import DAY_US, CertificateOnFile
from broker.domain.errors import BrokerError
from broker.store import certificates
from broker.store.store import Store

LOOK_SECONDS = 600.0
WARNING = "/entente/expiry_warning"
# What ended so long ago is forgotten.
KEPT_US = 90 * DAY_US
# Warnings for each look; the rest comes with the next.
MOST_WARNINGS = 500
MOST_NOTICED = 10_000

_logger = structlog.get_logger("entente.expiry")


class Expiry:
    """One per worker. `own` yields the certificates that the broker itself relies on."""

    def __init__(
        self, store: Store, recorder: Recorder, clock: Clock, own: Callable[[], Iterable[CertificateOnFile]]
    ) -> None:
        self._store, self._recorder, self._clock, self._own = store, recorder, clock, own
        self._noticed: dict[bytes, Peer] = {}
        self._task: asyncio.Task[None] | None = None

    def notice(self, peer: Peer) -> None:
        """A certificate has passed the profile. Called once for each verdict, on the hot path."""
        if len(self._noticed) < MOST_NOTICED:
            self._noticed[peer.thumbprint] = peer

    def start(self) -> None:
        """Look now and then."""
        self._task = asyncio.create_task(self._run(), name="expiry")

    async def aclose(self) -> None:
        """Stop, and note what was seen since the last look."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._note()
        except BrokerError as error:
            _logger.warning("certificates_not_noted", reason=error.reason)

    async def look(self) -> int:
        """Note what was seen, leave the warnings that are due; how many. Raises UnavailableError."""
        await self._note()
        now_us = self._clock.now_us()
        due = self._store.look(lambda driver: certificates.due(driver, now_us, MOST_WARNINGS))
        return sum([await self._warn(one, one.days_left(now_us)) for one in due])

    async def _note(self) -> None:
        taken, self._noticed = self._noticed, {}
        seen = [_seen(peer) for peer in taken.values()]
        own = await asyncio.to_thread(lambda: list(self._own()))
        ended_us = self._clock.now_us() - KEPT_US
        await self._store.write(lambda tx: certificates.see(tx.driver, [*seen, *own], ended_us))

    async def _warn(self, one: CertificateOnFile, days: int) -> bool:
        if not await self._store.write(lambda tx: certificates.claim(tx.driver, one.thumbprint, days)):
            return False
        detail = {"certificate": one.thumbprint, "spiffe_id": one.spiffe_id, "days": str(days)}
        try:
            await self._recorder.told(WARNING, detail, (one.agency,) if one.agency else ())
        except BrokerError:
            await self._store.write(lambda tx: certificates.release(tx.driver, one.thumbprint, days, one.warned_days))
            raise
        _logger.warning("certificate_ends", agency=one.agency, within_days=days, certificate=one.thumbprint)
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except BrokerError as error:
                _logger.warning("expiry_look_failed", reason=error.reason)


def own_certificates(server: Path, roots: Path) -> Iterator[CertificateOnFile]:
    """The broker's own certificate and the roots that it trusts, as their files are now; an unreadable file is left
    out, because whoever serves with it says so."""
    for name, path in (("broker:server", server), ("broker:root", roots)):
        try:
            found = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            continue
        for one in found if name == "broker:root" else found[:1]:
            end_us = int(one.not_valid_after_utc.timestamp()) * 1_000_000
            yield CertificateOnFile(one.fingerprint(hashes.SHA256()).hex(), "", name, end_us)


def _seen(peer: Peer) -> CertificateOnFile:
    spiffe_id = f"spiffe://{peer.agency.trust_domain}/agency/{peer.agency.agency}/{peer.workload}"
    return CertificateOnFile(peer.thumbprint.hex(), str(peer.agency), spiffe_id, peer.not_after * 1_000_000)
