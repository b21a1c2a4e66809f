"""AuditService: each reader's scope, pages, and proofs that verify."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from google.protobuf.message import Message

from broker.audit.entry import Entry, Node, encode
from broker.audit.log import Ledger
from broker.audit.projection import Projection
from broker.audit.reader import AuditReader
from broker.audit.seal import SealKeys
from broker.domain.answer import Call
from broker.domain.errors import RequestError
from broker.domain.exchange import DisclosureGroup, Exchange, Justification, Withheld
from broker.domain.grant import StaleGrantError
from broker.handle.audit.service import AuditHandlers
from broker.handle.cursor import Cursors
from broker.store.audit_index import AuditIndex
from broker.store.store import Store
from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import exchange_pb2
from entente_tlog.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from tests.support.grants import a_call, a_caller, grant_rows
from tests.support.ledgers import open_ledger
from tests.support.reports import NORTH, SOUTH, Desk, TickingClock, open_store, report

GET = "/entente.report.v1.ReportService/GetReport"
WITHHELD = Withheld("internal_notes", "INTERNAL", "own_house_only", "ORIGINATOR_ONLY")


@dataclass
class House:
    handlers: AuditHandlers
    ledger: Ledger
    north_record: str
    south_record: str
    store: Store


def call(house: House, request: Message, agency: str = NORTH, role: str = "auditor") -> Call:
    """A call with a fresh grant in which the role counts."""
    grant = replace(grant_rows(house.store, ()), roles=frozenset({role}))
    return a_call(request, grant, caller=a_caller(agency, roles=frozenset({role})))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Entries 0-3: north reads its own; south reads north's; south reads its own; south reads both in one answer."""
    store = open_store(tmp_path / "store.db")
    north = (await Desk(store).submit(report("n"))).record_id
    south = (await Desk(store, a_caller(SOUTH)).submit(report("s"))).record_id
    ledger = open_ledger(tmp_path / "log")
    keys = SealKeys.generate()
    index = AuditIndex(tmp_path / "audit.db")
    projection = Projection(ledger, keys, index)
    await projection.start()
    read = [(NORTH, [north]), (SOUTH, [north]), (SOUTH, [south]), (SOUTH, [north, south])]
    for number, (agency, records) in enumerate(read):
        entry = Entry(
            type="disclosure",
            phase="release",
            exchange=Exchange(f"{number:032x}", GET, 1, 1, ""),
            caller=a_caller(agency),
            justification=Justification("INVESTIGATION", case_reference=f"case {number}"),
            disclosures=(
                DisclosureGroup("p", "redacted", tuple((one, 1) for one in records), ("title",), (WITHHELD,), ()),
            ),
            owners=tuple({north: NORTH, south: SOUTH}[one] for one in records),
        )
        encoded = encode(entry, node=Node("broker-1", "0" * 32), clock=TickingClock(), keys=keys)
        await ledger.wait(ledger.append(encoded.leaf, encoded.sealed))
    reader = AuditReader(ledger, projection, index, keys)
    yield House(AuditHandlers(reader, Cursors(bytes(32)), store), ledger, north, south, store)
    await projection.aclose()
    await ledger.aclose()
    store.close()


async def searched(house: House, who: str, role: str, **conditions: object) -> list[int]:
    request = audit_service_pb2.SearchAuditEntriesRequest(**conditions)  # type: ignore[arg-type]
    answer = await house.handlers.search_audit_entries(call(house, request, who, role))
    response = audit_service_pb2.SearchAuditEntriesResponse.FromString(answer.envelope)
    assert response.ledger_size == 4
    return [one.index for one in response.entries]


async def history(house: House, agency: str, role: str, record_id: str) -> list[int]:
    request = audit_service_pb2.GetRecordHistoryRequest(record_id=record_id)
    answer = await house.handlers.get_record_history(call(house, request, agency, role))
    return [one.index for one in audit_service_pb2.GetRecordHistoryResponse.FromString(answer.envelope).entries]


async def test_an_inspector_sees_all_and_an_auditor_own_deeds_and_own_records(house: House) -> None:
    assert await searched(house, NORTH, "inspector") == [3, 2, 1, 0]
    assert await searched(house, NORTH, "auditor") == [3, 1, 0]
    assert await searched(house, SOUTH, "auditor") == [3, 2, 1]
    assert await searched(house, "police.example/third", "auditor") == []


