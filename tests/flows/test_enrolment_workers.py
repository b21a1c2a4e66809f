"""What two people approve through one worker is in force in every worker."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import grpc

from certs.authority import Authority
from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire
from tests.support.enrolments import FIRST, SECOND, SERVICE, WHY, appoint, dismiss
from tests.support.exchanges import Remote
from tests.support.live import live_broker, party_named
from tests.support.workers import remote_to_each

SEARCH_AUDIT = "/entente.audit.v1.AuditService/SearchAuditEntries"
OFFICER = party_named["neighbourhood"]
AUDITOR = "sgt.fen.juniper"


async def decide(remote: Remote, change: object) -> None:
    """Propose and approve, through whatever worker this connection leads to."""
    proposing = wire.ProposeChangeRequest(
        justification=WHY,
        idempotency_key=str(uuid.uuid4()),
        change=change,  # type: ignore[arg-type]
    )
    raw = await remote.unary(SERVICE + "ProposeChange", proposing.SerializeToString(), FIRST)
    proposal = wire.ProposeChangeResponse.FromString(raw).proposal
    approving = wire.ApproveProposalRequest(
        justification=WHY, idempotency_key=str(uuid.uuid4()), proposal_id=proposal.proposal_id
    )
    await remote.unary(SERVICE + "ApproveProposal", approving.SerializeToString(), SECOND)


async def test_an_appointment_counts_in_every_worker_and_a_dismissal_ends_it_in_every_worker(tmp_path: Path) -> None:
    with live_broker(tmp_path / "network", workers=2) as live:
        files = Authority.open(live.network.directory / "authority").agency(*OFFICER.agency.split("/"))
        token = files.token_issuer().mint(AUDITOR, roles=("auditor",), clearance="OFFICIAL", purposes=("AUDIT",))
        request = audit_service_pb2.SearchAuditEntriesRequest(page_size=1)
        request.justification.purpose = exchange_pb2.PURPOSE_AUDIT

        async def reads(remote: Remote) -> bool:
            call = remote.channel(OFFICER).unary_unary(SEARCH_AUDIT)
            metadata = (("authorization", f"Bearer {token}"),)
            try:
                await call(request.SerializeToString(), metadata=metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.PERMISSION_DENIED:
                    raise
                return False
            return True

        async def everywhere(wanted: bool) -> float:
            """Seconds until every worker says so."""
            began = time.monotonic()
            while [await reads(remote) for remote in each.values()] != [wanted] * len(each):
                assert time.monotonic() - began < 10, "a worker has not learnt of it"
                await asyncio.sleep(0.01)
            return time.monotonic() - began

        async with remote_to_each(live) as each:
            office = Remote(live)
            assert await everywhere(False) < 10
            await decide(office, appoint(OFFICER.agency, AUDITOR))
            counted = await everywhere(True)
            await decide(office, dismiss(OFFICER.agency, AUDITOR))
            ended = await everywhere(False)
            await office.close()
        print(f"in force in {len(each)} workers: appointed after {counted:.3f} s, dismissed after {ended:.3f} s")
