"""Agreements between the store and the wire."""

from __future__ import annotations

from broker.domain.agreement import AgreementOnFile
from broker.handle.times import timestamp
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.directory.v1 import agreement_pb2, enrolment_pb2
from entente_agreement import Document, SignedDocument
from entente_agreement.document import REST

_SECOND_US = 1_000_000


def to_wire(one: AgreementOnFile, now_us: int, *, whole: bool) -> agreement_pb2.AgreementOnFile:
    """An agreement as it stands now. `whole`: with what its parties signed."""
    made = agreement_pb2.AgreementOnFile(
        agreement=agreement_message(_document(one)),
        state=agreement_pb2.AgreementState.Value(f"AGREEMENT_STATE_{state(one, now_us)}"),
        document=one.signed.document if whole and one.signed.document else None,
    )
    if one.withdrawal is not None:
        by = one.withdrawal.by
        made.withdrawer.CopyFrom(enrolment_pb2.Person(agency=by.agency, user=by.user))
        made.withdraw_time.CopyFrom(timestamp(one.withdrawal.time_us))
        made.withdraw_reason = one.withdrawal.reason
    return made


def state(one: AgreementOnFile, now_us: int) -> str:
    """Whether it is in force, as `AgreementState` without prefix."""
    if one.withdrawal is not None:
        return "WITHDRAWN"
    if now_us < one.signed.agreement.valid_from_us:
        return "PENDING"
    return "IN_FORCE" if now_us < one.signed.agreement.valid_until_us else "EXPIRED"


def agreement_message(document: Document) -> agreement_pb2.Agreement:
    """A document in the form of the API."""
    return agreement_pb2.Agreement(
        agreement_id=document.agreement_id,
        title=document.title or None,
        notes=document.notes,
        parties=document.parties,
        purposes=[exchange_pb2.Purpose.Value(f"PURPOSE_{name}") for name in document.purposes],
        record_types=document.record_types,
        classes=[_class_terms(name, transform) for name, transform in document.classes],
        ceiling=marks_pb2.Classification.Value(f"CLASSIFICATION_{document.ceiling}"),
        use=exchange_pb2.UseLimit.Value(f"USE_LIMIT_{document.use}"),
        onward=exchange_pb2.OnwardSharing.Value(f"ONWARD_SHARING_{document.onward}"),
        assurances=[agreement_pb2.Assurance.Value(f"ASSURANCE_{name}") for name in document.assurances],
        legal_bases=document.legal_bases,
        valid_from=timestamp(document.valid_from * _SECOND_US),
        valid_until=timestamp(document.valid_until * _SECOND_US),
    )


def _class_terms(name: str, transform: str) -> agreement_pb2.ClassTerms:
    return agreement_pb2.ClassTerms(
        field_class=None if name == REST else access_pb2.FieldClass.Value(f"FIELD_CLASS_{name}"),
        transform=agreement_pb2.ClassTransform.Value(f"CLASS_TRANSFORM_{transform}"),
    )


def _document(one: AgreementOnFile) -> Document:
    """What was signed; its title and notes are nowhere else."""
    if one.signed.document:
        return SignedDocument.parse(one.signed.document).document
    known = one.signed.agreement
    return Document(
        agreement_id=known.agreement_id,
        title="",
        notes=(),
        parties=tuple(sorted(known.parties)),
        purposes=tuple(sorted(known.purposes)),
        record_types=tuple(sorted(known.record_types)),
        classes=tuple(sorted(known.classes)),
        ceiling=known.ceiling,
        use=known.use,
        onward=known.onward,
        assurances=tuple(sorted(known.assurances)),
        legal_bases=tuple(sorted(known.legal_bases)),
        valid_from=known.valid_from_us // _SECOND_US,
        valid_until=known.valid_until_us // _SECOND_US,
    )
