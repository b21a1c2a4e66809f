"""Silent hits on the ledger: as long as no hit, found by their owners alone, and made anew from the ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from sqlalchemy import text

from broker.audit.entry import Node, canonical
from broker.audit.hits import hits_in, sealed_text
from broker.audit.log import Ledger
from broker.audit.projection import Projection
from broker.audit.reader import AuditQuery, AuditReader
from broker.audit.recorder import Recorder
from broker.audit.scribe import Scribe
from broker.audit.seal import SealKeys
from broker.decide.catalogue import Catalogue
from broker.domain.answer import Answer
from broker.domain.errors import HiddenError, RequestError
from broker.domain.exchange import Justification
from broker.domain.hit import ID_ROOM, MOST_HITS, SEARCH_ROOM, Looks, SilentHit
from broker.handle.audit.service import AuditHandlers
from broker.handle.cursor import Cursors
from broker.handle.hit.service import HitHandlers
from broker.release.projector import Released
from broker.store.audit_index import AuditIndex
from broker.store.audit_rows import IndexQuery
from broker.store.store import Store
from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import marks_pb2, record_pb2
from entente.report.v1 import hit_service_pb2, report_service_pb2
from tests.support.grants import NOBODY, a_call, a_caller, grant_all, grant_rows
from tests.support.ledgers import open_ledger
from tests.support.reports import NORTH, SOUTH, Desk, TickingClock, marks, open_store, report

KEYS = SealKeys.generate()
SEARCH = "/entente.report.v1.ReportService/SearchReports"
CATALOGUE = Catalogue.from_descriptors(report_service_pb2.DESCRIPTOR.services_by_name.values())
LONGEST = f"{'d' * 128}/{'a' * 64}"


def hit(number: int, originator: str = SOUTH) -> SilentHit:
    return SilentHit(f"{number:032x}", originator)


@pytest.mark.parametrize("room", [ID_ROOM, SEARCH_ROOM])
def test_the_sealed_text_is_as_long_with_hits_as_without(room: int) -> None:
    for count in range(MOST_HITS + 3):
        for originator in ("a.b/c", SOUTH, LONGEST):
            found = tuple(hit(number, originator) for number in range(count))
            sealed = sealed_text(Looks(room, found))
            assert len(sealed) == room
            assert len(canonical(sealed)) == room + 2
            kept = hits_in({"silent": sealed})
            # The newest, as many as there is room for; at least one, and whoever reads it sees that there were more.
            assert kept == found[: len(kept)]
            assert bool(kept) == bool(found)
            assert ("+" in sealed) == (len(kept) < count)


def test_most_hits_have_room() -> None:
    """Of agencies with names as they are; of the longest that there may be, one does."""
    assert len(hits_in({"silent": sealed_text(Looks(SEARCH_ROOM, tuple(map(hit, range(MOST_HITS)))))})) == MOST_HITS
    assert len(hits_in({"silent": sealed_text(Looks(ID_ROOM, (hit(1, LONGEST),)))})) == 1
    assert hits_in({}) == ()


@dataclass
class House:
    ledger: Ledger
    projection: Projection
    reader: AuditReader
    recorder: Recorder
    index: AuditIndex
    store: Store
    directory: Path

    async def look(self, agency: str, looks: Looks, *, refused: bool = False) -> str:
        """One call that looks for records; its exchange id."""
        visit = self.recorder.open(SEARCH, "ipv4:127.0.0.1:1")
        visit.rule, visit.caller, visit.request = CATALOGUE.find(SEARCH), a_caller(agency), b"request"
        visit.grant, visit.justification = NOBODY, Justification("INVESTIGATION")
        if refused:
            await self.recorder.refused(visit, HiddenError("NOT_FOUND", "none", looks=looks), StatusCode.NOT_FOUND)
        else:
            await self.recorder.released(visit, Answer(looks=looks), Released(b"response", ()))
        return visit.exchange.exchange_id

    async def hits_of(self, agency: str) -> list[str]:
        page = await self.reader.search(AuditQuery(scope=None, hits_of=agency), limit=1000)
        return [item.row.exchange_id for item in page.items]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = open_store(tmp_path / "store.db")
    ledger = open_ledger(tmp_path / "log")
    index = AuditIndex(tmp_path / "audit.db")
    projection = Projection(ledger, KEYS, index)
    await projection.start()
    reader = AuditReader(ledger, projection, index, KEYS)
    recorder = Recorder(Scribe(ledger, KEYS, Node("broker-1", "0" * 32), TickingClock()))
    yield House(ledger, projection, reader, recorder, index, store, tmp_path)
    await projection.aclose()
    await ledger.aclose()
    store.close()


@pytest.mark.parametrize("refused", [False, True])
async def test_an_entry_is_as_large_with_a_hit_as_without(house: House, refused: bool) -> None:
    """Leaf and sealed part; and the leaf says the same but for what each has anew."""
    room = ID_ROOM if refused else SEARCH_ROOM
    for found in ((), (hit(1),), tuple(map(hit, range(MOST_HITS + 1)))):
        await house.look(NORTH, Looks(room, found), refused=refused)
    pairs = list(house.ledger.pairs(0, 3))
    assert len({len(leaf) for leaf, _ in pairs}) == 1
    assert len({len(sealed) for _, sealed in pairs}) == 1
    anew = ("exchange_id", "time_utc", "monotonic_us", "duration_us", "sealed", "request_hash", "response_hash")
    leaves = [{name: value for name, value in json.loads(leaf).items() if name not in anew} for leaf, _ in pairs]
    assert leaves[0] == leaves[1] == leaves[2]


async def test_hits_are_told_to_their_owner_and_the_index_is_made_anew(house: House) -> None:
    one = await house.look(NORTH, Looks(SEARCH_ROOM, (hit(1), hit(2, "police.example/east"))))
    await house.look(NORTH, Looks(SEARCH_ROOM))
    other = await house.look(NORTH, Looks(ID_ROOM, (hit(1),)), refused=True)
    assert await house.hits_of(SOUTH) == [other, one]
    assert await house.hits_of("police.example/east") == [one]
    assert await house.hits_of(NORTH) == []
    dump = house.index.dump()
    await house.projection.rebuild()
    await house.projection.caught_up(len(house.ledger))
    assert house.index.dump() == dump
    assert await house.hits_of(SOUTH) == [other, one]


async def test_the_searching_agencys_auditor_learns_nothing_of_a_hit(house: House) -> None:
    """Nor by asking about the record; the owner's auditor and an inspector see it as what it is."""
    silent = record_pb2.RecordHeader(marks=marks("SECRET", fallback=marks_pb2.FALLBACK_SILENT))
    record_id = (await Desk(house.store, a_caller(SOUTH)).submit(report(header=silent))).record_id
    exchange = await house.look(NORTH, Looks(SEARCH_ROOM, (SilentHit(record_id, SOUTH),)))
    plain = await house.look(NORTH, Looks(SEARCH_ROOM))
    handlers = AuditHandlers(house.reader, Cursors(bytes(32)), house.store)

    async def entries(agency: str, role: str, request: object) -> dict[str, list[str]]:
        grant = replace(grant_rows(house.store, ()), roles=frozenset({role}))
        call = a_call(request, grant, caller=a_caller(agency, roles=frozenset({role})))  # type: ignore[arg-type]
        searching = isinstance(request, audit_service_pb2.SearchAuditEntriesRequest)
        answer = await (handlers.search_audit_entries(call) if searching else handlers.get_record_history(call))
        page = audit_service_pb2.SearchAuditEntriesResponse.FromString(answer.envelope)
        return {entry.exchange_id: list(entry.silent_hits) for entry in page.entries}

    everything = audit_service_pb2.SearchAuditEntriesRequest()
    about = audit_service_pb2.GetRecordHistoryRequest(record_id=record_id)
    found = audit_service_pb2.SearchAuditEntriesRequest(record_id=record_id)
    assert await entries(NORTH, "auditor", everything) == {plain: [], exchange: []}
    for request in (about, found):
        assert await entries(NORTH, "auditor", request) == {}
        assert await entries(SOUTH, "auditor", request) == {exchange: [record_id]}
        assert await entries(NORTH, "inspector", request) == {exchange: [record_id]}
    assert await entries(SOUTH, "auditor", everything) == {exchange: [record_id]}