async def test_history_of_ones_own_record_is_whole_and_of_anothers_ones_own_deeds(house: House) -> None:
    assert await history(house, NORTH, "auditor", house.north_record) == [0, 1, 3]
    assert await history(house, SOUTH, "auditor", house.north_record) == [1, 3]
    # South read its own record in one answer with north's: that is not north's business.
    assert await history(house, NORTH, "auditor", house.south_record) == []
    assert await searched(house, NORTH, "auditor", record_id=house.south_record) == []
    assert await searched(house, NORTH, "auditor", record_id=house.south_record, agency=SOUTH) == []
    assert await history(house, NORTH, "inspector", house.south_record) == [2, 3]
    assert await history(house, NORTH, "auditor", "f" * 32) == []


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"agency": SOUTH}, [3, 2, 1]),
        ({"user": "officer-1", "type": "disclosure", "outcome": "allowed"}, [3, 2, 1, 0]),
        ({"method": GET}, [3, 2, 1, 0]),
        ({"method": GET[1:]}, [3, 2, 1, 0]),
        ({"method": "no/such"}, []),
        ({"purpose": exchange_pb2.PURPOSE_INVESTIGATION}, [3, 2, 1, 0]),
        ({"purpose": exchange_pb2.PURPOSE_FRAUD}, []),
        ({"reason": "NOT_FOUND"}, []),
        ({"exchange_id": f"{2:032x}"}, [2]),
        ({"case_reference": "Case 1"}, [1]),
    ],
    ids=str,
)
async def test_conditions_reach_the_index(house: House, conditions: dict, found: list[int]) -> None:
    assert await searched(house, NORTH, "inspector", **conditions) == found


async def test_an_entry_shows_its_leaf_and_what_was_withheld(house: House) -> None:
    request = audit_service_pb2.SearchAuditEntriesRequest(exchange_id=f"{1:032x}")
    answer = await house.handlers.search_audit_entries(call(house, request))
    (entry,) = audit_service_pb2.SearchAuditEntriesResponse.FromString(answer.envelope).entries
    assert entry.leaf == house.ledger.entry(1)
    assert (entry.index, entry.agency, entry.user, entry.method) == (1, SOUTH, "officer-1", GET[1:])
    assert entry.purpose == exchange_pb2.PURPOSE_INVESTIGATION
    (group,) = entry.disclosures
    assert (group.level, group.records, list(group.released)) == ("redacted", 1, ["title"])
    assert [(one.path, one.rule) for one in group.withheld] == [("internal_notes", "own_house_only")]
    assert house.north_record.encode() not in answer.envelope


async def test_entries_page_without_loss_and_tokens_are_bound(house: House) -> None:
    request = audit_service_pb2.SearchAuditEntriesRequest(page_size=3)
    first = audit_service_pb2.SearchAuditEntriesResponse.FromString(
        (await house.handlers.search_audit_entries(call(house, request, role="inspector"))).envelope
    )
    request.page_token = first.next_page_token
    second = audit_service_pb2.SearchAuditEntriesResponse.FromString(
        (await house.handlers.search_audit_entries(call(house, request, role="inspector"))).envelope
    )
    assert [one.index for one in (*first.entries, *second.entries)] == [3, 2, 1, 0]
    assert not second.next_page_token
    with pytest.raises(RequestError) as refusal:
        await house.handlers.search_audit_entries(call(house, request, SOUTH))
    assert refusal.value.reason == "CURSOR_INVALID"


async def test_proofs_verify_under_the_checkpoint(house: House) -> None:
    request = audit_service_pb2.GetInclusionProofRequest(index=2, consistent_with_size=3)
    answer = await house.handlers.get_inclusion_proof(call(house, request, role="officer"))
    proof = audit_service_pb2.GetInclusionProofResponse.FromString(answer.envelope)
    checkpoint = await house.handlers.get_checkpoint(call(house, audit_service_pb2.GetCheckpointRequest()))
    assert audit_service_pb2.GetCheckpointResponse.FromString(checkpoint.envelope).checkpoint == proof.checkpoint
    _, size, root = proof.checkpoint.splitlines()[:3]
    assert size == "4"
    new_root = base64.b64decode(root)
    verify_inclusion(leaf_hash(house.ledger.entry(2)), 2, 4, list(proof.inclusion), new_root)
    tree = Tree()
    for number in range(3):
        tree.append(leaf_hash(house.ledger.entry(number)))
    verify_consistency(3, 4, tree.root(), new_root, list(proof.consistency))


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"index": 4}, "index"),
        ({"index": 2**64 - 1}, "index"),
        ({"index": 0, "consistent_with_size": 5}, "consistent_with_size"),
        ({"index": 0, "log": "another.example"}, "log"),
    ],
)
async def test_proofs_beyond_the_ledger_are_refused(house: House, request_fields: dict, field: str) -> None:
    with pytest.raises(RequestError) as refusal:
        await house.handlers.get_inclusion_proof(
            call(house, audit_service_pb2.GetInclusionProofRequest(**request_fields))
        )
    assert refusal.value.fields[0][0] == field


async def test_a_role_that_does_not_count_gives_no_scope_and_a_stale_grant_is_decided_again(house: House) -> None:
    request = audit_service_pb2.SearchAuditEntriesRequest()
    claimed = call(house, request, role="inspector")
    unappointed = replace(claimed, grant=replace(claimed.grant, roles=frozenset()))
    answer = await house.handlers.search_audit_entries(unappointed)
    found = audit_service_pb2.SearchAuditEntriesResponse.FromString(answer.envelope)
    assert [one.index for one in found.entries] == [3, 1, 0]
    house.store.load_directory([], [])
    with pytest.raises(StaleGrantError):
        await house.handlers.search_audit_entries(claimed)
