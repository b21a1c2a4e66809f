"""An acknowledged stream of changes that survives its connection.

Guarantees: each batch's receipt is verified before the batch is handed over; after a lost connection, or when token or
certificate had to be renewed, the stream resumes from the last acknowledged batch, so that nothing acknowledged comes
twice and nothing else is missed. A batch that was handed over but not acknowledged comes again. After a change of
certificate or trust roots it moves to the new channel when everything that was handed over is acknowledged.
The broker sends at most two batches ahead and ends a stream whose acknowledgement is overdue by 5 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc

from entente.report.v1 import report_service_pb2 as wire
from entente_sdk import _methods, _runtime_async
from entente_sdk._async.calls import AsyncCalls
from entente_sdk._async.connection import AsyncLine
from entente_sdk._refusals import Failure, failure
from entente_sdk._verification import Exchange
from entente_sdk.answers import Answer
from entente_sdk.retries import Budget

LONGEST_WAIT_SECONDS = 60.0
_ENDED = Failure(grpc.StatusCode.UNAVAILABLE, "the broker ended the stream")


class AsyncBatch:
    """Changes in order, with the receipt of their delivery. An empty one says that the caller is up to date."""

    def __init__(self, subscription: AsyncSubscription, number: int, answer: Answer[wire.SubscribeReportsResponse]):
        self._subscription = subscription
        self.number = number
        self.answer = answer

    @property
    def changes(self) -> Sequence[wire.ReportChange]:
        """What happened, oldest first."""
        return self.answer.message.changes

    @property
    def cursor(self) -> str:
        """Resume after this batch with this."""
        return self.answer.message.cursor

    @property
    def up_to_date(self) -> bool:
        """Nothing newer was there when the batch was made."""
        return self.answer.message.up_to_date

    async def acknowledge(self) -> None:
        """This batch and all before it have been handled. A second time does nothing."""
        await self._subscription.acknowledge(self)


class AsyncSubscription:
    """Iterate over batches; leave the `with` block or call `close` to end it."""

    def __init__(self, calls: AsyncCalls, start: wire.SubscribeStart) -> None:
        self._calls = calls
        self._start = start
        self._line: AsyncLine | None = None
        self._link: _runtime_async.Duplex | None = None
        self._metadata: _runtime_async.Metadata = ()
        self._exchange: Exchange | None = None
        self._received = 0
        self._first_of_link = 1
        self._acknowledged = 0
        self._failures = 0

    @property
    def cursor(self) -> str:
        """Of the last acknowledged batch, or where the subscription started; empty at the beginning."""
        return self._start.cursor

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AsyncBatch:
        """The next batch. Waits for it; raises EntenteError when the stream cannot go on."""
        await self._move()
        while True:
            try:
                raw = await self._receive()
            except grpc.RpcError as error:
                await self._recover(failure(error))
                continue
            if raw is None:
                await self._recover(_ENDED)
                continue
            return await self._batch(raw)

    async def acknowledge(self, batch: AsyncBatch) -> None:
        """Called by the batch."""
        if batch.number <= self._acknowledged:
            return
        self._acknowledged = batch.number
        self._start.cursor = batch.cursor
        self._start.ClearField("from_now")
        # A batch of an earlier connection is known to this side only: the broker was not asked on the present one.
        if self._link is not None and batch.number >= self._first_of_link:
            message = wire.SubscribeReportsRequest(acknowledgement=wire.SubscribeAcknowledgement(cursor=batch.cursor))
            await self._link.send(message.SerializeToString())

    async def close(self) -> None:
        """End the stream."""
        link, self._link = self._link, None
        line, self._line = self._line, None
        if link is not None:
            await link.close()
        if line is not None:
            await self._calls.connection.release(line)

    async def _move(self) -> None:
        """Let the next read connect anew, where the channel has been replaced and nothing is left unacknowledged."""
        settled = self._acknowledged == self._received and not (self._start.from_now and self._received == 0)
        if self._line is not None and settled and await self._calls.connection.left(self._line):
            await self.close()

    async def _receive(self) -> bytes | None:
        if self._link is None:
            request = wire.SubscribeReportsRequest(start=self._start).SerializeToString()
            if self._line is None:
                self._line = await self._calls.connection.line()
            self._exchange = self._calls.exchange(_methods.SUBSCRIBE.path, request)
            self._metadata = await self._calls.metadata(self._line)
            self._first_of_link = self._received + 1
            self._link = self._line.transport.duplex(_methods.SUBSCRIBE.path, self._metadata)
            await self._link.send(request)
        return await self._link.receive()

    async def _batch(self, raw: bytes) -> AsyncBatch:
        assert self._exchange is not None
        try:
            answer = self._exchange.answer(_methods.SUBSCRIBE, raw)
        except BaseException:
            await self.close()
            raise
        self._failures = 0
        self._received += 1
        batch = AsyncBatch(self, self._received, answer)
        if not answer.message.changes and self._acknowledged == self._received - 1:
            # Nothing to handle: its cursor holds the place, from which a stream that began "now" can resume.
            await self.acknowledge(batch)
        return batch

    async def _recover(self, failed: Failure) -> None:
        """Wait and let the next read connect again; raise where the stream cannot go on."""
        assert self._exchange is not None
        assert self._line is not None
        exchange, line = self._exchange, self._line
        await self.close()
        if self._failures == 0:
            await self._calls.raise_handshake(failed, line)
        renewed = self._calls.renew(failed, self._metadata)
        budget = Budget(self._calls.retry, LONGEST_WAIT_SECONDS, attempts_made=self._failures)
        # gRPC's client loses the status of a stream whose end crosses an acknowledgement; the broker's own INTERNAL
        # says so in its details.
        lost = failed.code is grpc.StatusCode.INTERNAL and failed.info is None
        code = grpc.StatusCode.UNAVAILABLE if lost else failed.code
        wait = budget.next_wait(code, failed.retry_after_s, renewed=renewed)
        self._failures += 1
        skips = self._start.from_now and self._received > 0
        if skips or wait is None:
            raise failed.error(exchange)
        await _runtime_async.sleep(wait)
