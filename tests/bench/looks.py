"""What the watch costs a worker: a look, a glance, and taking in a change where much is revoked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broker.domain.clock import SystemClock
from broker.domain.standing import USER, Revocation, Target
from broker.identify.standing import Standing
from broker.store import registry, revocations
from broker.store.store import Store
from broker.watch import Watch

STANDING = 10_000


async def look_costs(directory: Path) -> str:
    """One line. Makes its own database in the directory."""
    clock = SystemClock()
    store = Store.open(directory / "looks.db", clock)
    watch = Watch(store, Standing(clock, store.revoked()), recheck=lambda: None, serving=_told)
    watch.look()
    look, glance = _each(watch.look), _each(watch.glance)
    await store.write(_revoke_many)
    started = time.perf_counter()
    watch.look()
    took = time.perf_counter() - started
    store.close()
    return (
        f"a look: {look:.1f} us; a glance before bytes are handed over: {glance:.1f} us; "
        f"a look that takes in a change where {STANDING:,} revocations stand: {took * 1e3:.1f} ms"
    )


async def _told(_: bool) -> None:
    return


def _revoke_many(tx: Any) -> None:
    for number in range(STANDING):
        seq = registry.add_change(tx.driver, "0" * 32, "REVOKED", "", 0)
        target = Target(USER, ("police.example/northshire", f"officer.{number}"))
        revocations.add(tx.driver, Revocation(f"{number:032x}", target, "", "", "", "", 0), seq)


def _each(work: Callable[[], None], times: int = 5000) -> float:
    """Microseconds for one."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times * 1e6
