"""A whole run: against a broker of its own, with its ledger checked afterwards; or against another's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from entente_tlog import tiles
from entente_tlog.verify import verify_directory
from tests.attacks.suite import health, own, presented
from tests.attacks.suite.case import Case, End, Need, Result
from tests.attacks.suite.report import Report
from tests.attacks.suite.runner import run
from tests.attacks.suite.table import runnable, table
from tests.attacks.suite.target import Target
from tests.attacks.suite.wire import call_headers, framed
from tests.support.live import LiveBroker

# Connections that ended are closed by the broker within so long; then its open files are counted.
SETTLE_SECONDS = 10.0
LONG_LAST = "floods"


async def against(target: Target, cases: Sequence[Case] | None = None) -> Report:
    """Every case that the target's credentials allow."""
    chosen, left_out = runnable(table() if cases is None else cases, target.offers)
    await asyncio.to_thread(presented.warm)
    quick = [case for case in chosen if case.family != LONG_LAST]
    results = await run(target, quick)
    # All at once: most of their time is waiting.
    floods = [case for case in chosen if case.family == LONG_LAST]
    results += await run(target, floods, at_once=4) if floods else []
    await target.close()
    return Report(results, left_out)


Beside = Callable[[Target], Awaitable[tuple[list[str], list[str]]]]


async def own_broker(directory: Path, cases: Sequence[Case] | None = None, *, beside: Beside | None = None) -> Report:
    """The same against a broker that is started here, whose process and ledger are looked at too.

    `beside`: another judge of the same broker, before it is attacked; its notes and faults.
    """
    net = await asyncio.to_thread(own.prepare, directory)
    broker = LiveBroker(net)
    await asyncio.to_thread(broker.start)
    try:
        target = own.target(broker)
        target.offers -= await _not_offered(target)
        await target.good()
        await target.close()
        before = health.look(broker.pid)
        notes, faults = await beside(target) if beside else ([], [])
        report = await against(target, cases)
        report.notes += notes
        report.faults += faults
        after = await _settled(broker.pid, before)
        report.notes.append(f"before: {before}; after: {after}")
        report.faults += [one for one in (health.fault(before, after), *_log_faults(broker)) if one]
    finally:
        if broker.running():
            code = await asyncio.to_thread(broker.stop)
        else:
            code = -1
    if code != 0:
        report.faults.append(f"the broker ended with status {code}")
    _check_ledger(broker, report)
    if cases is None:
        report.require_counts()
    return report


async def _not_offered(target: Target) -> frozenset[Need]:
    """A broker that cannot revoke by a call is told so in the report."""
    from tests.attacks.suite.revocations import REVOKE
    from tests.attacks.suite.target import bearer

    connection = await target.shared()
    found = await connection.call(call_headers(REVOKE, bearer(target.identity.token())), framed(b""))
    return frozenset({Need.REVOCATION}) if found.reason == "METHOD_UNKNOWN" else frozenset()


async def _settled(pid: int, before: health.Health) -> health.Health:
    deadline = time.monotonic() + SETTLE_SECONDS
    found = await asyncio.to_thread(health.look, pid)
    while health.fault(before, found) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        found = await asyncio.to_thread(health.look, pid)
    return found


def _log_faults(broker: LiveBroker) -> list[str]:
    """What no input may cause: an unexpected exception, wherever it was caught."""
    return [f"the broker's log: {line[:200]}" for line in broker.log if "Traceback" in line or '"defect"' in line][:5]


def _check_ledger(broker: LiveBroker, report: Report) -> None:
    """Every refusal's exchange stands in the files, and the files hold under the log's key."""
    folder = broker.network.ledger
    verified = verify_directory(folder, broker.network.log_key)
    report.faults += [f"the ledger: {problem}" for problem in verified.problems[:5]]
    entries = _entries(folder, verified.size)
    missing = [one.case.name for one in report.results if _recorded(one) and one.observed.exchange_id not in entries]
    if missing:
        report.faults.append(f"{len(missing)} refusals are not on the ledger, such as {missing[0]}")
    report.notes.append(f"ledger: {verified.entries_verified} entries verified offline under the log's key")


def _recorded(result: Result) -> bool:
    return result.observed.end is End.REFUSED and not result.case.in_process


def _entries(folder: Path, size: int) -> str:
    """All leaves as one text, to look exchange ids up in."""
    found = []
    for number in range((size + tiles.WIDTH - 1) // tiles.WIDTH):
        width = min(tiles.WIDTH, size - number * tiles.WIDTH)
        raw = tiles.read_tile(folder, "entries", number, width)
        if raw is not None:
            found += [entry.decode() for entry in tiles.unpack_bundle(raw)[0]]
    return "\n".join(found)
