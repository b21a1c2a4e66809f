"""EnrolmentService: changes of the registry, each by two people; certificates on file; issuers tested live.

Guarantees: a change, its row in the journal, the proposal's new state and the answer under its idempotency key are one
transaction; what was approved is in force in it, for every worker. A registrar sees everything, an administrator what
concerns the own agency. What was proposed and by whom is in the audit entry's sealed detail, never in its leaf.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import TypeVar, cast

from google.protobuf.message import Message

from broker.domain.answer import Answer, Call
from broker.domain.clock import Clock
from broker.domain.enrolment import (
    APPROVED,
    DAY_US,
    OPEN,
    REGISTRAR,
    REJECTED,
    CertificateOnFile,
    Person,
    Proposal,
)
from broker.domain.issuer import RegisteredIssuer
from broker.handle.cursor import Cursors, query_digest
from broker.handle.enrolment import changes, four_eyes
from broker.handle.enrolment.examiners import Examiners
from broker.handle.enrolment.probe_limit import ProbeLimit
from broker.handle.enrolment.refusals import closed, invalid, key_reused, not_found, step_missing, unregistered
from broker.handle.enrolment.translate import certificate_message, proposal_message
from broker.handle.times import timestamp
from broker.store import certificates, enrolments, policies, registry
from broker.store.drafts import Outcome
from broker.store.prepared import Driver
from broker.store.store import Store
from broker.store.write import WriteTransaction
from entente.directory.v1 import enrolment_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire

DEFAULT_PAGE = 100
# A page is cut where it would come near the 4 MiB that clients take: a proposal may hold 64 KiB of keys.
PAGE_BYTES = 3_500_000
_NEWEST = 2**63 - 1
_STATES = {
    number: name.removeprefix("PROPOSAL_STATE_") for name, number in enrolment_pb2.ProposalState.items() if number
}

Change = enrolment_pb2.RegistryChange
Request = TypeVar("Request", bound=Message)
Work = Callable[[Driver, int], tuple[str, Message, dict[str, str]]]


class EnrolmentHandlers:
    """The handlers, named after their methods."""

    def __init__(self, store: Store, cursors: Cursors, clock: Clock, examiners: Examiners) -> None:
        self._store, self._cursors, self._clock, self._examiners = store, cursors, clock, examiners
        self._probes = ProbeLimit(clock)

    async def propose_change(self, call: Call) -> Answer:
        """Put a change on file, for somebody else to approve."""
        request = cast(wire.ProposeChangeRequest, call.request)
        person = four_eyes.require_in_person(call)
        change = changes.read(request.change, self._examiners)
        four_eyes.require_disinterested(change, person)
        four_eyes.require_read_back(change, request.key_fingerprint)

        def work(driver: Driver, now_us: int) -> tuple[str, Message, dict[str, str]]:
            change.require_admissible(driver)
            proposal = Proposal(
                secrets.token_hex(16),
                request.change.SerializeToString(deterministic=True),
                change.agency(driver),
                change.fingerprint,
                OPEN,
                person,
                now_us,
            )
            seq = registry.add_change(driver, call.exchange.exchange_id, "PROPOSED", proposal.proposal_id, now_us)
            enrolments.add(driver, proposal, seq)
            response = wire.ProposeChangeResponse(proposal=proposal_message(proposal, None, now_us))
            return proposal.proposal_id, response, _told(change, "PROPOSED")

        return await self._once(call, request.idempotency_key, work)

    async def approve_proposal(self, call: Call) -> Answer:
        """Put somebody else's proposal in force."""
        request = cast(wire.ApproveProposalRequest, call.request)
        person = four_eyes.require_in_person(call)

        def work(driver: Driver, now_us: int) -> tuple[str, Message, dict[str, str]]:
            proposal = _found(driver, request.proposal_id)
            four_eyes.require_open(proposal, now_us)
            four_eyes.require_second_person(driver, proposal, person)
            change = changes.read(Change.FromString(proposal.change), self._examiners)
            four_eyes.require_disinterested(change, person)
            four_eyes.require_read_back(change, request.key_fingerprint)
            change.require_admissible(driver)
            seq = registry.add_change(driver, call.exchange.exchange_id, change.kind, change.subject, now_us)
            change.apply(driver, seq, now_us)
            policies.credit(driver, seq, proposal.proposal_id)
            decided = _closed(driver, proposal, APPROVED, person, now_us)
            response = wire.ApproveProposalResponse(proposal=proposal_message(decided, None, now_us))
            return proposal.proposal_id, response, _told(change, APPROVED)

        return await self._once(call, request.idempotency_key, work)

    async def reject_proposal(self, call: Call) -> Answer:
        """Close a proposal, one's own too."""
        request = cast(wire.RejectProposalRequest, call.request)
        person = four_eyes.require_in_person(call)

        def work(driver: Driver, now_us: int) -> tuple[str, Message, dict[str, str]]:
            proposal = _found(driver, request.proposal_id)
            four_eyes.require_open(proposal, now_us)
            registry.add_change(driver, call.exchange.exchange_id, REJECTED, proposal.proposal_id, now_us)
            decided = _closed(driver, proposal, REJECTED, person, now_us)
            response = wire.RejectProposalResponse(proposal=proposal_message(decided, None, now_us))
            return proposal.proposal_id, response, {"did": REJECTED, "agency": proposal.agency}

        return await self._once(call, request.idempotency_key, work)

    async def file_certificate(self, call: Call) -> Answer:
        """Put the certificate that answers an approved enrolment's request on file."""
        request = cast(wire.FileCertificateRequest, call.request)
        four_eyes.require_in_person(call)
        try:
            issued = self._examiners.certificate(request.certificate)
        except ValueError as error:
            raise invalid("certificate", str(error)) from None

        def work(driver: Driver, now_us: int) -> tuple[str, Message, dict[str, str]]:
            proposal = _found(driver, request.proposal_id)
            if proposal.state != APPROVED or not proposal.key_fingerprint:
                raise step_missing(
                    "a certificate is filed for an agency's enrolment that was approved; approve it first"
                )
            if issued.fingerprint != proposal.key_fingerprint:
                raise invalid("certificate", "it is for another key than the approved request's; have that one signed")
            if str(issued.agency) != proposal.agency:
                raise invalid("certificate", f"it names {issued.agency}, not {proposal.agency}")
            filed = CertificateOnFile(
                issued.thumbprint, proposal.agency, issued.spiffe_id, issued.not_after_us, proposal.proposal_id
            )
            registry.add_change(driver, call.exchange.exchange_id, "CERTIFICATE_FILED", issued.thumbprint, now_us)
            certificates.put_on_file(driver, filed)
            response = wire.FileCertificateResponse(certificate=certificate_message(filed, now_us))
            told = {"did": "CERTIFICATE_FILED", "agency": proposal.agency, "certificate": issued.thumbprint}
            return proposal.proposal_id, response, told

        return await self._once(call, request.idempotency_key, work)

    def get_proposal(self, call: Call) -> Answer:
        """One proposal. Raises HiddenError where there is none that concerns the caller."""
        request = cast(wire.GetProposalRequest, call.request)
        now_us, scope = self._clock.now_us(), self._scope(call)

        def read(driver: Driver) -> tuple[Proposal, CertificateOnFile | None]:
            proposal = _found(driver, request.proposal_id)
            if scope not in ("", proposal.agency):
                raise not_found()
            return proposal, certificates.of_proposal(driver, proposal.proposal_id)

        message = proposal_message(*self._store.look(read), now_us)
        return Answer(wire.GetProposalResponse(proposal=message).SerializeToString())

    def list_proposals(self, call: Call) -> Answer:
        """A page of proposals, newest first."""
        request = cast(wire.ListProposalsRequest, call.request)
        now_us, scope, query = self._clock.now_us(), self._scope(call), query_digest(request)
        below = self._cursors.open_number(call, query, request.page_token) if request.page_token else _NEWEST
        size, state = request.page_size or DEFAULT_PAGE, _STATES.get(request.state, "")

        def read(driver: Driver) -> list[tuple[int, Proposal, CertificateOnFile | None]]:
            found = enrolments.page(driver, below, size + 1, state=state, agency=scope, now_us=now_us)
            return [(seq, one, certificates.of_proposal(driver, one.proposal_id)) for seq, one in found]

        found = self._store.look(read)
        response, room, last = wire.ListProposalsResponse(), PAGE_BYTES, below
        for seq, one, filed in found[:size]:
            made = proposal_message(one, filed, now_us)
            room -= made.ByteSize()
            if room < 0:
                break
            response.proposals.append(made)
            last = seq
        if len(response.proposals) < len(found):
            response.next_page_token = self._cursors.seal_number(call, query, last)
        return Answer(response.SerializeToString())

    def list_certificates(self, call: Call) -> Answer:
        """A page of certificates that have not ended, those that end first before the others."""
        request = cast(wire.ListCertificatesRequest, call.request)
        now_us, scope, query = self._clock.now_us(), self._scope(call), query_digest(request)
        after = (now_us, "")
        if request.page_token:
            end, _, thumbprint = self._cursors.open(call, query, request.page_token).decode().partition(" ")
            after = (int(end), thumbprint)
        size = request.page_size or DEFAULT_PAGE
        until_us = now_us + request.within_days * DAY_US if request.HasField("within_days") else _NEWEST
        found = self._store.look(
            lambda driver: certificates.page(driver, after, size + 1, until_us=until_us, agency=scope)
        )
        token = None
        if len(found) > size:
            last = found[size - 1]
            token = self._cursors.seal(call, query, f"{last.not_after_us} {last.thumbprint}".encode())
        response = wire.ListCertificatesResponse(
            certificates=[certificate_message(one, now_us) for one in found[:size]], next_page_token=token
        )
        return Answer(response.SerializeToString())

    async def test_issuer(self, call: Call) -> Answer:
        """Fetch an issuer's keys now, and read them as strictly as for a token."""
        request = cast(wire.TestIssuerRequest, call.request)
        asked = request.issuer
        issuer = RegisteredIssuer(asked.url, asked.agency, asked.jwks, asked.jwks_uri)
        scope = self._scope(call)
        # The broker goes where this says: for whoever is no registrar, only where two registrars have let it.
        known = self._store.look(lambda driver: enrolments.find_issuer(driver, issuer.url))
        if scope and (scope != issuer.agency or known != issuer):
            raise unregistered()
        self._probes.take(str(call.caller.agency))
        found = await self._examiners.probe(issuer)
        response = wire.TestIssuerResponse(
            usable=found.usable,
            problem=found.problem or None,
            key_ids=found.key_ids,
            fetch_time=timestamp(found.fetched_us),
        )
        told = {"issuer": issuer.url, "jwks_uri": issuer.jwks_uri, "usable": str(found.usable)}
        return Answer(response.SerializeToString(), detail=told)

    def _scope(self, call: Call) -> str:
        """The agency to which the caller is confined; empty for a registrar. Raises StaleGrantError."""
        self._store.require_current(call.grant)
        return "" if REGISTRAR in call.grant.roles else str(call.caller.agency)

    async def _once(self, call: Call, key: str, work: Work) -> Answer:
        """Do the work and keep its answer under the idempotency key, or give the answer that is kept there."""
        agency, method = str(call.caller.agency), call.exchange.method
        # The person's too: one person's approval must not be answered to another as theirs.
        digest = hashlib.sha256(call.request_digest + call.caller.user.encode()).digest()

        def transaction(tx: WriteTransaction) -> Answer:
            tx.require_current(call.grant)
            tx.require_not_revoked(call.caller)
            kept = tx.recall(agency, method, key)
            if kept is not None:
                if kept.digest != digest:
                    raise key_reused()
                return Answer(kept.envelope, touched=((kept.record_id, kept.version),))
            now_us = self._clock.now_us()
            proposal_id, response, detail = work(tx.driver, now_us)
            envelope = response.SerializeToString()
            tx.remember(agency, method, key, Outcome(digest, envelope, proposal_id, 1), now_us)
            return Answer(envelope, touched=((proposal_id, 1),), detail={"proposal": proposal_id, **detail})

        return await self._store.write(transaction)


def _found(driver: Driver, proposal_id: str) -> Proposal:
    proposal = enrolments.find(driver, proposal_id)
    if proposal is None:
        raise not_found()
    return proposal


def _closed(driver: Driver, proposal: Proposal, state: str, person: Person, now_us: int) -> Proposal:
    """The proposal as it was just closed."""
    if not enrolments.close(driver, proposal.proposal_id, state, person, now_us):
        raise closed("closed")
    decided = enrolments.find(driver, proposal.proposal_id)
    assert decided is not None
    return decided


def _told(change: changes.Change, did: str) -> dict[str, str]:
    return {"did": did, "change": change.kind, "subject": change.subject}
