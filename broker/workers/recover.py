"""`python -m broker.workers.recover`: opens logs that no worker holds, closes what is open in them, and ends.

A slot that was used before and is not used now (there were more workers, or the last restart ended on another slot) may
hold releases without an outcome. They must not wait for somebody to use the slot again (audit invariant 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import structlog
import typer

from broker.audit.files import Files
from broker.audit.keeper import Keeper
from broker.config import Config, load
from broker.domain.clock import SystemClock
from broker.domain.slot import Slot
from broker.keys import log_signer
from broker.lines import log_to_stderr
from broker.store.store import Store

_logger = structlog.get_logger("entente.recover")


async def recover(config: Config, slots: Iterable[Slot]) -> None:
    """Open, close what is open, let go: one log after the other.

    Raises LockedLedgerError, DamagedLedgerError, UnavailableError, ValueError or OSError.
    """
    data, clock = config.broker.data, SystemClock()
    store = Store.open(data / "store.db", clock)
    try:
        for slot in slots:
            signer = log_signer(data, config.broker.name, slot)
            keeper = Keeper(data, slot, signer, clock, Files(), store.exchange_done)
            try:
                await keeper.start()
            finally:
                await keeper.aclose()
            _logger.info("slot_recovered", slot=slot.number, ledger_size=len(keeper.ledger))
    finally:
        store.close()


def main(config: Annotated[Path, typer.Option()], slot: Annotated[list[int], typer.Option()]) -> None:
    """Recover these slots."""
    log_to_stderr()
    asyncio.run(recover(load(config), [Slot(number) for number in slot]))


if __name__ == "__main__":
    application = typer.Typer(pretty_exceptions_enable=False)
    application.command()(main)
    application()
