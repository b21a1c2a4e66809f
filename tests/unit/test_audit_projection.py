"""The search index: finds by every filter, pages both ways, and equals its rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from broker.audit.entry import Entry, Node, Outcome, encode, outcome_entry
from broker.audit.log import Ledger
from broker.audit.projection import Projection
from broker.audit.reader import AuditItem, AuditQuery, AuditReader
from broker.audit.seal import SealKeys
from broker.domain.caller import AgencyId
from broker.domain.errors import UnavailableError
from broker.domain.exchange import DisclosureGroup, Exchange, Justification
from broker.store.audit_index import AuditIndex
from tests.support.ledgers import open_ledger
from tests.unit.test_audit_entry import CALLER

NODE = Node("broker-1", "0" * 32)
KEYS = SealKeys.generate()
ALL = AuditQuery(scope=None)
GET = "/entente.report.v1.ReportService/GetReport"


class SteppingClock:
    def __init__(self) -> None:
        self.us = 1_790_000_000_000_000

    def now_us(self) -> int:
        self.us += 1_000_000
        return self.us

    def monotonic_us(self) -> int:
        return self.us


@dataclass
class House:
    ledger: Ledger
    projection: Projection
    reader: AuditReader
    index: AuditIndex


def _entries() -> list[Entry]:
    made = []
    for number in range(30):
        agency = AgencyId("north.example", "police" if number % 3 else "customs")
        made.append(
            Entry(
                type="disclosure" if number % 5 else "denial",
                phase="release",
                exchange=Exchange(f"{number:032x}", GET, 1, 1, ""),
                caller=replace(CALLER, agency=agency, user=f"officer.{number % 2}"),
                justification=Justification("INVESTIGATION", case_reference=f"Case {number % 4}"),
                disclosures=(DisclosureGroup("p", "full", ((f"record-{number % 7}", 1),), ("a",), (), ()),),
                owners=("south.example/police",) if number % 2 else (),
                outcome="allowed" if number % 5 else "denied",
                status="OK" if number % 5 else "PERMISSION_DENIED",
                reason="" if number % 5 else "PURPOSE_NOT_PERMITTED",
            )
        )
    return made


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    ledger = open_ledger(tmp_path / "log")
    index = AuditIndex(tmp_path / "audit.db")
    projection = Projection(ledger, KEYS, index)
    await projection.start()
    clock = SteppingClock()
    for entry in _entries():
        encoded = encode(entry, node=NODE, clock=clock, keys=KEYS)
        await ledger.wait(ledger.append(encoded.leaf, encoded.sealed))
    closing = outcome_entry(Exchange("f" * 32, "/entente/outcomes", 1, 1, ""), [Outcome(f"{1:032x}", "allowed", "OK")])
    encoded = encode(closing, node=NODE, clock=clock, keys=KEYS)
    await ledger.wait(ledger.append(encoded.leaf, encoded.sealed))
    yield House(ledger, projection, AuditReader(ledger, projection, index, KEYS), index)
    await projection.aclose()
    await ledger.aclose()


async def found(house: House, **conditions: object) -> list[int]:
    page = await house.reader.search(replace(ALL, **conditions), limit=1000)  # type: ignore[arg-type]
    return sorted(item.index for item in page.items)


async def test_every_filter_finds_exactly_its_entries(house: House) -> None:
    numbers = range(30)
    assert await found(house) == list(range(31))
    assert await found(house, agency="north.example/customs") == [n for n in numbers if n % 3 == 0]
    assert await found(house, user="officer.1") == [n for n in numbers if n % 2]
    assert await found(house, method=GET) == list(numbers)
    assert await found(house, type="denial") == [n for n in numbers if n % 5 == 0]
    assert await found(house, outcome="denied", reason="PURPOSE_NOT_PERMITTED") == [n for n in numbers if n % 5 == 0]
    assert await found(house, purpose="INVESTIGATION") == list(numbers)
    assert await found(house, exchange_id=f"{4:032x}") == [4]
    assert await found(house, record_id="record-3") == [n for n in numbers if n % 7 == 3]
    assert await found(house, case_reference=" CASE 2 ") == [n for n in numbers if n % 4 == 2]
    assert await found(house, record_id="record-3", case_reference="Case 2") == [10]
    assert await found(house, record_id="record") == []


async def test_time_bounds_are_half_open(house: House) -> None:
    page = await house.reader.search(ALL, limit=1000)
    times = {item.index: item.row.time_us for item in page.items}
    assert await found(house, start_us=times[3], end_us=times[6]) == [3, 4, 5]


async def test_scope_is_own_deeds_and_own_records(house: House) -> None:
    """Audit invariant 17: an auditor sees only entries in scope."""
    assert await found(house, scope=("north.example/customs",)) == [n for n in range(30) if n % 3 == 0]
    assert await found(house, scope=("south.example/police",)) == [n for n in range(30) if n % 2]
    assert await found(house, scope=()) == []


async def test_pages_go_both_ways_without_gap_or_overlap(house: House) -> None:
    for newest_first in (True, False):
        seen: list[AuditItem] = []
        cursor: int | None = None
        while True:
            page = await house.reader.search(ALL, cursor=cursor, limit=7, newest_first=newest_first)
            seen += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        order = [item.index for item in seen]
        assert order == (list(range(30, -1, -1)) if newest_first else list(range(31)))
        assert all(item.leaf == house.ledger.entry(item.index) for item in seen)


async def test_a_records_history_says_who_saw_it(house: House) -> None:
    page = await house.reader.record_history("record-2", scope=None)
    assert [item.index for item in page.items] == [2, 9, 16, 23]
    assert page.items[0].parsed()["actor"]["user"] == "officer.0"


async def test_the_projection_equals_its_rebuild(house: House) -> None:
    """Audit invariant 11."""
    await house.projection.caught_up(31)
    before = await house.projection.run(house.index.dump)
    await house.projection.rebuild()
    await house.projection.caught_up(31)
    assert await house.projection.run(house.index.dump) == before


async def test_the_index_holds_no_record_id_or_case_reference(house: House, tmp_path: Path) -> None:
    """Audit invariant 15."""
    await house.projection.caught_up(31)
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("audit.db*"))
    assert b"officer.1" in raw
    assert b"record-3" not in raw
    assert b"Case 2" not in raw


async def test_detail_opens_for_the_auditor(house: House) -> None:
    assert house.reader.detail(6)["purpose"] == {"case_reference": "Case 2"}


async def test_open_releases_are_those_without_an_outcome(house: House) -> None:
    """Audit invariant 10."""
    opened = await house.reader.open_releases(2**60)
    assert sorted(int(exchange, 16) for exchange in opened) == [n for n in range(30) if n % 5 and n != 1]
    assert await house.reader.open_releases(0) == []


async def test_it_resumes_where_it_left_off(house: House, tmp_path: Path) -> None:
    await house.projection.caught_up(31)
    again = Projection(house.ledger, KEYS, AuditIndex(tmp_path / "audit.db"))
    await again.start()
    assert again.size == 31
    await again.aclose()


async def test_a_failing_index_refuses_readers_and_recovers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed fails loudly and tries again; meanwhile nobody is shown an index with a gap."""
    monkeypatch.setattr("broker.audit.projection._RETRY_S", 0.01)
    add = house.index.add

    def fail(_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(house.index, "add", fail)
    encoded = encode(_entries()[0], node=NODE, clock=SteppingClock(), keys=KEYS)
    await house.ledger.wait(house.ledger.append(encoded.leaf, encoded.sealed))
    with pytest.raises(UnavailableError):
        await house.projection.caught_up(len(house.ledger), timeout_s=0.3)
    monkeypatch.setattr(house.index, "add", add)
    await house.projection.caught_up(len(house.ledger), timeout_s=5.0)
