"""What to look for: conditions that must all hold, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from entente.audit.v1 import audit_service_pb2
from entente.common.v1 import exchange_pb2, record_pb2
from entente.report.v1 import report_service_pb2 as reports_pb2
from entente_sdk.errors import ConfigurationError
from entente_sdk.justification import PREFIX, Justification

_KINDS = ("name", "phone", "plate", "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportQuery:
    """Conditions on reports. Of `name`, `phone`, `plate` and `account` at most one; times need a time zone."""

    text: str | None = None
    name: str | None = None
    phone: str | None = None
    plate: str | None = None
    account: str | None = None
    originator: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    operation: str | None = None
    external_reference: tuple[str, str] | None = None
    include_retracted: bool = False

    def to_request(self) -> reports_pb2.SearchReportsRequest:
        """The wire's form without justification and page. Raises ConfigurationError."""
        request = reports_pb2.SearchReportsRequest(
            text=self.text,
            originator=self.originator,
            operation=self.operation,
            updated_after=timestamp(self.since),
            updated_before=timestamp(self.until),
            entity=self._entity(),
        )
        if self.include_retracted:
            request.include_retracted = True
        if self.external_reference is not None:
            source, reference = self.external_reference
            request.external_reference.CopyFrom(record_pb2.ExternalReference(source=source, reference=reference))
        return request

    def _entity(self) -> reports_pb2.EntityQuery | None:
        given = [(kind, value) for kind in _KINDS if (value := getattr(self, kind)) is not None]
        if len(given) > 1:
            raise ConfigurationError(f"search by one of {', '.join(_KINDS)}, not by {len(given)}", reason="QUERY")
        if not given:
            return None
        kind, value = given[0]
        return reports_pb2.EntityQuery(kind=reports_pb2.EntityKind.Value(f"ENTITY_KIND_{kind.upper()}"), value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Conditions on entries of the audit log; times need a time zone."""

    since: datetime | None = None
    until: datetime | None = None
    agency: str | None = None
    user: str | None = None
    method: str | None = None
    type: str | None = None
    outcome: str | None = None
    purpose: str | None = None
    reason: str | None = None
    exchange_id: str | None = None
    record_id: str | None = None
    case_reference: str | None = None

    def to_request(self) -> audit_service_pb2.SearchAuditEntriesRequest:
        """The wire's form without justification and page. Raises ConfigurationError."""
        return audit_service_pb2.SearchAuditEntriesRequest(
            start_time=timestamp(self.since),
            end_time=timestamp(self.until),
            agency=self.agency,
            user=self.user,
            method=self.method,
            type=self.type,
            outcome=self.outcome,
            purpose=self._purpose(),
            reason=self.reason,
            exchange_id=self.exchange_id,
            record_id=self.record_id,
            case_reference=self.case_reference,
        )

    def _purpose(self) -> exchange_pb2.Purpose.ValueType | None:
        if self.purpose is None:
            return None
        return exchange_pb2.Purpose.Value(PREFIX + Justification(self.purpose).purpose)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """UTC on the wire. Raises ConfigurationError for a time without a zone: it could mean two moments."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ConfigurationError(f"{moment.isoformat()} has no time zone; add one, such as Z", reason="QUERY")
    wire = Timestamp()
    wire.FromDatetime(moment)
    return wire
