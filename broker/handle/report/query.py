"""A search, from the wire's conditions to the store's: normalised values, each with the class that must be released."""

from __future__ import annotations

from typing import Literal

from broker.domain import normal
from broker.domain.answer import Call
from broker.handle.report.index import KINDS, OPERATIONS, WORD_CLASSES, Kind
from broker.handle.report.translate import RECORD_TYPE
from broker.handle.times import microseconds
from broker.store.search import Conditions, ValueCondition
from entente.report.v1 import report_service_pb2

# Beside an entity, each would tell more of a record than a pointer may: what it says, when it changed.
_NARROWING: tuple[Literal["text", "operation", "external_reference", "updated_after", "updated_before"], ...] = (
    "text",
    "operation",
    "external_reference",
    "updated_after",
    "updated_before",
)


def conditions(call: Call, request: report_service_pb2.SearchReportsRequest) -> Conditions | None:
    """What must hold, or None where nothing can match: a condition whose normal form is empty."""
    values = []
    if request.HasField("entity"):
        values.append(_value(KINDS[request.entity.kind], request.entity.value))
    if request.HasField("operation"):
        values.append(_value(OPERATIONS, request.operation))
    words = tuple(sorted(normal.words(request.text)))
    if not all(value.value for value in values) or (request.HasField("text") and not words):
        return None
    reference = request.external_reference
    return Conditions(
        pointable=not any(request.HasField(name) for name in _NARROWING) and request.HasField("entity"),
        record_type=RECORD_TYPE,
        values=tuple(values),
        words=words,
        word_classes=WORD_CLASSES if words else (),
        originator=request.originator if request.HasField("originator") else None,
        after_us=microseconds(request.updated_after) if request.HasField("updated_after") else None,
        before_us=microseconds(request.updated_before) if request.HasField("updated_before") else None,
        reference=(str(call.caller.agency), reference.source, reference.reference)
        if request.HasField("external_reference")
        else None,
        include_retracted=request.include_retracted,
    )


def _value(kind: Kind, text: str) -> ValueCondition:
    return ValueCondition(kind.name, kind.normalise(text), kind.field_class)
