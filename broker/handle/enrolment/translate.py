"""Proposals and certificates between the store and the wire."""

from __future__ import annotations

from broker.domain.enrolment import CertificateOnFile, Person, Proposal
from broker.handle.times import timestamp
from entente.directory.v1 import enrolment_pb2


def proposal_message(proposal: Proposal, certificate: CertificateOnFile | None, now_us: int) -> enrolment_pb2.Proposal:
    """A proposal as it stands now, with the certificate that was filed for it.

    While it is open its key's fingerprint is not told: whoever approves is to hear it, not to copy it.
    """
    message = enrolment_pb2.Proposal(
        proposal_id=proposal.proposal_id,
        change=enrolment_pb2.RegistryChange.FromString(proposal.change),
        state=enrolment_pb2.ProposalState.Value(f"PROPOSAL_STATE_{proposal.state_at(now_us)}"),
        proposer=_person(proposal.proposer),
        propose_time=timestamp(proposal.propose_us),
    )
    if proposal.decide_us:
        message.decider.CopyFrom(_person(proposal.decider))
        message.decide_time.CopyFrom(timestamp(proposal.decide_us))
        if proposal.key_fingerprint:
            message.key_fingerprint = proposal.key_fingerprint
    if certificate is not None:
        message.certificate.CopyFrom(certificate_message(certificate, now_us))
    return message


def certificate_message(one: CertificateOnFile, now_us: int) -> enrolment_pb2.CertificateOnFile:
    """A certificate on file."""
    return enrolment_pb2.CertificateOnFile(
        thumbprint=one.thumbprint,
        spiffe_id=one.spiffe_id,
        agency=one.agency or None,
        expire_time=timestamp(one.not_after_us),
        days_left=one.days_left(now_us) or None,
    )


def _person(person: Person) -> enrolment_pb2.Person:
    return enrolment_pb2.Person(agency=person.agency, user=person.user)
