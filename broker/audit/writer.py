"""Group commit: entries queue, a group becomes one frame, one write and one fdatasync; then its waiters wake at once.

One fdatasync is in flight at a time. It runs on the loop while the disk is quick (`guard.py`), after a wait that
follows the load (`linger.py`). After any failure the writer is poisoned: the next fdatasync may lie (audit invariant
4).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from broker.audit import journal
from broker.audit.guard import LatencyGuard
from broker.audit.linger import TICK_S, Linger
from broker.audit.segment import SegmentWriter
from broker.audit.signer import HeadSigner
from broker.domain.errors import UnavailableError
from entente_tlog.merkle import Tree, leaf_hash
from entente_tlog.tiles import MAX_ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds. `slow_fsync_us` = 0 keeps fdatasync off the loop always."""

    queue_entries: int = 4096
    queue_bytes: int = 64 << 20
    group_entries: int = 1024
    group_bytes: int = 4 << 20
    reserve_bytes: int = 256 << 20
    segment_bytes: int = 64 << 20
    publish_interval_us: int = 1_000_000
    publish_entries: int = 4096
    slow_fsync_us: int = 5_000
    wait_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry is, durably. `proof` leads from its leaf to the root in `checkpoint` (a signed note of `size`)."""

    index: int
    size: int
    checkpoint: bytes
    proof: tuple[bytes, ...]


class Waiting(NamedTuple):
    """An entry in the queue."""

    leaf: bytes
    sealed: bytes
    future: asyncio.Future[Appended]


def unavailable(detail: str, reason: str = "LEDGER_UNAVAILABLE") -> UnavailableError:
    """The one refusal of a ledger that cannot record."""
    return UnavailableError(reason, "The ledger cannot record this exchange; retry later.", detail=detail)


class GroupWriter:
    """Owns the queue and the tree's growth. `size` counts durable entries, `checkpoint` is signed over them."""

    def __init__(
        self,
        tree: Tree,
        head: HeadSigner,
        segment: SegmentWriter,
        limits: Limits,
        threads: Executor,
        committed: Callable[[list[Waiting]], None],
        failed: Callable[[], None],
    ) -> None:
        self._tree, self._head, self._segment = tree, head, segment
        self._limits, self._threads = limits, threads
        self._on_committed, self._on_failed = committed, failed
        self.size = len(tree)
        self.checkpoint = head.note
        self.commits = 0
        self.failure: str | None = None
        # Set while tiles are being written: the disk is busy, and the loop should not wait for it.
        self.disk_is_busy = False
        self._queue: deque[Waiting] = deque()
        self._queued_bytes = 0
        self._linger = Linger()
        self._guard = LatencyGuard(limits.slow_fsync_us)
        self._handle: asyncio.Handle | None = None
        self._lingering = False
        self._in_flight: asyncio.Future[int] | None = None

    def append(self, leaf: bytes, sealed: bytes) -> asyncio.Future[Appended]:
        """Enqueue; raises UnavailableError when poisoned or full."""
        if self.failure is not None:
            raise unavailable(self.failure)
        if len(self._queue) >= self._limits.queue_entries or self._queued_bytes >= self._limits.queue_bytes:
            raise unavailable("the ledger's queue is full")
        if len(leaf) > MAX_ENTRY_BYTES:
            raise ValueError("a leaf holds at most 65,535 bytes")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        self._queue.append(Waiting(leaf, sealed, future))
        self._queued_bytes += len(leaf) + len(sealed)
        if self._in_flight is None:
            self._schedule(loop)
        return future

    async def drain(self) -> None:
        """Write all that is queued, unless poisoned."""
        while self.failure is None and (self._queue or self._in_flight is not None):
            if self._in_flight is not None:
                await asyncio.wait([self._in_flight])
                await asyncio.sleep(0)  # its callback settles the group
            else:
                self._flush()
        self._stop_waiting()

    def fail(self, error: BaseException, group: list[Waiting] | None = None) -> None:
        """Poison: nothing more is written until restart and recovery (audit invariant 4)."""
        self.failure = self.failure or f"the ledger failed: {error!r}"
        self._stop_waiting()
        lost = [*(group or ()), *self._queue]
        self._queue.clear()
        self._queued_bytes = 0
        for waiting in lost:
            if not waiting.future.done():
                waiting.future.set_exception(unavailable(self.failure))
                waiting.future.exception()  # a caller may have gone: that is no news for the loop's log
        self._on_failed()

    def _stop_waiting(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._lingering = False

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._handle is None:
            if self._linger.begin() and not self._linger.enough(len(self._queue)):
                self._handle = loop.call_later(TICK_S, self._tick, loop)
                self._lingering = True
            else:
                self._handle = loop.call_soon(self._flush)
        elif self._lingering and self._linger.enough(len(self._queue)):
            self._stop_waiting()
            self._handle = loop.call_soon(self._flush)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._linger.tick(len(self._queue)):
            self._handle = loop.call_later(TICK_S, self._tick, loop)
        else:
            self._flush()

    def _flush(self) -> None:
        self._stop_waiting()
        if not self._queue or self._in_flight is not None or self.failure is not None:
            return
        group = self._take_group()
        self._linger.flushed(len(group))
        try:
            frame = self._frame(group)
            self._segment.roll(self.size)
            if self._guard.inline and not self.disk_is_busy:
                self._settle(group, self._segment.write(frame))
                return
        except Exception as error:
            self.fail(error, group)
            return
        self._in_flight = asyncio.get_running_loop().run_in_executor(self._threads, self._segment.write, frame)
        self._in_flight.add_done_callback(lambda done: self._written(done, group))

    def _written(self, done: asyncio.Future[int], group: list[Waiting]) -> None:
        self._in_flight = None
        try:
            self._settle(group, done.result())
        except Exception as error:
            self.fail(error, group)

    def _take_group(self) -> list[Waiting]:
        group: list[Waiting] = []
        size = 0
        while self._queue and len(group) < self._limits.group_entries and size < self._limits.group_bytes:
            waiting = self._queue.popleft()
            size += len(waiting.leaf) + len(waiting.sealed)
            group.append(waiting)
        self._queued_bytes -= size
        return group

    def _frame(self, group: list[Waiting]) -> bytes:
        for waiting in group:
            self._tree.append(leaf_hash(waiting.leaf))
        checkpoint = self._head.sign(self._tree)
        return journal.encode(self.size, [w.leaf for w in group], [w.sealed for w in group], checkpoint)

    def _settle(self, group: list[Waiting], duration_us: int) -> None:
        """The group is durable: its waiters wake."""
        self._guard.observe(duration_us)
        first, self.size = self.size, self.size + len(group)
        # The tree grows only between one commit and the next, so its head is this group's.
        self.checkpoint = self._head.note
        self.commits += 1
        for index, waiting in enumerate(group, first):
            if not waiting.future.done():
                proof = self._tree.inclusion_proof(index, self.size)
                waiting.future.set_result(Appended(index, self.size, self.checkpoint, proof))
        self._on_committed(group)
        if self._queue:
            self._schedule(asyncio.get_running_loop())
