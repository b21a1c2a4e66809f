"""One slot's log and all that hangs on it: opened and recovered together, closed in order.

Guarantees: what a crash left open in this log is closed on record: a write by its change row, a release as
indeterminate (audit invariant 10). Each slot closes its own; a slot that no worker holds is opened for it briefly.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path

from broker.audit.entry import Node
from broker.audit.files import Files
from broker.audit.log import Ledger
from broker.audit.projection import Projection
from broker.audit.reader import AuditReader
from broker.audit.recorder import Recorder
from broker.audit.scribe import Scribe
from broker.audit.seal import SealKeys
from broker.audit.siblings import Siblings
from broker.domain.clock import Clock
from broker.domain.errors import UnavailableError
from broker.domain.slot import Slot
from broker.store.audit_index import AuditIndex
from entente_tlog.note import Signer


class Keeper:
    """Opens in the constructor, which blocks. `was_written`: whether an exchange's write was carried out."""

    def __init__(
        self, data: Path, slot: Slot, signer: Signer, clock: Clock, files: Files, was_written: Callable[[str], bool]
    ) -> None:
        keys = SealKeys.open(data / "keys")
        self.ledger = Ledger.open(slot.ledger(data), signer, clock=clock, files=files)
        index = AuditIndex(slot.index(data))
        self.projection = Projection(self.ledger, keys, index)
        self._siblings = Siblings(data, slot)
        self.reader = AuditReader(self.ledger, self.projection, index, keys, self._siblings)
        self.recorder = Recorder(Scribe(self.ledger, keys, Node(signer.name, secrets.token_hex(8)), clock))
        self._clock = clock
        self._was_written = was_written

    async def start(self) -> None:
        """Close what an earlier run left open, and begin to keep the index and the outcomes."""
        await self.projection.start()
        await self.resolve(0)
        self.recorder.outcomes.start()

    async def resolve(self, older_than_us: int) -> None:
        """Close what was begun so long ago and has no outcome. Raises UnavailableError."""
        for exchange_id in await self.reader.open_releases(self._clock.now_us() - older_than_us):
            if self._was_written(exchange_id):
                self.recorder.outcomes.resolved(exchange_id, written=True)
            else:
                self.recorder.outcomes.unresolved(exchange_id)

    async def aclose(self) -> None:
        """Write what waits, publish it, let go of the log."""
        await self.recorder.outcomes.aclose()
        # The other workers' auditors read this log's index as far as its checkpoint goes: it may not stay behind.
        with contextlib.suppress(UnavailableError):
            await self.ledger.settled()
            await self.projection.caught_up(len(self.ledger))
        self._siblings.close()
        await self.projection.aclose()
        await self.ledger.aclose()