async def test_a_hit_is_told_to_who_sees_the_record_alone(house: House) -> None:
    """Pages have no gap where others' hits lie between; retracted reports keep theirs."""
    south = Desk(house.store, a_caller(SOUTH))
    made = {}
    for level in ("OFFICIAL", "SECRET"):
        header = record_pb2.RecordHeader(marks=marks(level, fallback=marks_pb2.FALLBACK_SILENT))
        made[level] = await south.submit(report(level, header=header))
    exchanges: dict[str, list[str]] = {"OFFICIAL": [], "SECRET": []}
    for number in range(12):
        level = "OFFICIAL" if number % 4 == 0 else "SECRET"
        found = (SilentHit(made[level].record_id, SOUTH), SilentHit("e" * 32, "police.example/east"))
        exchanges[level].append(await house.look(NORTH, Looks(SEARCH_ROOM, found)))
    await south.retract(made["OFFICIAL"].record_id, made["OFFICIAL"].etag)
    handlers = HitHandlers(house.reader, Cursors(bytes(32)), house.store)
    low = [n for n, one in house.store.mark_sets(0) if one.classification == "OFFICIAL"]

    async def told(
        agency: str = SOUTH, *, high: bool = False, size: int = 100, record_id: str | None = None
    ) -> list[str]:
        grant = grant_all(house.store) if high else grant_rows(house.store, low)
        given: list[str] = []
        token = None
        while True:
            request = hit_service_pb2.ListHitsRequest(page_size=size, page_token=token, record_id=record_id)
            answer = await handlers.list_hits(a_call(request, grant, caller=a_caller(agency)))
            page = hit_service_pb2.ListHitsResponse.FromString(answer.envelope)
            for one in page.hits:
                assert (one.agency, one.contact, one.purpose) == (NORTH, "", 2)
                assert list(one.record_ids) in [[target.record_id] for target in made.values()]
            given += [one.exchange_id for one in page.hits]
            if not page.HasField("next_page_token"):
                return given
            assert len(page.hits) == size
            token = page.next_page_token

    for size in (1, 2, 3, 100):
        assert await told(size=size) == exchanges["OFFICIAL"][::-1]
    assert len(await told(high=True, size=5)) == 12
    assert await told(high=True, record_id=made["OFFICIAL"].record_id) == exchanges["OFFICIAL"][::-1]
    assert await told(NORTH, high=True) == []
    # Whose record was not hit is told nothing, even where it sees everything.
    assert await told("police.example/east", high=True) == []


