"""One stream's two directions: what was handed over, what was acknowledged, and why it must end.

MUSTs:
1. The caller's right is looked at in the same step of the event loop in which a batch is given to the transport:
   nothing is handed over after its end was seen.
2. At most two batches are unacknowledged; the visit names the entries of those that are, for the stream's last entry.
3. No wait is for one thing alone. A transport that holds a write when the stream must end gets a moment, for a client
   that reads and shall learn the reason; then the call is cut off.
4. An agreement that a grant of this stream counted has ended: so does the stream, at that second, and nothing that was
   decided under it is handed over. Resumed, it goes on with what is allowed without it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from broker.admit import parse
from broker.audit.recorder import Recorder
from broker.audit.visit import Visit
from broker.decide.catalogue import MethodRule
from broker.decide.resting import InForce, ended
from broker.domain.directory import Agreement
from broker.domain.errors import BrokerError, LimitError, RequestError
from broker.domain.grant import Grant
from broker.identify.caller import Identifier
from broker.wire import Wire

MAX_UNACKNOWLEDGED = 2
ACKNOWLEDGE_SECONDS = 5.0
# For a client that reads, a batch is off in a fraction of this.
GRACE_SECONDS = 0.25
# A stream lasts no longer than its token; what ends later is timed by a later grant.
LONGEST_TIMED_SECONDS = 3600.0
SHORTEST_TIMED_SECONDS = 0.001


class Link:
    """See the module. Made once the stream is granted; `close` it in any case."""

    def __init__(
        self,
        wire: Wire,
        rule: MethodRule,
        visit: Visit,
        recorder: Recorder,
        identifier: Identifier,
        in_force: InForce,
    ) -> None:
        self._wire = wire
        self._rule = rule
        self._visit = visit
        self._recorder = recorder
        self._identifier = identifier
        self._in_force = in_force
        # What counts, and the directory's revision at which it did.
        self._agreements: frozenset[Agreement] = frozenset()
        self._revision = -1
        self._first_end: asyncio.TimerHandle | None = None
        self._unacknowledged: deque[tuple[str, int]] = deque()
        self._overdue: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.failure: BrokerError | None = None
        self._ended = False
        self._reader = asyncio.create_task(self._read(), name="acknowledgements")

    async def room(self) -> bool:
        """Wait until another batch may go; False when the client has ended the stream. Raises what `fail` was given."""
        while True:
            self._raise_failure()
            if self._ended:
                return False
            if len(self._unacknowledged) < MAX_UNACKNOWLEDGED:
                return True
            self._changed.clear()
            await self._changed.wait()

    async def first(self, batch: Any) -> Any:
        """The batch, or None when the client has ended the stream. Raises what `fail` was given meanwhile."""
        work = asyncio.ensure_future(batch)
        try:
            while not work.done():
                await self._change_or(work)
                self._raise_failure()
                if self._ended:
                    return None
            return work.result()
        finally:
            work.cancel()

    async def hand_over(self, cursor: str, message: bytes) -> None:
        """Give a released batch to the transport, and wait until it is taken.

        Raises the BrokerError that the stream ends with, or CancelledError where the client is gone or cut off.
        """
        write = asyncio.ensure_future(self._write(cursor, message))
        try:
            while not write.done() and self.failure is None and not self._ended:
                await self._change_or(write)
            if not write.done():
                await asyncio.wait((write,), timeout=GRACE_SECONDS)
            if not write.done():
                # gRPC keeps what it holds for this client until the client's deadline, or its connection's end.
                raise asyncio.CancelledError
            write.result()
        finally:
            write.cancel()
        self._raise_failure()

    def rest_on(self, grant: Grant) -> None:
        """From now on the stream rests on the agreements of this grant.

        Raises ConflictError AGREEMENT_ENDED where one that counted before counts no more: caller and purpose of a
        stream are always the same.
        """
        counted = frozenset(grant.agreements)
        if not self._agreements <= counted:
            raise ended()
        self._agreements, self._revision = counted, grant.data_revision
        self._time_first_end()

    def look_again(self) -> None:
        """End the stream if the caller's right has ended, or an agreement that it rests on."""
        try:
            self._identifier.require_still_valid(self._visit.known_caller, self._wire.auth_context)
            self._require_in_force()
        except BrokerError as error:
            self.fail(error)

    def fail(self, error: BrokerError) -> None:
        """End the stream with this refusal, unless it has one already. What is acknowledged from now on is too late."""
        self.failure = self.failure or error
        self._changed.set()

    def close(self) -> None:
        """Stop reading and timing. What was not acknowledged may or may not have arrived."""
        for _, size in self._unacknowledged:
            self._recorder.handed_over(self._visit, "CANCELLED", size)
        for timer in (self._overdue, self._first_end):
            if timer is not None:
                timer.cancel()
        # What ended it has frames, and they hold this link. Held by it in turn, the call would wait for the garbage
        # collector to be let go, and its client, where it was cut off, to learn of it.
        self._reader.cancel()
        del self._reader
        if self.failure is not None:
            self.failure.__traceback__ = None

    async def _change_or(self, work: asyncio.Future[Any]) -> None:
        """Wait for the work, or for anything else to happen."""
        self._changed.clear()
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((work, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()

    async def _write(self, cursor: str, message: bytes) -> None:
        self._raise_failure()
        self._identifier.require_for_release(self._visit.known_caller, self._wire.auth_context)
        self._require_in_force()
        assert self._visit.released_at is not None
        self._unacknowledged.append((cursor, len(message)))
        self._visit.unacknowledged.append(self._visit.released_at)
        if self._overdue is None:
            self._time_oldest()
        # Up to its first wait, which is for the transport to take the bytes, this runs at once.
        await self._wire.send(message)

    def _require_in_force(self) -> None:
        self._in_force.require(str(self._visit.known_caller.agency), self._agreements, self._revision)

    def _time_first_end(self) -> None:
        """Look again at the second at which the first of the agreements ends, if the stream may last so long."""
        if self._first_end is not None:
            self._first_end.cancel()
            self._first_end = None
        left = self._in_force.seconds_left(self._agreements)
        if left is not None and left < LONGEST_TIMED_SECONDS and self.failure is None:
            self._first_end = asyncio.get_running_loop().call_later(max(left, SHORTEST_TIMED_SECONDS), self._at_end)

    def _at_end(self) -> None:
        self.look_again()
        # Clocks differ: where its time has not come by this one, a moment later.
        self._time_first_end()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def _read(self) -> None:
        try:
            while (raw := await self._wire.next_message()) is not None:
                if self.failure is not None:
                    return
                self._acknowledge(parse(self._rule.request_type, raw))
            self._ended = True
        except BrokerError as error:
            self.fail(error)
        finally:
            self._changed.set()

    def _acknowledge(self, message: Any) -> None:
        if not message.HasField("acknowledgement"):
            raise RequestError("REQUEST_INVALID", "after the start, every message acknowledges a batch")
        cursor = message.acknowledgement.cursor
        if all(cursor != waiting for waiting, _ in self._unacknowledged):
            raise RequestError("CURSOR_INVALID", "no such batch is waiting for an acknowledgement")
        reached = ""
        while reached != cursor:
            reached, size = self._unacknowledged.popleft()
            self._visit.unacknowledged.popleft()
            self._recorder.handed_over(self._visit, "OK", size)
        self._changed.set()
        self._time_oldest()

    def _time_oldest(self) -> None:
        """Time the oldest batch that is not acknowledged."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if self._unacknowledged:
            self._overdue = asyncio.get_running_loop().call_later(ACKNOWLEDGE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self.fail(
            LimitError(
                "ACKNOWLEDGEMENT_OVERDUE", "a batch was not acknowledged within 5 s; resume from the last cursor"
            )
        )
