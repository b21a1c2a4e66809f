"""A newcomer to the network, and the two registrars who enrol it, over the wire of a running broker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.message import Message

from broker.decide.catalogue import MethodRule
from certs.authority import Authority
from certs.issuer import TokenIssuer, jwks_document
from certs.network import Party
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_pb2, enrolment_pb2
from entente.directory.v1 import enrolment_service_pb2 as wire
from tests.support.house import House, reason_of
from tests.support.live import party_named

SERVICE = "/entente.directory.v1.EnrolmentService/"
FIRST, SECOND = party_named["registrar"], party_named["second-registrar"]
ADMINISTRATOR = party_named["administrator"]
WHY = exchange_pb2.Justification(purpose=exchange_pb2.PURPOSE_ADMINISTRATION, case_reference="REG-7")

M = TypeVar("M", bound=Message)


@dataclass
class Newcomer:
    """An agency that is not on the network yet: its key, its issuer's key, and what it sends."""

    agency: str = field(default_factory=lambda: f"force-{uuid.uuid4().hex[:8]}")
    trust_domain: str = "police.example"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    issuer_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def name(self) -> str:
        return f"{self.trust_domain}/{self.agency}"

    @property
    def spiffe_id(self) -> str:
        return f"spiffe://{self.trust_domain}/agency/{self.agency}/gateway"

    @property
    def issuer(self) -> str:
        return f"https://issuer.{self.trust_domain}/{self.agency}"

    @property
    def fingerprint(self) -> str:
        digest = hashes.Hash(hashes.SHA256())
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest.update(self.key.public_key().public_bytes(*form))
        return digest.finalize().hex()

    def request(self, *names: x509.GeneralName, key: Any = None, **others: Any) -> str:
        """Its certificate request in PEM; `names` in place of its SPIFFE id, `extensions` beside it."""
        asked = names or (x509.UniformResourceIdentifier(self.spiffe_id),)
        builder = x509.CertificateSigningRequestBuilder().subject_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.agency)])
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(asked), critical=False)
        for extension in others.get("extensions", ()):
            builder = builder.add_extension(extension, critical=False)
        made = builder.sign(key or self.key, others.get("algorithm", hashes.SHA256()))
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def registration(self, **changes: Any) -> enrolment_pb2.IssuerRegistration:
        jwks = jwks_document([self.issuer_key.public_key()]).decode()
        given = {"agency": self.name, "url": self.issuer, "jwks": jwks, **changes}
        return enrolment_pb2.IssuerRegistration(**{name: value for name, value in given.items() if value})

    def enrolment(self, **changes: Any) -> enrolment_pb2.RegistryChange:
        """What is proposed for it."""
        agency = directory_pb2.Agency(
            name=self.name,
            display_name="Fenmoor Police",
            country="GB",
            level=directory_pb2.AGENCY_LEVEL_LOCAL,
            contact="desk@fenmoor.example",
        )
        whole = {"agency": agency, "certificate_request": self.request(), "issuer": self.registration(), **changes}
        return enrolment_pb2.RegistryChange(enrol_agency=enrolment_pb2.AgencyEnrolment(**whole))

    def certificate(self, house: House, request: str = "", **options: Any) -> str:
        """What the network's authority issues for its request."""
        authority = Authority.open(house.directory / "authority")
        pem = (request or self.request()).encode()
        return authority.sign_request(pem, self.trust_domain, self.agency, **options).decode()

    def channel(self, house: House, certificate: str) -> grpc.aio.Channel:
        """A connection with its own key."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        root = Authority.open(house.directory / "authority").root.read_bytes()
        credentials = grpc.ssl_channel_credentials(root, key, certificate.encode())
        return grpc.aio.secure_channel(house.broker.address, credentials, (("grpc.use_local_subchannel_pool", 1),))

    def token(self, certificate: str, **claims: Any) -> str:
        thumbprint = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA256())
        values: dict[str, Any] = {
            "roles": ("officer",),
            "clearance": "OFFICIAL",
            "purposes": ("INVESTIGATION",),
            "nationalities": ("GB",),
        }
        return TokenIssuer(self.issuer, self.issuer_key, thumbprint).mint("pc.juniper.vane", **{**values, **claims})


def appoint(agency: str, user: str, role: str = "auditor") -> enrolment_pb2.RegistryChange:
    """The proposal of an appointment."""
    return enrolment_pb2.RegistryChange(appoint=_appointment(agency, user, role))


def dismiss(agency: str, user: str, role: str = "auditor") -> enrolment_pb2.RegistryChange:
    """The proposal of its end."""
    return enrolment_pb2.RegistryChange(dismiss=_appointment(agency, user, role))


def _appointment(agency: str, user: str, role: str) -> enrolment_pb2.Appointment:
    return enrolment_pb2.Appointment(person=enrolment_pb2.Person(agency=agency, user=user), role=role)


@dataclass
class Registry:
    """The service, asked as one of the staff."""

    house: House

    async def ask(self, method: str, request: Message, answer: type[M], who: Party = FIRST, **claims: Any) -> M:
        """One call. Raises grpc.aio.AioRpcError."""
        request.justification.CopyFrom(WHY)  # type: ignore[attr-defined]
        if "idempotency_key" in request.DESCRIPTOR.fields_by_name and not request.idempotency_key:  # type: ignore[attr-defined]
            request.idempotency_key = str(uuid.uuid4())  # type: ignore[attr-defined]
        metadata = self.house.metadata(who, **claims)
        return answer.FromString(
            await self.house.unary(SERVICE + method, request.SerializeToString(), who, metadata=metadata)
        )

    async def propose(
        self, change: enrolment_pb2.RegistryChange, fingerprint: str = "", who: Party = FIRST, **claims: Any
    ) -> enrolment_pb2.Proposal:
        request = wire.ProposeChangeRequest(change=change, key_fingerprint=fingerprint or None)
        return (await self.ask("ProposeChange", request, wire.ProposeChangeResponse, who, **claims)).proposal

    async def approve(
        self, proposal: str, fingerprint: str = "", who: Party = SECOND, **claims: Any
    ) -> enrolment_pb2.Proposal:
        request = wire.ApproveProposalRequest(proposal_id=proposal, key_fingerprint=fingerprint or None)
        return (await self.ask("ApproveProposal", request, wire.ApproveProposalResponse, who, **claims)).proposal

    async def decide(self, change: enrolment_pb2.RegistryChange, fingerprint: str = "") -> enrolment_pb2.Proposal:
        """Propose it as the first registrar, approve it as the second."""
        proposal = await self.propose(change, fingerprint)
        return await self.approve(proposal.proposal_id, fingerprint)

    async def enrol(self, newcomer: Newcomer) -> enrolment_pb2.Proposal:
        """The whole enrolment but for the certificate."""
        return await self.decide(newcomer.enrolment(), newcomer.fingerprint)

    async def reject(self, proposal: str, who: Party = SECOND) -> enrolment_pb2.Proposal:
        request = wire.RejectProposalRequest(proposal_id=proposal)
        return (await self.ask("RejectProposal", request, wire.RejectProposalResponse, who)).proposal

    async def file(self, proposal: str, certificate: str, who: Party = FIRST) -> enrolment_pb2.CertificateOnFile:
        request = wire.FileCertificateRequest(proposal_id=proposal, certificate=certificate)
        return (await self.ask("FileCertificate", request, wire.FileCertificateResponse, who)).certificate

    async def get(self, proposal: str, who: Party = FIRST) -> enrolment_pb2.Proposal:
        request = wire.GetProposalRequest(proposal_id=proposal)
        return (await self.ask("GetProposal", request, wire.GetProposalResponse, who)).proposal

    async def refused(self, call: Any) -> str:
        """The reason for which a call is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return reason_of(caught.value).reason


async def prepared_request(house: House, rule: MethodRule) -> Any:
    """A request of an EnrolmentService method that will be granted to `by_whom`, with everything before it done."""
    registry, newcomer = Registry(house), Newcomer()
    request: Any = rule.request_type(justification=WHY)
    if rule.write:
        request.idempotency_key = str(uuid.uuid4())
    fields = request.DESCRIPTOR.fields_by_name
    if "change" in fields:
        request.change.CopyFrom(newcomer.enrolment())
        request.key_fingerprint = newcomer.fingerprint
    elif "certificate" in fields:
        request.proposal_id = (await registry.enrol(newcomer)).proposal_id
        request.certificate = newcomer.certificate(house)
    elif "proposal_id" in fields:
        proposal = await registry.propose(newcomer.enrolment(), newcomer.fingerprint)
        request.proposal_id = proposal.proposal_id
        if "key_fingerprint" in fields:
            request.key_fingerprint = newcomer.fingerprint
    elif "issuer" in fields:
        request.issuer.CopyFrom(newcomer.registration())
    return request


def by_whom(rule: MethodRule) -> Party:
    """Who may make that request: the approver is not the proposer."""
    return SECOND if rule.path.endswith("/ApproveProposal") else FIRST
