"""What an agency uses of this broker, over all workers, and the refusal when it is too much.

MUSTs:
1. Calls a second, bytes a second, calls under way, streams and connections of one agency are bounded together, over all
   workers, whichever of them it calls; no other agency's calls are counted with them.
2. A call is refused before its token is looked at: what a noisy agency sends costs no signature and no decision.
3. A refusal says which limit it was and when it may work again. Refused calls use up nothing.
4. Bytes are charged when they are known: an agency in debt waits until it is paid.
5. Places (calls, streams, connections) are given back when what held them ends, whatever way it ends.
6. Counters that cannot be used refuse the start; no setting turns a limit off.

Two workers that admit at the same instant may together pass a limit by what one worker admits in a quarter of a second;
places by one for each worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from broker.config import LimitsSection
from broker.domain.caller import AgencyId, Caller, Peer
from broker.domain.clock import Clock
from broker.domain.errors import LimitError, UnavailableError
from broker.limits.bucket import Bucket
from broker.limits.connections import Connections, established
from broker.limits.tally import BEAT_SECONDS, Cell, Tally, key_of

# As much as this many seconds' worth of bytes may go at once.
BYTES_BURST_SECONDS = 2
# The least that a refused caller is told to wait: a thousand told to wait 2 ms would come back together.
LEAST_WAIT_SECONDS = 0.25
# Nobody knows when a place becomes free.
PLACE_WAIT_SECONDS = 1.0
SWEEP_SECONDS = 1.0
# Within it gRPC has ended a connection that is over its age.
GRACE_SECONDS = 600

_logger = structlog.get_logger("entente.limits")


class Arrival(Protocol):
    """What is needed of a call on the transport."""

    @property
    def address(self) -> str: ...
    @property
    def received(self) -> int: ...
    def on_end(self, callback: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Account:
    quota: LimitsSection
    requests: Bucket
    bytes: Bucket


class Limits:
    """One for each worker."""

    def __init__(self, section: LimitsSection, tally: Tally, clock: Clock) -> None:
        self._section = section
        self._tally = tally
        self._clock = clock
        self._quotas = {key_of(one.name): section.of(one) for one in section.agencies}
        self._accounts: list[_Account] = []
        self._connections = Connections(tally, clock, section.connection_age_seconds + GRACE_SECONDS)
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def start(self, port: int) -> None:
        """Begin to beat, and to look which connections to our port are gone."""
        self._tasks = [
            asyncio.create_task(self._beat(), name="limits"),
            asyncio.create_task(self._sweep(port), name="connections"),
        ]

    async def aclose(self) -> None:
        """Give back everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._closed:
            self._closed = True
            self._tally.close()

    def call(self, peer: Peer, arrival: Arrival) -> None:
        """Count a call, until it ends. Raises LimitError (LIMIT_EXCEEDED, with the seconds to wait)."""
        if self._closed:
            raise UnavailableError("SHUTTING_DOWN", "the broker is stopping; connect again")
        row, account = self._account(peer.agency)
        quota, now = account.quota, self._clock.monotonic_us()
        if not self._connections.admit(row, arrival.address, quota.connections):
            raise _no_place("connections", quota.connections, "close some, and make many calls on each")
        if wait := account.requests.wait_s(1.0, self._tally.total(row, Cell.REQUESTS), now):
            raise _too_much(f"{quota.requests_per_second} calls a second, {quota.burst} at once", wait)
        if wait := account.bytes.wait_s(0.0, self._tally.total(row, Cell.BYTES), now):
            raise _too_much(f"{quota.bytes_per_second} bytes a second", wait)
        if self._tally.held(row, Cell.CALLS) >= quota.calls:
            raise _no_place("calls under way", quota.calls, "wait for some to end")
        self._tally.add(row, Cell.REQUESTS, 1)
        self._hold(row, Cell.CALLS)
        arrival.on_end(lambda: self._ended(row, arrival))

    def spent(self, who: Peer | Caller, size: int) -> None:
        """Count bytes that go out; what came in is counted when its call ends."""
        if not self._closed:
            self._tally.add(self._tally.row(str(who.agency)), Cell.BYTES, size)

    def debt_s(self, who: Peer | Caller) -> float:
        """Seconds until the agency's bytes are paid: a stream waits so long before its next batch."""
        if self._closed:
            return 0.0
        row, account = self._account(who.agency)
        return account.bytes.wait_s(0.0, self._tally.total(row, Cell.BYTES), self._clock.monotonic_us())

    @contextlib.contextmanager
    def stream(self, who: Peer | Caller) -> Iterator[None]:
        """A place among the agency's streams, while it lasts. Raises LimitError."""
        row, account = self._account(who.agency)
        if self._tally.held(row, Cell.STREAMS) >= account.quota.streams:
            raise _no_place("open streams", account.quota.streams, "end some, or share one among your users")
        self._hold(row, Cell.STREAMS)
        try:
            yield
        finally:
            self._give_back(row, Cell.STREAMS)

    def look(self) -> None:
        """Beat, and take in what every agency has used on any worker."""
        self._tally.beat()
        now = self._clock.monotonic_us()
        self._open_accounts(now)
        for row, account in enumerate(self._accounts):
            account.requests.look(self._tally.total(row, Cell.REQUESTS), now)
            account.bytes.look(self._tally.total(row, Cell.BYTES), now)

    def _account(self, agency: AgencyId) -> tuple[int, _Account]:
        row = self._tally.row(str(agency))
        if row >= len(self._accounts):
            self._open_accounts(self._clock.monotonic_us())
        return row, self._accounts[row]

    def _open_accounts(self, now_us: int) -> None:
        """An account for each row that any worker has taken."""
        for row in range(len(self._accounts), self._tally.rows):
            quota = self._quotas.get(self._tally.key(row), self._section)
            requests, size = self._tally.total(row, Cell.REQUESTS), self._tally.total(row, Cell.BYTES)
            rate = quota.bytes_per_second
            self._accounts.append(
                _Account(
                    quota,
                    Bucket(quota.requests_per_second, quota.burst, requests, now_us),
                    Bucket(rate, rate * BYTES_BURST_SECONDS, size, now_us),
                )
            )

    def _ended(self, row: int, arrival: Arrival) -> None:
        self._give_back(row, Cell.CALLS)
        if not self._closed:
            self._tally.add(row, Cell.BYTES, arrival.received)

    def _hold(self, row: int, cell: Cell) -> None:
        self._tally.add(row, cell, 1)

    def _give_back(self, row: int, cell: Cell) -> None:
        if not self._closed:
            self._tally.add(row, cell, -1)

    async def _beat(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(BEAT_SECONDS)

    async def _sweep(self, port: int) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            looked_us = self._clock.monotonic_us()
            try:
                self._connections.sweep(await asyncio.to_thread(established, port), looked_us)
            except OSError as error:
                # Counted a little longer than they live: nobody gains a place by it.
                _logger.warning("connections_not_seen", error=type(error).__name__)


def _too_much(limit: str, wait_s: float) -> LimitError:
    wait_s = max(wait_s, LEAST_WAIT_SECONDS)
    message = f"Your agency may use {limit}. Try again in {wait_s:.2f} s, and more slowly."
    return LimitError("LIMIT_EXCEEDED", message, retry_after_s=wait_s)


def _no_place(what: str, most: int, advice: str) -> LimitError:
    message = f"Your agency may have {most} {what} over all its systems; {advice}, then try again."
    return LimitError("LIMIT_EXCEEDED", message, retry_after_s=PLACE_WAIT_SECONDS)