async def test_a_page_of_many_hits_lets_other_calls_in_between(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is looked at for the caller; a thousand hits may be on sixteen thousand."""
    for look in range(12):
        await house.look(NORTH, Looks(SEARCH_ROOM, tuple(SilentHit(f"{look:016x}{n:016x}", SOUTH) for n in range(16))))
    handlers = HitHandlers(house.reader, Cursors(bytes(32)), house.store)
    turns, seen, shows = 0, [], handlers._shows

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def noted(*given: Any) -> bool:
        seen.append(turns)
        return shows(*given)

    monkeypatch.setattr(handlers, "_shows", noted)
    beside = asyncio.create_task(others())
    await handlers.list_hits(south_call(house, hit_service_pb2.ListHitsRequest()))
    beside.cancel()
    assert len(seen) >= 150
    assert max(seen.count(turn) for turn in set(seen)) <= 64


async def test_a_page_token_of_hits_serves_its_own_query_alone(house: House) -> None:
    south = Desk(house.store, a_caller(SOUTH))
    header = record_pb2.RecordHeader(marks=marks(fallback=marks_pb2.FALLBACK_SILENT))
    made = await south.submit(report(header=header))
    for _ in range(3):
        await house.look(NORTH, Looks(SEARCH_ROOM, (SilentHit(made.record_id, SOUTH),)))
    handlers = HitHandlers(house.reader, Cursors(bytes(32)), house.store)
    first = hit_service_pb2.ListHitsRequest(page_size=1)
    answer = await handlers.list_hits(south_call(house, first))
    token = hit_service_pb2.ListHitsResponse.FromString(answer.envelope).next_page_token
    other = hit_service_pb2.ListHitsRequest(page_size=1, page_token=token, record_id="f" * 32)
    with pytest.raises(RequestError, match="CURSOR_INVALID"):
        await handlers.list_hits(south_call(house, other))


def south_call(house: House, request: hit_service_pb2.ListHitsRequest):  # type: ignore[no-untyped-def]
    return a_call(request, grant_all(house.store), caller=a_caller(SOUTH))


async def test_an_index_that_knows_of_no_hits_is_read_as_one_without(house: House) -> None:
    """A slot that an earlier broker fed, and that no worker holds now."""
    await house.look(NORTH, Looks(SEARCH_ROOM, (hit(1),)))
    await house.projection.caught_up(1)
    with house.index._engine.begin() as connection:
        connection.execute(text("DROP TABLE hit"))
    older = AuditIndex(house.directory / "audit.db", feeds=False)
    assert older.search(IndexQuery(hits_of=SOUTH)) == []
    assert len(older.search(IndexQuery(with_hits=True))) == 1
    assert older.search(IndexQuery(record_blind=b"x", with_hits=True)) == []
    assert older.hitting([0]) == set()
    older.close()
