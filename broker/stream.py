"""Acknowledged streams: each batch goes through the whole house, and at most two are on their way.

MUSTs:
1. The client starts, then acknowledges each batch; at most two batches are unacknowledged.
2. Each batch is decided, released and recorded for itself, with the certificate, token and grant of that moment.
3. The loop waits on acknowledgement, change and the end of the caller's right together, never on a write alone: a
   client that stops reading is ended by an overdue acknowledgement, also while gRPC is still holding a write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from broker.admit import admit, parse
from broker.audit.recorder import Recorder
from broker.audit.visit import Visit
from broker.decide.catalogue import MethodRule
from broker.domain.answer import Answer, Call
from broker.domain.errors import BrokerError, LimitError, RequestError, UnavailableError
from broker.domain.grant import StaleGrantError
from broker.identify.caller import Identifier
from broker.pipeline import DECISIONS_PER_CALL, Pipeline, status_of
from broker.wire import Wire

MAX_UNACKNOWLEDGED = 2
ACKNOWLEDGE_SECONDS = 5.0
# A quiet stream looks at the caller's right this often; revocation by push comes with the identity work.
RECHECK_SECONDS = 1.0


class Batch(Protocol):
    """One batch of a subscription."""

    @property
    def answer(self) -> Answer: ...
    @property
    def cursor(self) -> str: ...


class Subscription(Protocol):
    """What a handler opens for a stream. `next_batch` returns None when nothing came within `seconds`."""

    async def next_batch(self, call: Call, seconds: float) -> Batch | None: ...


class StreamRunner:
    """Runs the streaming methods over the pipeline's stages."""

    def __init__(self, pipeline: Pipeline, openers: dict[str, Callable[[Call, Any], Subscription]]) -> None:
        self._pipeline = pipeline
        self._openers = openers
        self._links: set[_Link] = set()

    def shut_down(self) -> None:
        """End every stream, saying why: a client that is told resumes elsewhere at once."""
        for link in self._links:
            link.fail(UnavailableError("SHUTTING_DOWN", "the broker is stopping; connect again and resume"))

    def look_again(self) -> None:
        """Something was revoked: end the streams whose caller's right is gone."""
        for link in tuple(self._links):
            try:
                link.require_still_valid(self._pipeline.identifier)
            except BrokerError as error:
                link.fail(error)

    async def run(self, path: str, wire: Wire) -> AsyncIterator[bytes]:
        """The stream's messages. Raises RefusedError; a cancelled stream is on record."""
        visit = self._pipeline.recorder.open(path, wire.address)
        link: _Link | None = None
        try:
            rule = await self._pipeline.enter(visit, wire)
            visit.request = await wire.first_message()
            start, visit.justification = admit(rule, visit.request)
            if not start.HasField("start"):
                raise RequestError("REQUEST_INVALID", "the first message of a stream is `start`")
            await self._pipeline.decide(visit, rule)
            subscription = self._openers[path](visit.call(start), start.start)  # type: ignore[attr-defined]
            link = _Link(wire, rule, visit, self._pipeline.recorder, asyncio.current_task())
            self._links.add(link)
            async for message in self._batches(visit, wire, rule, subscription, link, start):
                yield message
            # The client ended its side; when that was before the first batch, this is the only entry.
            self._pipeline.recorder.aborted(visit)
        except asyncio.CancelledError:
            self._pipeline.recorder.aborted(visit)
            raise
        except BrokerError as error:
            refusal = await self._pipeline.recorder.refused(visit, error, status_of(error))
            if visit.request is None:
                # It is on record; now its caller is heard out: a write that is cut off in the middle tells its client
                # nothing of the reason.
                with contextlib.suppress(BrokerError):
                    await wire.first_message()
            raise refusal from None
        except Exception as defect:
            raise await self._pipeline.defect(visit, defect) from None
        finally:
            if link is not None:
                self._links.discard(link)
                link.close()

    async def _batches(
        self, visit: Visit, wire: Wire, rule: MethodRule, subscription: Subscription, link: _Link, start: Any
    ) -> AsyncIterator[bytes]:
        while await link.room():
            for _ in range(DECISIONS_PER_CALL):
                self._pipeline.identifier.require_still_valid(visit.known_caller, wire.auth_context)
                await self._pipeline.decide(visit, rule)
                try:
                    batch = await link.first(subscription.next_batch(visit.call(start), RECHECK_SECONDS))
                except StaleGrantError:
                    await self._pipeline.decider.refresh()
                    continue
                break
            else:
                raise UnavailableError("STORE_UNAVAILABLE", "the directory is changing; resume from the last cursor")
            if batch is None:
                continue
            visit.closed = False
            message = await self._pipeline.release(visit, rule, batch.answer)
            # Between decision and here the ledger was awaited: the caller's right is looked at once more.
            self._pipeline.identifier.require_still_valid(visit.known_caller, wire.auth_context)
            link.sent(batch.cursor, len(message))
            yield message


