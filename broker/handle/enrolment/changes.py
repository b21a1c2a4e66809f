"""What may be proposed, and what approving it does: one class for each kind of change, all with the same face.

Guarantees: `require_admissible` is asked when a change is proposed, and again in the transaction that approves it, so
that nothing comes into force which the registry of that moment would not admit.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from broker.domain.directory import Agency, Appointment
from broker.domain.enrolment import RequestedKey
from broker.domain.issuer import RegisteredIssuer
from broker.handle.enrolment.adoption import read_adoption
from broker.handle.enrolment.conclusion import read_conclusion
from broker.handle.enrolment.examiners import Examiners
from broker.handle.enrolment.refusals import invalid, step_missing
from broker.store import directory, enrolments, revocations
from broker.store.prepared import Driver
from entente.directory.v1 import directory_pb2, enrolment_pb2

_COUNTRY = re.compile("[A-Z]{2}", re.ASCII)
_LONGEST_TEXT = 200


class Change(Protocol):
    """A proposed change, read."""

    @property
    def kind(self) -> str:
        """As the journal calls it."""
        ...

    @property
    def subject(self) -> str:
        """What it is about, in the journal and in the sealed detail."""
        ...

    @property
    def beneficiary(self) -> str:
        """The user who gains by it and must not decide on it; empty where nobody does."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the key that two people have to hear read back; empty where there is none."""
        ...

    def agency(self, driver: Driver) -> str:
        """The agency that it concerns."""
        ...

    def require_admissible(self, driver: Driver) -> None:
        """Raises RequestError."""
        ...

    def apply(self, driver: Driver, seq: int, now_us: int) -> None:
        """Put it in force, by the change with this number in the journal."""
        ...


def read(change: enrolment_pb2.RegistryChange, examiners: Examiners) -> Change:
    """A change from the wire. Raises RequestError where it says what no registry could admit."""
    match change.WhichOneof("change"):
        case "enrol_agency":
            return _enrolment(change.enrol_agency, examiners)
        case "register_issuer":
            return Registration(_issuer(change.register_issuer), examiners)
        case "appoint":
            return Appoint(_appointment(change.appoint, "change.appoint"), examiners.appointed_roles())
        case "dismiss":
            return Dismiss(_appointment(change.dismiss, "change.dismiss"))
        case "restore":
            return Restore(change.restore.revocation_id)
        case "conclude_agreement":
            return read_conclusion(change.conclude_agreement, examiners)
        case "adopt_policy":
            return read_adoption(change.adopt_policy, examiners)
    raise invalid("change", "say what is to change")


