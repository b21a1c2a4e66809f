"""Acknowledged streams: each batch goes through the whole house, and at most two are on their way.

MUSTs:
1. The client starts, then acknowledges each batch; at most two batches are unacknowledged.
2. Each batch is decided, released and recorded for itself, with the certificate, token and grant of that moment.
3. The loop waits on acknowledgement, change, write and the end of the caller's right together, never on a write alone:
   a client that stops reading is ended by an overdue acknowledgement or a revocation, also while gRPC holds a write.
4. The last entry of a stream names the entries of the batches that were handed over and not acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from broker.admit import admit
from broker.audit.visit import Visit
from broker.decide.catalogue import MethodRule
from broker.domain.answer import Answer, Call
from broker.domain.errors import BrokerError, RequestError, UnavailableError
from broker.domain.grant import StaleGrantError
from broker.link import Link
from broker.pipeline import DECISIONS_PER_CALL, Pipeline
from broker.status import status_of
from broker.wire import Wire

# A quiet stream looks at the caller's right this often by itself; `watch` looks twice as often, and at once when
# something was revoked.
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
        self._links: set[Link] = set()

    def shut_down(self) -> None:
        """End every stream, saying why: a client that is told resumes elsewhere at once."""
        for link in self._links:
            link.fail(UnavailableError("SHUTTING_DOWN", "the broker is stopping; connect again and resume"))

    def look_again(self) -> None:
        """Something was revoked, or time has passed: end the streams whose caller's right is gone."""
        for link in tuple(self._links):
            link.look_again()

    async def run(self, path: str, wire: Wire) -> None:
        """One stream, to its end. Raises RefusedError; one that is cancelled, or cut off, is on record."""
        recorder = self._pipeline.recorder
        visit = recorder.open(path, wire.address, wire.session)
        link: Link | None = None
        try:
            rule = await self._pipeline.enter(visit, wire)
            visit.request = await wire.first_message()
            start, visit.justification = admit(rule, visit.request)
            if not start.HasField("start"):
                raise RequestError("REQUEST_INVALID", "the first message of a stream is `start`")
            await self._pipeline.decide(visit, rule)
            subscription = self._openers[path](visit.call(start), start.start)  # type: ignore[attr-defined]
            link = Link(wire, rule, visit, recorder, self._pipeline.identifier, self._pipeline.in_force)
            self._links.add(link)
            with self._pipeline.limits.stream(visit.known_caller):
                await self._batches(visit, wire, rule, subscription, link, start)
            # The client ended its side. Without this, one that did so before the first batch would leave no entry.
            recorder.aborted(visit)
        except asyncio.CancelledError:
            if link is not None and link.failure is not None:
                recorder.cut_off(visit, link.failure, status_of(link.failure))
            else:
                recorder.aborted(visit)
            raise
        except BrokerError as error:
            if link is not None:
                link.fail(error)
            refusal = await recorder.refused(visit, error, status_of(error))
            if visit.request is None and not refusal.counted:
                # It is on record; now its caller is heard out: a write that is cut off in the middle tells its client
                # nothing of the reason. One of a flood is not: its message would be held in memory.
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
        self, visit: Visit, wire: Wire, rule: MethodRule, subscription: Subscription, link: Link, start: Any
    ) -> None:
        while await link.room():
            if owed_s := self._pipeline.limits.debt_s(visit.known_caller):
                await link.first(asyncio.sleep(min(owed_s, RECHECK_SECONDS)))
                continue
            for _ in range(DECISIONS_PER_CALL):
                self._pipeline.identifier.require_still_valid(visit.known_caller, wire.auth_context)
                await self._pipeline.decide(visit, rule)
                link.rest_on(visit.known_grant)
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
            await link.hand_over(batch.cursor, message)
