"""The methods that the SDK calls: path and response type, derived from the generated descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from entente.audit.v1 import audit_service_pb2 as audit
from entente.audit.v1 import explanation_service_pb2 as explanation
from entente.directory.v1 import agreement_service_pb2 as agreements
from entente.directory.v1 import directory_service_pb2 as directory
from entente.directory.v1 import enrolment_service_pb2 as enrolment
from entente.directory.v1 import revocation_service_pb2 as revocation
from entente.policy.v1 import policy_service_pb2 as policy
from entente.policy.v1 import simulation_service_pb2 as simulation
from entente.report.v1 import audience_service_pb2 as audience
from entente.report.v1 import hit_service_pb2 as hits
from entente.report.v1 import report_service_pb2 as reports

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[M]):
    """One method on the wire."""

    path: str
    response: type[M]


def _method(file: FileDescriptor, name: str, response: type[M]) -> Method[M]:
    (service,) = file.services_by_name.values()
    found = service.methods_by_name[name]
    if found.output_type is not response.DESCRIPTOR:
        raise TypeError(f"{found.full_name} does not answer with {response.DESCRIPTOR.full_name}")
    return Method(f"/{service.full_name}/{name}", response)


SUBMIT = _method(reports.DESCRIPTOR, "SubmitReport", reports.SubmitReportResponse)
GET = _method(reports.DESCRIPTOR, "GetReport", reports.GetReportResponse)
SEARCH = _method(reports.DESCRIPTOR, "SearchReports", reports.SearchReportsResponse)
AMEND = _method(reports.DESCRIPTOR, "AmendReport", reports.AmendReportResponse)
RETRACT = _method(reports.DESCRIPTOR, "RetractReport", reports.RetractReportResponse)
LIST_VERSIONS = _method(reports.DESCRIPTOR, "ListReportVersions", reports.ListReportVersionsResponse)
SUBSCRIBE = _method(reports.DESCRIPTOR, "SubscribeReports", reports.SubscribeReportsResponse)

LIST_HITS = _method(hits.DESCRIPTOR, "ListHits", hits.ListHitsResponse)

WHO_AM_I = _method(directory.DESCRIPTOR, "WhoAmI", directory.WhoAmIResponse)
GET_AGENCY = _method(directory.DESCRIPTOR, "GetAgency", directory.GetAgencyResponse)
LIST_AGENCIES = _method(directory.DESCRIPTOR, "ListAgencies", directory.ListAgenciesResponse)

REVOKE = _method(revocation.DESCRIPTOR, "Revoke", revocation.RevokeResponse)
LIST_REVOCATIONS = _method(revocation.DESCRIPTOR, "ListRevocations", revocation.ListRevocationsResponse)

GET_AGREEMENT = _method(agreements.DESCRIPTOR, "GetAgreement", agreements.GetAgreementResponse)
LIST_AGREEMENTS = _method(agreements.DESCRIPTOR, "ListAgreements", agreements.ListAgreementsResponse)
WITHDRAW_AGREEMENT = _method(agreements.DESCRIPTOR, "WithdrawAgreement", agreements.WithdrawAgreementResponse)

PROPOSE_CHANGE = _method(enrolment.DESCRIPTOR, "ProposeChange", enrolment.ProposeChangeResponse)
APPROVE_PROPOSAL = _method(enrolment.DESCRIPTOR, "ApproveProposal", enrolment.ApproveProposalResponse)
REJECT_PROPOSAL = _method(enrolment.DESCRIPTOR, "RejectProposal", enrolment.RejectProposalResponse)
FILE_CERTIFICATE = _method(enrolment.DESCRIPTOR, "FileCertificate", enrolment.FileCertificateResponse)
GET_PROPOSAL = _method(enrolment.DESCRIPTOR, "GetProposal", enrolment.GetProposalResponse)
LIST_PROPOSALS = _method(enrolment.DESCRIPTOR, "ListProposals", enrolment.ListProposalsResponse)
LIST_CERTIFICATES = _method(enrolment.DESCRIPTOR, "ListCertificates", enrolment.ListCertificatesResponse)
TEST_ISSUER = _method(enrolment.DESCRIPTOR, "TestIssuer", enrolment.TestIssuerResponse)

EXPLAIN = _method(explanation.DESCRIPTOR, "ExplainExchange", explanation.ExplainExchangeResponse)
PREVIEW_AUDIENCE = _method(audience.DESCRIPTOR, "PreviewAudience", audience.PreviewAudienceResponse)
GET_POLICY = _method(policy.DESCRIPTOR, "GetPolicy", policy.GetPolicyResponse)
SIMULATE_CHANGE = _method(simulation.DESCRIPTOR, "SimulateChange", simulation.SimulateChangeResponse)

SEARCH_AUDIT = _method(audit.DESCRIPTOR, "SearchAuditEntries", audit.SearchAuditEntriesResponse)
RECORD_HISTORY = _method(audit.DESCRIPTOR, "GetRecordHistory", audit.GetRecordHistoryResponse)
CHECKPOINT = _method(audit.DESCRIPTOR, "GetCheckpoint", audit.GetCheckpointResponse)
INCLUSION_PROOF = _method(audit.DESCRIPTOR, "GetInclusionProof", audit.GetInclusionProofResponse)