class _Link:
    """The two directions of one stream: what was sent, what was acknowledged, and whether the client is still there."""

    def __init__(
        self, wire: Wire, rule: MethodRule, visit: Visit, recorder: Recorder, task: asyncio.Task[Any] | None
    ) -> None:
        self._wire = wire
        self._rule = rule
        self._visit = visit
        self._recorder = recorder
        self._task = task
        self._unacknowledged: deque[tuple[str, int]] = deque()
        self._overdue: asyncio.TimerHandle | None = None
        self._is_overdue = False
        self._changed = asyncio.Event()
        self._failure: BrokerError | None = None
        self._ended = False
        self._reader = asyncio.create_task(self._read(), name="acknowledgements")

    def sent(self, cursor: str, size: int) -> None:
        """A batch is on its way."""
        self._unacknowledged.append((cursor, size))
        if self._overdue is None:
            self._watch()

    async def room(self) -> bool:
        """Wait until another batch may go; False when the client has ended the stream."""
        while True:
            self._raise_failure()
            if self._ended:
                return False
            if len(self._unacknowledged) < MAX_UNACKNOWLEDGED:
                return True
            self._changed.clear()
            await self._changed.wait()

    async def first(self, batch: Any) -> Any:
        """The batch, unless the client's side ends or fails first."""
        work = asyncio.ensure_future(batch)
        try:
            while not work.done():
                self._changed.clear()
                change = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait((work, change), return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                self._raise_failure()
                if self._ended:
                    return None
            return work.result()
        finally:
            work.cancel()

    def require_still_valid(self, identifier: Identifier) -> None:
        """Raises the BrokerError to end the stream with."""
        identifier.require_still_valid(self._visit.known_caller, self._wire.auth_context)

    def fail(self, error: BrokerError) -> None:
        """End the stream with this refusal, unless it has one already."""
        self._failure = self._failure or error
        self._changed.set()

    def close(self) -> None:
        """Stop reading and watching. What was not acknowledged may or may not have arrived."""
        for _, size in self._unacknowledged:
            self._recorder.handed_over(self._visit, "CANCELLED", size)
        self._reader.cancel()
        if self._overdue is not None:
            self._overdue.cancel()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _read(self) -> None:
        try:
            while (raw := await self._wire.next_message()) is not None:
                self._acknowledge(parse(self._rule.request_type, raw))
            self._ended = True
        except BrokerError as error:
            self._failure = error
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
            self._recorder.handed_over(self._visit, "OK", size)
        self._changed.set()
        self._watch()

    def _watch(self) -> None:
        """Time the oldest batch that is not acknowledged."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if self._unacknowledged:
            self._overdue = asyncio.get_running_loop().call_later(ACKNOWLEDGE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._failure is None and not self._is_overdue:
            self._is_overdue = True
            self._failure = LimitError(
                "ACKNOWLEDGEMENT_OVERDUE", "a batch was not acknowledged within 5 s; resume from the last cursor"
            )
            self._changed.set()
            # If gRPC still holds the write of a client that has stopped reading, the failure above is never seen.
            self._overdue = asyncio.get_running_loop().call_later(1.0, self._end)

    def _end(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
