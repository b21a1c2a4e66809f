"""The ledger: durable before anyone is told, tamper-evident, readable by index.

MUSTs (audit invariants 1 and 3 to 8):
1. A future resolves only after the fdatasync of the frame that holds its entry, signed checkpoint included.
2. `append` is a plain function: it enqueues. Cancelling a waiter ends the wait, never the entry.
3. Full, closed, out of reserve or poisoned: `append` raises UnavailableError at once; late: `wait` raises it in time.
4. After any failed write or fdatasync, here or while publishing, the ledger is poisoned until restart.
5. Indexes are contiguous, unique and never reused.

Limit: while fdatasync runs on the loop, a disk that hangs holds the loop until it answers; the next goes to a thread.
Only the pipeline's stages and the composition root import this module.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from broker.audit import journal
from broker.audit.files import Files
from broker.audit.history import History
from broker.audit.publish import Batch, Publisher
from broker.audit.recovery import JOURNAL, recover
from broker.audit.segment import SegmentWriter
from broker.audit.signer import HeadSigner
from broker.audit.writer import Appended, GroupWriter, Limits, Waiting, unavailable
from broker.domain.clock import Clock, SystemClock
from entente_tlog.note import Signer

__all__ = ["Appended", "Ledger", "Limits", "LockedLedgerError"]

_DISK_CHECK_US = 100_000


class LockedLedgerError(Exception):
    """Another process holds this ledger: one log has one writer."""


class Ledger:
    """See the module. Make one with `Ledger.open`."""

    def __init__(
        self, directory: Path, signer: Signer, clock: Clock, limits: Limits, files: Files, lock_fd: int
    ) -> None:
        recovered = recover(directory, signer.verifier)
        tree = recovered.tree
        self._directory, self._clock, self._limits, self._files = directory, clock, limits, files
        self._lock_fd = lock_fd
        self._origin = signer.name
        self._tree = tree
        self._history = History(directory, recovered.base, recovered.leaves, recovered.sealed)
        self._publisher = Publisher(directory, tree, files)
        self._published = recovered.published
        self._threads = ThreadPoolExecutor(2, "ledger")
        self._publishing: asyncio.Future[None] | None = None
        self._publish_timer: asyncio.Handle | None = None
        self._growth: set[asyncio.Future[None]] = set()
        self._closing = False
        self._short_of_disk = False
        self._next_disk_check_us = 0
        head = HeadSigner(signer, len(tree), tree.root())
        head.sign(tree)
        # Nothing is believed because it can be read: all of it goes into new files first (recovery, MUST 3).
        base, leaves, sealed = self._history.tail()
        self._publisher.publish(Batch(base, self._published, len(tree), leaves, sealed, head.root, head.note))
        self._after_publish(len(tree))
        self._published_us = clock.monotonic_us()
        old = journal.segments(directory / JOURNAL)
        self._segment = SegmentWriter(directory / JOURNAL, len(tree), files, clock, limits.segment_bytes)
        for segment in old:
            if segment != journal.segment_path(directory / JOURNAL, len(tree)):
                files.unlink(segment)
        self._writer = GroupWriter(tree, head, self._segment, limits, self._threads, self._committed, self._wake_growth)

    @classmethod
    def open(
        cls,
        directory: Path,
        signer: Signer,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        files: Files | None = None,
    ) -> Ledger:
        """Lock, recover, publish what was recovered, and be ready. The log's origin is the signer's name. Blocks.

        Raises LockedLedgerError, DamagedLedgerError (the files contradict what was signed: delete nothing, run the
        verifier) or OSError.
        """
        files = files or Files()
        (directory / JOURNAL).mkdir(mode=0o750, parents=True, exist_ok=True)
        lock_fd = files.open(directory / "lock", os.O_RDWR | os.O_CREAT)
        try:
            if not files.lock(lock_fd):
                raise LockedLedgerError(f"another process writes {directory}")
            return cls(directory, signer, clock or SystemClock(), limits or Limits(), files, lock_fd)
        except BaseException:
            files.close(lock_fd)
            raise

    # Writing

    def append(self, leaf: bytes, sealed: bytes) -> asyncio.Future[Appended]:
        """Enqueue an entry; the future resolves once it is durable. Raises UnavailableError when it cannot be."""
        if self._closing:
            raise unavailable("the ledger is closed", "SHUTTING_DOWN")
        now = self._clock.monotonic_us()
        if now >= self._next_disk_check_us:
            self._next_disk_check_us = now + _DISK_CHECK_US
            self._short_of_disk = self._files.free_bytes(self._directory) < self._limits.reserve_bytes
        if self._short_of_disk:
            raise unavailable("the disk reserve is reached")
        return self._writer.append(leaf, sealed)

    async def wait(self, future: asyncio.Future[Appended], timeout_s: float | None = None) -> Appended:
        """Await an append within `Limits.wait_s`. Raises UnavailableError when it failed or is late.

        A late entry may still become durable: it then records an exchange that released nothing.
        """
        try:
            async with asyncio.timeout(self._limits.wait_s if timeout_s is None else timeout_s):
                return await future
        except TimeoutError as error:
            raise unavailable("the ledger is late") from error

    async def settled(self) -> None:
        """Wait until what is queued is durable, as far as it will be."""
        await self._writer.drain()

    async def aclose(self) -> None:
        """Write what is queued, publish it, release the lock. Appending is refused from now on."""
        if self._lock_fd < 0:
            return
        self._closing = True
        await self._writer.drain()
        while self.failure is None and (self._publishing or self._published != len(self)):
            self._publish()
            if self._publishing is not None:
                await asyncio.wait([self._publishing])
                await asyncio.sleep(0)
        if self._publish_timer is not None:
            self._publish_timer.cancel()
        self._wake_growth()
        self._threads.shutdown()
        self._segment.close()
        self._files.close(self._lock_fd)
        self._lock_fd = -1

    def _committed(self, group: list[Waiting]) -> None:
        self._history.add([w.leaf for w in group], [w.sealed for w in group])
        self._wake_growth()
        self._schedule_publish()

    # Publishing (in a thread; the order is in `publish.py`)

    def _schedule_publish(self) -> None:
        if self._publishing is not None or self._published == len(self) or self.failure is not None:
            return
        due_us = self._published_us + self._limits.publish_interval_us - self._clock.monotonic_us()
        if due_us <= 0 or len(self) - self._published >= self._limits.publish_entries:
            self._publish()
        elif self._publish_timer is None:
            self._publish_timer = asyncio.get_running_loop().call_later(due_us / 1e6, self._publish)

    def _publish(self) -> None:
        if self._publish_timer is not None:
            self._publish_timer.cancel()
            self._publish_timer = None
        if self._publishing is not None or self._published == len(self) or self.failure is not None:
            return
        base, leaves, sealed = self._history.tail()
        size = len(self)
        batch = Batch(base, self._published, size, leaves, sealed, self._tree.root(size), self._writer.checkpoint)
        self._writer.disk_is_busy = True
        self._publishing = asyncio.get_running_loop().run_in_executor(self._threads, self._publisher.publish, batch)
        self._publishing.add_done_callback(lambda done: self._publish_done(done, size))

    def _publish_done(self, done: asyncio.Future[None], size: int) -> None:
        self._publishing = None
        self._writer.disk_is_busy = False
        self._published_us = self._clock.monotonic_us()
        try:
            done.result()
            self._after_publish(size)
            self._segment.drop_covered(size)
        except Exception as error:
            self._writer.fail(error)
            return
        self._schedule_publish()

    def _after_publish(self, size: int) -> None:
        self._published = size
        self._history.trim(size)

    # Reading

    def __len__(self) -> int:
        """Entries that are durable."""
        return self._writer.size

    @property
    def origin(self) -> str:
        """The log's name, as in its checkpoints."""
        return self._origin

    @property
    def checkpoint(self) -> bytes:
        """The newest signed checkpoint whose entries are durable (a signed note)."""
        return self._writer.checkpoint

    @property
    def commits(self) -> int:
        """Groups written since the start: entries / commits is how well they group."""
        return self._writer.commits

    @property
    def failure(self) -> str | None:
        """Why the ledger is poisoned; None while it is sound."""
        return self._writer.failure

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """From entry `index` to the root of the first `size`. Raises ValueError outside what is durable."""
        return self._tree.inclusion_proof(index, self._durable(size))

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the tree of `old` entries is a prefix of that of `new`. Raises ValueError."""
        return self._tree.consistency_proof(old, self._durable(new))

    def entry(self, index: int) -> bytes:
        """A leaf's bytes. Raises IndexError."""
        return next(self.pairs(index, index + 1))[0]

    def sealed(self, index: int) -> bytes:
        """An entry's sealed part. Raises IndexError."""
        return next(self.pairs(index, index + 1))[1]

    def entries(self, start: int, end: int) -> list[bytes]:
        """Leaves of start..end. Raises IndexError."""
        return [leaf for leaf, _ in self.pairs(start, end)]

    def pairs(self, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """(leaf, sealed) of start..end; from any thread. Raises IndexError."""
        if not 0 <= start <= end <= len(self):
            raise IndexError(f"the ledger holds {len(self)} entries, not {start} to {end}")
        return self._history.pairs(start, end)

    async def grown(self, size: int) -> int:
        """Wait until more than `size` entries are durable; the new size. UnavailableError: none will come."""
        while len(self) <= size:
            if self._closing or self.failure is not None:
                raise unavailable(self.failure or "the ledger is closed")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._growth.add(waiter)
            try:
                await waiter
            finally:
                self._growth.discard(waiter)
        return len(self)

    def _durable(self, size: int) -> int:
        if size > len(self):
            raise ValueError(f"only {len(self)} entries are durable")
        return size

    def _wake_growth(self) -> None:
        for waiter in self._growth:
            if not waiter.done():
                waiter.set_result(None)
