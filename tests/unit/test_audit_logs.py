"""Many workers, many logs: an auditor who asks one of them reads all, loses nothing, and can prove each entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from broker.audit.entry import Entry, Node, encode
from broker.audit.log import Ledger
from broker.audit.projection import Projection
from broker.audit.published import PublishedLog
from broker.audit.reader import AuditQuery, AuditReader
from broker.audit.seal import SealKeys
from broker.domain.errors import UnavailableError
from broker.domain.exchange import Exchange
from broker.store.audit_index import AuditIndex
from entente_tlog.checkpoint import open_checkpoint
from entente_tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from entente_tlog.note import Signer, Verifier
from tests.support.ledgers import ROOMY
from tests.unit.test_audit_entry import CALLER
from tests.unit.test_audit_projection import SteppingClock

NODE = Node("broker-1", "0" * 32)
KEYS = SealKeys.generate()
ALL = AuditQuery(scope=None)
OWN, OTHER = (Signer(name, bytes([number] * 32)) for number, name in enumerate(("broker.example", "broker.example/1")))


@dataclass
class Worker:
    """One slot: its log, its index, and what feeds it."""

    ledger: Ledger
    projection: Projection
    index: AuditIndex
    directory: Path
    clock: SteppingClock

    async def write(self, *numbers: int) -> None:
        for number in numbers:
            entry = Entry(
                type="denial",
                phase="release",
                exchange=Exchange(f"{number:032x}", "/a.B/C", 1, 1, ""),
                caller=replace(CALLER, user=f"officer.{number % 2}"),
                outcome="denied",
            )
            encoded = encode(entry, node=NODE, clock=self.clock, keys=KEYS)
            await self.ledger.wait(self.ledger.append(encoded.leaf, encoded.sealed))

    async def close(self) -> None:
        await self.projection.caught_up(len(self.ledger))
        await self.projection.aclose()
        await self.ledger.aclose()


async def worker(directory: Path, signer: Signer, clock: SteppingClock) -> Worker:
    limits = replace(ROOMY, publish_interval_us=0)
    ledger = Ledger.open(directory, signer, limits=limits)
    index = AuditIndex(directory.with_suffix(".db"))
    made = Worker(ledger, Projection(ledger, KEYS, index), index, directory, clock)
    await made.projection.start()
    return made


@dataclass
class Pair:
    own: Worker
    other: Worker
    published: PublishedLog
    reader: AuditReader

    async def pages(self, size: int, *, newest_first: bool, query: AuditQuery = ALL) -> list[tuple[str, int]]:
        """Everything that a search finds, page by page: (log, index)."""
        found: list[tuple[str, int]] = []
        cursor: bytes | None = None
        while True:
            page = await self.reader.search(query, cursor=cursor, limit=size, newest_first=newest_first)
            found += [(item.log, item.index) for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Own log: 0, 2, 4, ...; the other: 1, 3, 5, ...; 300 each, so that bundles are full and partial."""
    clock = SteppingClock()
    own, other = await worker(tmp_path / "own", OWN, clock), await worker(tmp_path / "other", OTHER, clock)
    for number in range(0, 600, 2):
        await own.write(number)
        await other.write(number + 1)
    # What the other worker closes is published whole; only its files are read from here on.
    await other.close()
    index = AuditIndex(other.directory.with_suffix(".db"), feeds=False)
    published = PublishedLog(other.directory, Verifier.parse(str(OTHER.verifier)), index)
    yield Pair(own, other, published, AuditReader(own.ledger, own.projection, own.index, KEYS, lambda: (published,)))
    published.close()
    await own.close()


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_merge_both_logs_by_time_and_lose_nothing(pair: Pair, newest_first: bool) -> None:
    found = await pair.pages(77, newest_first=newest_first)
    expected = [(name, index) for index in range(300) for name in (OWN.name, OTHER.name)]
    assert found == (expected[::-1] if newest_first else expected)


async def test_a_clock_that_was_set_back_neither_loses_nor_repeats(pair: Pair) -> None:
    pair.own.clock.us -= 400_000_000
    await pair.own.write(*range(600, 640))
    for newest_first in (True, False):
        found = await pair.pages(7, newest_first=newest_first)
        assert len(found) == len(set(found)) == 640
        own = [index for log, index in found if log == OWN.name]
        assert own == sorted(own, reverse=newest_first)


async def test_what_is_written_between_two_pages_does_not_disturb_them(pair: Pair) -> None:
    first = await pair.reader.search(ALL, limit=500)
    await pair.own.write(600, 602)
    second = await pair.reader.search(ALL, cursor=first.next_cursor, limit=500)
    found = [(item.log, item.index) for item in (*first.items, *second.items)]
    assert len(found) == len(set(found)) == 600
    assert second.next_cursor is None
    assert second.sizes == ((OWN.name, 302), (OTHER.name, 300))


async def test_filters_hold_in_every_log(pair: Pair) -> None:
    found = await pair.pages(1000, newest_first=False, query=replace(ALL, user="officer.1"))
    assert found == [(OTHER.name, index) for index in range(300)]


@pytest.mark.parametrize("index", [0, 255, 256, 299])
async def test_entries_of_the_other_log_are_proven_under_its_own_checkpoint(pair: Pair, index: int) -> None:
    found = await pair.reader.head(OTHER.name)
    assert found is not None
    log, size, note = found
    head = open_checkpoint(note, [OTHER.verifier])
    assert (head.origin, head.size) == (OTHER.name, size)
    inclusion, consistency = await pair.reader.proofs(log, index, 17, size)
    verify_inclusion(leaf_hash(log.leaf(index)), index, size, inclusion, head.root)
    verify_consistency(17, size, pair.other.ledger._tree.root(17), head.root, consistency)


async def test_there_is_no_third_log(pair: Pair) -> None:
    assert await pair.reader.head("broker.example/2") is None


async def test_an_index_that_lags_refuses_instead_of_showing_a_gap(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.audit.published._CAUGHT_UP_S", 0.1)
    pair.published.index.clear()
    with pytest.raises(UnavailableError):
        await pair.reader.search(ALL)


async def test_a_checkpoint_of_another_key_shows_nothing(pair: Pair) -> None:
    path = pair.other.directory / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n300\n", b"\n200\n"))
    with pytest.raises(UnavailableError):
        await pair.reader.search(ALL)
    with pytest.raises(UnavailableError):
        await pair.reader.head(OTHER.name)


async def test_an_index_that_cannot_be_read_is_unavailable(pair: Pair) -> None:
    """A slot whose worker is only just making its index: refused for the moment, and no defect."""
    empty = pair.other.directory.with_name("made-just-now.db")
    empty.touch()
    unfinished = PublishedLog(pair.other.directory, Verifier.parse(str(OTHER.verifier)), AuditIndex(empty, feeds=False))
    reader = AuditReader(pair.own.ledger, pair.own.projection, pair.own.index, KEYS, lambda: (unfinished,))
    with pytest.raises(UnavailableError):
        await reader.search(ALL)
    unfinished.close()
