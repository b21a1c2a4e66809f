"""What an agreement may say, as far as it is known here: the protos' enums, and policy's tables where they are at hand.

The broker judges with its own policies when an agreement is concluded; here a slip is found before anybody signs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor

from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2, marks_pb2
from entente.directory.v1 import agreement_pb2
from entente.report.v1 import report_pb2
from entente_agreement import Document, Words
from entente_sdk.reports import enum_prefix
from entente_sdk.rules import policy_table

RECORDS = (report_pb2.Report.DESCRIPTOR,)


def legal_bases() -> dict[str, Any]:
    """The register of legal bases: code -> {text, country}. Empty where no policies are installed."""
    return policy_table("legal_bases")


def purposes() -> dict[str, Any]:
    """Operational purposes: name -> what policy says of each. Empty where no policies are installed."""
    return {name: said for name, said in policy_table("purposes").items() if said.get("operational") is True}


def known_words(document: Document | None = None) -> Words:
    """The words that are known here. Of what is not at hand, the document's own pass: the broker will judge them."""
    said = document or None
    table, bases = purposes(), frozenset(legal_bases())
    return Words(
        purposes=frozenset(table) or names(exchange_pb2.Purpose.DESCRIPTOR),
        court_purposes=frozenset(name for name, one in table.items() if one.get("court") is not False),
        classes=frozenset(_classes()),
        # Which classes stay with their originator is the broker's own to say.
        owner_classes=frozenset(),
        legal_bases=bases or frozenset(said.legal_bases if said is not None else ()),
        record_types=frozenset(record.name.lower() for record in RECORDS),
        transforms=names(agreement_pb2.ClassTransform.DESCRIPTOR),
        classifications=names(marks_pb2.Classification.DESCRIPTOR),
        uses=names(exchange_pb2.UseLimit.DESCRIPTOR),
        onwards=names(exchange_pb2.OnwardSharing.DESCRIPTOR),
        assurances=names(agreement_pb2.Assurance.DESCRIPTOR),
    )


def names(enum: EnumDescriptor) -> frozenset[str]:
    """An enum's values without prefix, the first (UNSPECIFIED) left out."""
    return frozenset(value.name.removeprefix(enum_prefix(enum)) for value in enum.values if value.number)


def _classes() -> Iterator[str]:
    """The classes that fields of records have."""
    seen: set[str] = set()
    waiting: list[Descriptor] = list(RECORDS)
    while waiting:
        message = waiting.pop()
        if message.full_name in seen:
            continue
        seen.add(message.full_name)
        for field in message.fields:
            number = field.GetOptions().Extensions[access_pb2.field_class]
            if number not in (access_pb2.FIELD_CLASS_UNSPECIFIED, access_pb2.FIELD_CLASS_ENVELOPE):
                yield access_pb2.FieldClass.Name(number).removeprefix("FIELD_CLASS_")
            if field.message_type is not None:
                waiting.append(field.message_type)
