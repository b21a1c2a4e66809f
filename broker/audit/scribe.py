"""The hand that writes: an entry is encoded under this broker's name, clock and keys, and appended to its ledger."""

from __future__ import annotations

import asyncio
import secrets

from broker.audit.entry import Encoded, Entry, Node, encode
from broker.audit.log import Appended, Ledger
from broker.audit.seal import SealKeys
from broker.domain.clock import Clock
from broker.domain.exchange import Exchange, Session


class Scribe:
    """One for each ledger."""

    def __init__(self, ledger: Ledger, keys: SealKeys, node: Node, clock: Clock) -> None:
        self._ledger = ledger
        self._keys = keys
        self._node = node
        self._clock = clock

    def exchange(self, method: str, address: str = "", session: Session | None = None) -> Exchange:
        """A new exchange, now."""
        started, monotonic = self._clock.now_us(), self._clock.monotonic_us()
        return Exchange(secrets.token_hex(16), method, started, monotonic, address, session)

    def elapsed_us(self, exchange: Exchange) -> int:
        """How long ago it began."""
        return self._clock.monotonic_us() - exchange.started_monotonic_us

    def second(self) -> int:
        """The present second, of a clock that never steps back."""
        return self._clock.monotonic_us() // 1_000_000

    def encode(self, entry: Entry, salt: bytes | None = None) -> Encoded:
        """Raises LimitError or RequestError where it cannot be put on record."""
        return encode(entry, node=self._node, clock=self._clock, keys=self._keys, salt=salt)

    def queue(self, encoded: Encoded) -> asyncio.Future[Appended]:
        """Append, and let the caller wait or not. Raises UnavailableError."""
        return self._ledger.append(encoded.leaf, encoded.sealed)

    async def durable(self, encoded: Encoded, seconds: float) -> Appended:
        """Append, and wait until it is on disk. Raises UnavailableError when that takes longer."""
        return await self._ledger.wait(self.queue(encoded), seconds)

    def leave(self, encoded: Encoded) -> None:
        """Append what nobody waits for: its failure shows in the ledger's own state. Raises UnavailableError."""
        self.queue(encoded).add_done_callback(_retrieve)


def _retrieve(future: asyncio.Future[Appended]) -> None:
    if not future.cancelled():
        future.exception()
