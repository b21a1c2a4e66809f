"""What two people approve through one worker is in force in every worker."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from base64 import urlsafe_b64decode
from pathlib import Path

import grpc

from certs.authority import Authority
from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire
from entente.directory.v1.revocation_service_pb2 import RevocationTarget, RevokeRequest, TokenName
from tests.support.enrolments import FIRST, SECOND, SERVICE, WHY, appoint, dismiss
from tests.support.exchanges import WHO_AM_I, Remote
from tests.support.house import reason_of
from tests.support.live import live_broker, party_named
from tests.support.workers import remote_to_each

SEARCH_AUDIT = "/entente.audit.v1.AuditService/SearchAuditEntries"
REVOKE = "/entente.directory.v1.RevocationService/Revoke"
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


async def test_two_decisions_at_once_through_two_workers_are_one(tmp_path: Path) -> None:
    """four_eyes rule 6: approved twice, and approved while it is rejected, it is decided once."""
    with live_broker(tmp_path / "network", workers=2) as live:
        async with remote_to_each(live, SECOND) as each:
            first, second = each.values()
            for number in range(6):
                change = appoint(OFFICER.agency, f"sgt.fen.{number}")
                proposing = wire.ProposeChangeRequest(
                    justification=WHY, idempotency_key=str(uuid.uuid4()), change=change
                )
                raw = await first.unary(SERVICE + "ProposeChange", proposing.SerializeToString(), FIRST)
                proposal = wire.ProposeChangeResponse.FromString(raw).proposal.proposal_id
                other = "RejectProposal" if number % 2 else "ApproveProposal"
                answers = await asyncio.gather(
                    decided(first, "ApproveProposal", proposal), decided(second, other, proposal)
                )
                assert sorted(answers) == ["", "PROPOSAL_CLOSED"], answers


async def decided(remote: Remote, method: str, proposal: str) -> str:
    """The reason for which a decision is refused; empty where it counts."""
    kind = wire.RejectProposalRequest if method == "RejectProposal" else wire.ApproveProposalRequest
    request = kind(justification=WHY, idempotency_key=str(uuid.uuid4()), proposal_id=proposal)
    try:
        await remote.unary(SERVICE + method, request.SerializeToString(), SECOND)
    except grpc.aio.AioRpcError as error:
        return reason_of(error).reason
    return ""


async def test_one_revoked_token_is_refused_by_every_worker_and_the_next_one_counts(tmp_path: Path) -> None:
    with live_broker(tmp_path / "network", workers=2) as live:
        files = Authority.open(live.network.directory / "authority").agency(*OFFICER.agency.split("/"))

        def minted() -> str:
            return files.token_issuer().mint(OFFICER.user, roles=OFFICER.roles, clearance="OFFICIAL")

        async def called(remote: Remote, token: str) -> str:
            call = remote.channel(OFFICER).unary_unary(WHO_AM_I)
            try:
                await call(b"", metadata=(("authorization", f"Bearer {token}"),), timeout=20)
            except grpc.aio.AioRpcError as error:
                return reason_of(error).reason
            return ""

        async with remote_to_each(live) as each:
            lost, kept, office = minted(), minted(), Remote(live)
            token_id = json.loads(urlsafe_b64decode(lost.split(".")[1] + "=="))["jti"]
            assert [await called(remote, lost) for remote in each.values()] == ["", ""]
            request = RevokeRequest(
                justification=WHY,
                idempotency_key=str(uuid.uuid4()),
                target=RevocationTarget(token=TokenName(issuer=files.issuer, token_id=token_id)),
                reason="seen in a log",
            )
            await office.unary(REVOKE, request.SerializeToString(), FIRST)
            await office.close()
            # Committed is in force: no worker answers it once more, remembered as it is by each.
            assert [await called(remote, lost) for remote in each.values()] == ["TOKEN_REVOKED"] * 2
            assert [await called(remote, kept) for remote in each.values()] == ["", ""]