@dataclass(frozen=True, slots=True)
class Registration:
    """An issuer of an agency, or other keys of one."""

    issuer: RegisteredIssuer
    examiners: Examiners
    path: str = "change.register_issuer"
    kind: str = "ISSUER_REGISTERED"
    beneficiary: str = ""
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        return self.issuer.url

    def agency(self, _driver: Driver) -> str:
        return self.issuer.agency

    def require_admissible(self, driver: Driver) -> None:
        if not directory.exists(driver, self.issuer.agency):
            raise step_missing("the issuer's agency is not on the network; propose its enrolment first")
        self.require_free(driver)

    def require_free(self, driver: Driver) -> None:
        """The issuer is well-formed and speaks for nobody else."""
        if self.issuer.url in self.examiners.file_issuers:
            raise invalid(f"{self.path}.url", "it is in the operator's file, and is changed there")
        known = enrolments.find_issuer(driver, self.issuer.url)
        if known is not None and known.agency != self.issuer.agency:
            raise invalid(f"{self.path}.url", "this issuer speaks for another agency already")
        try:
            self.examiners.issuer(self.issuer)
        except ValueError as error:
            raise invalid(self.path, str(error)) from None

    def apply(self, driver: Driver, _seq: int, _now_us: int) -> None:
        enrolments.put_issuer(driver, self.issuer)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A new agency, with its first certificate request and its issuer."""

    new: Agency
    request: RequestedKey
    registration: Registration
    kind: str = "AGENCY_ENROLLED"
    beneficiary: str = ""

    @property
    def subject(self) -> str:
        return self.new.name

    @property
    def fingerprint(self) -> str:
        return self.request.fingerprint

    def agency(self, _driver: Driver) -> str:
        return self.new.name

    def require_admissible(self, driver: Driver) -> None:
        if directory.exists(driver, self.new.name):
            raise invalid("change.enrol_agency.agency.name", "there is an agency of this name already")
        if self.new.parent and not directory.exists(driver, self.new.parent):
            raise invalid("change.enrol_agency.agency.parent", "there is no such agency in the directory")
        self.registration.require_free(driver)

    def apply(self, driver: Driver, seq: int, now_us: int) -> None:
        # An agency of this name may have been in the operator's file once: neither its people nor issuers come back.
        directory.add_agency(driver, self.new)
        enrolments.drop_issuers(driver, self.new.name)
        self.registration.apply(driver, seq, now_us)


@dataclass(frozen=True, slots=True)
class Appoint:
    """A person gets a role that counts by appointment alone."""

    appointment: Appointment
    appointed_roles: frozenset[str]
    kind: str = "APPOINTED"
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        return f"{self.appointment.agency} {self.appointment.user} {self.appointment.role}"

    @property
    def beneficiary(self) -> str:
        return self.appointment.user

    def agency(self, _driver: Driver) -> str:
        return self.appointment.agency

    def require_admissible(self, driver: Driver) -> None:
        # `sub` is ASCII (OpenID Connect Core, section 2). Another name could look like one that is in office.
        if not self.appointment.user.isascii():
            raise invalid("change.appoint.person.user", "letters, digits and signs of ASCII, as in the token's `sub`")
        if self.appointment.role not in self.appointed_roles:
            roles = ", ".join(sorted(self.appointed_roles))
            raise invalid("change.appoint.role", f"it needs no appointment, or does not exist; those that do: {roles}")
        if not directory.exists(driver, self.appointment.agency):
            raise step_missing("the person's agency is not on the network; propose its enrolment first")
        if directory.appointed(driver, self.appointment):
            raise invalid("change.appoint", "this person holds this role already")

    def apply(self, driver: Driver, _seq: int, _now_us: int) -> None:
        directory.appoint(driver, self.appointment)


@dataclass(frozen=True, slots=True)
class Dismiss:
    """An appointment ends."""

    appointment: Appointment
    kind: str = "DISMISSED"
    beneficiary: str = ""
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        return f"{self.appointment.agency} {self.appointment.user} {self.appointment.role}"

    def agency(self, _driver: Driver) -> str:
        return self.appointment.agency

    def require_admissible(self, driver: Driver) -> None:
        match directory.appointed(driver, self.appointment):
            case "":
                raise invalid("change.dismiss", "this person does not hold this role")
            case "FILE":
                raise invalid("change.dismiss", "this appointment is in the operator's file, and ends there")

    def apply(self, driver: Driver, _seq: int, _now_us: int) -> None:
        directory.dismiss(driver, self.appointment)


@dataclass(frozen=True, slots=True)
class Restore:
    """A revocation is lifted."""

    revocation_id: str
    kind: str = "RESTORED"
    beneficiary: str = ""
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        return self.revocation_id

    def agency(self, driver: Driver) -> str:
        found = revocations.find(driver, self.revocation_id)
        return "" if found is None else found.agency

    def require_admissible(self, driver: Driver) -> None:
        if revocations.find(driver, self.revocation_id) is None:
            raise invalid("change.restore.revocation_id", "there is no such revocation, or it was lifted already")

    def apply(self, driver: Driver, seq: int, now_us: int) -> None:
        revocations.lift(driver, self.revocation_id, seq, now_us)


def _enrolment(wire: enrolment_pb2.AgencyEnrolment, examiners: Examiners) -> Enrolment:
    new = _agency(wire.agency)
    try:
        request = examiners.request(wire.certificate_request)
    except ValueError as error:
        raise invalid("change.enrol_agency.certificate_request", str(error)) from None
    if str(request.agency) != new.name:
        raise invalid("change.enrol_agency.certificate_request", f"it asks for {request.agency}, not for {new.name}")
    if request.bound not in ("", _digest(wire)):
        raise invalid("change.enrol_agency", "it is not what the agency signed with its key; ask it to send it again")
    issuer = _issuer(wire.issuer)
    if issuer.agency != new.name:
        raise invalid("change.enrol_agency.issuer.agency", "an agency is enrolled with its own issuer")
    return Enrolment(new, request, Registration(issuer, examiners, path="change.enrol_agency.issuer"))


def _digest(wire: enrolment_pb2.AgencyEnrolment) -> str:
    """SHA-256 of the enrolment without its certificate request, hexadecimal. Fields in order, no map: one encoding."""
    rest = enrolment_pb2.AgencyEnrolment()
    rest.CopyFrom(wire)
    rest.ClearField("certificate_request")
    return hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest()


def _agency(wire: directory_pb2.Agency) -> Agency:
    path = "change.enrol_agency.agency"
    for name in ("display_name", "contact"):
        text = getattr(wire, name)
        if not 0 < len(text) <= _LONGEST_TEXT or not text.isprintable() or text != text.strip():
            raise invalid(f"{path}.{name}", f"1 to {_LONGEST_TEXT} characters that can be printed, on one line")
    if not _COUNTRY.fullmatch(wire.country):
        raise invalid(f"{path}.country", "two capital letters, as in ISO 3166-1")
    level = directory_pb2.AgencyLevel.Name(wire.level) if wire.level in directory_pb2.AgencyLevel.values() else ""
    if level in ("", "AGENCY_LEVEL_UNSPECIFIED"):
        raise invalid(f"{path}.level", "local, regional, national or international")
    return Agency(
        wire.name, wire.display_name, wire.country, level.removeprefix("AGENCY_LEVEL_"), wire.parent, wire.contact
    )


def _issuer(wire: enrolment_pb2.IssuerRegistration) -> RegisteredIssuer:
    return RegisteredIssuer(wire.url, wire.agency, wire.jwks, wire.jwks_uri)


def _appointment(wire: enrolment_pb2.Appointment, path: str) -> Appointment:
    if not wire.person.user.isprintable() or wire.person.user != wire.person.user.strip():
        raise invalid(f"{path}.person.user", "as the agency's issuer names them, without spaces around it")
    return Appointment(wire.person.agency, wire.person.user, wire.role)
