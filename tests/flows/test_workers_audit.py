"""One inspector, two workers: whichever answers, the inspector reads both logs, and can prove each entry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio

from certs.network import BROKER_NAME
from entente.audit.v1 import audit_service_pb2 as audit
from entente.audit.v1 import explanation_service_pb2 as explanation
from entente.common.v1 import exchange_pb2
from entente_tlog.checkpoint import open_checkpoint
from entente_tlog.merkle import leaf_hash, verify_inclusion
from entente_tlog.note import Verifier
from tests.bench.seed import report as sample_report
from tests.support.exchanges import GET, SUBMIT, Remote, ask, getting, submission
from tests.support.live import LiveBroker, live_broker, party_named
from tests.support.workers import remote_to_each

INSPECTOR = party_named["auditor"]
AUDIT = "/entente.audit.v1.AuditService/"
LOGS = (BROKER_NAME, f"{BROKER_NAME}/1")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBroker]:
    with live_broker(tmp_path_factory.mktemp("workers") / "network", workers=2) as broker:
        yield broker


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def record(live: LiveBroker) -> str:
    """Written at one worker, then read once at each."""
    async with remote_to_each(live) as found:
        one, other = (found[log] for log in LOGS)
        record_id: str = (await ask(one, SUBMIT, submission(sample_report(1)))).message.record_id
        await ask(one, GET, getting(record_id))
        await ask(other, GET, getting(record_id))
    return record_id


@pytest_asyncio.fixture(loop_scope="module")
async def inspectors(live: LiveBroker) -> AsyncIterator[dict[str, Remote]]:
    """The inspector at each worker, by the worker's log."""
    async with remote_to_each(live, INSPECTOR) as found:
        yield found


def why() -> exchange_pb2.Justification:
    return exchange_pb2.Justification(purpose=exchange_pb2.PURPOSE_AUDIT, case_reference="INSPECTION 7")


async def history(at: Remote, record: str) -> audit.GetRecordHistoryResponse:
    """Once all three entries are found: what another worker wrote appears when it is published, within a second."""
    request = audit.GetRecordHistoryRequest(justification=why(), record_id=record)
    for _ in range(100):
        message: audit.GetRecordHistoryResponse = (
            await ask(at, AUDIT + "GetRecordHistory", request, INSPECTOR)
        ).message
        if len(message.entries) >= 3:
            break
        await asyncio.sleep(0.1)
    return message


@pytest.mark.parametrize("at", LOGS)
async def test_who_saw_a_record_is_told_from_both_logs(inspectors: dict[str, Remote], record: str, at: str) -> None:
    found = await history(inspectors[at], record)
    assert [(entry.log, entry.type) for entry in found.entries] == [
        (LOGS[0], "collection"),
        (LOGS[0], "disclosure"),
        (LOGS[1], "disclosure"),
    ]
    assert [one.log for one in found.log_sizes] == [at, *(log for log in LOGS if log != at)]


@pytest.mark.parametrize("at", LOGS)
async def test_each_worker_proves_entries_of_both_logs(
    live: LiveBroker, inspectors: dict[str, Remote], record: str, at: str
) -> None:
    keys = dict(zip(LOGS, live.network.logs.values(), strict=False))
    for entry in (await history(inspectors[at], record)).entries:
        request = audit.GetInclusionProofRequest(index=entry.index, log=entry.log)
        proven = (await ask(inspectors[at], AUDIT + "GetInclusionProof", request, INSPECTOR)).message
        head = open_checkpoint(proven.checkpoint.encode(), [Verifier.parse(keys[entry.log])])
        assert head.origin == entry.log
        verify_inclusion(leaf_hash(entry.leaf), entry.index, head.size, list(proven.inclusion), head.root)


async def test_pages_over_both_logs_repeat_and_lose_nothing(inspectors: dict[str, Remote], record: str) -> None:
    request = audit.SearchAuditEntriesRequest(justification=why(), type="disclosure", page_size=1)
    found: list[tuple[str, int]] = []
    while True:
        page = (await ask(inspectors[LOGS[0]], AUDIT + "SearchAuditEntries", request, INSPECTOR)).message
        found += [(entry.log, entry.index) for entry in page.entries]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(found) == len(set(found)) == 2


@pytest.mark.parametrize("at", LOGS)
async def test_what_one_worker_decided_another_explains(live: LiveBroker, at: str) -> None:
    """Its own person, from either log: the sealed detail of another's log opens too."""
    explain = "/entente.audit.v1.ExplanationService/ExplainExchange"
    async with remote_to_each(live) as found:
        other = next(log for log in LOGS if log != at)
        given = await ask(found[other], SUBMIT, submission(sample_report(7)))
        request = explanation.ExplainExchangeRequest(
            justification=exchange_pb2.Justification(purpose=exchange_pb2.PURPOSE_INVESTIGATION),
            exchange_id=given.exchange_id,
        )
        for _ in range(100):
            # What another worker wrote appears when it is published.
            with contextlib.suppress(grpc.aio.AioRpcError):
                told = (await ask(found[at], explain, request)).message.explanation
                break
            await asyncio.sleep(0.1)
    assert (told.outcome, told.method) == ("allowed", SUBMIT.removeprefix("/"))
    assert told.counted_roles
