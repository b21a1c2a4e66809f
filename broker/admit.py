"""A request's bytes become a checked message, or a typed refusal.

MUST refuse, with an entry like any other call:
1. bytes that do not parse, or text that is not UTF-8;
2. fields that this broker's schema does not know, at any depth: what it cannot classify it must not keep;
3. whatever breaks a rule of the protos (protovalidate), each path named (of a large request the first), no value
   repeated.
"""

from __future__ import annotations

from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from broker.decide.catalogue import MethodRule
from broker.domain.errors import RequestError
from broker.domain.exchange import Justification
from entente.common.v1 import exchange_pb2

# More would tell a caller no more than these do.
MAX_VIOLATIONS = 20
# Naming every fault of a large message takes a second for each 40 KB: above this only the first is named.
LISTED_BYTES = 8 * 1024


def admit(rule: MethodRule, raw: bytes) -> tuple[Message, Justification | None]:
    """The parsed, validated request and its justification.

    Raises:
        RequestError: REQUEST_MALFORMED, FIELD_UNKNOWN or REQUEST_INVALID, with the fields at fault.
    """
    message = parse(rule.request_type, raw)
    given = getattr(message, "justification", None)
    if given is None and rule.client_streaming:
        given = message.start.justification  # type: ignore[attr-defined]
    return message, None if given is None else justification(given)


def parse(kind: type[Message], raw: bytes) -> Message:
    """Parse and validate one message of a kind."""
    try:
        message = kind.FromString(raw)
    except DecodeError:
        raise RequestError(
            "REQUEST_MALFORMED",
            f"the bytes are not a {kind.DESCRIPTOR.full_name}; generate your client from the protos",
        ) from None
    unknown = unknown_path(message)
    if unknown is not None:
        raise RequestError(
            "FIELD_UNKNOWN",
            "the request holds a field that this broker does not know; use the broker's protos",
            fields=((unknown, "unknown field"),),
        )
    try:
        protovalidate.validate(message, fail_fast=len(raw) > LISTED_BYTES)
    except protovalidate.ValidationError as invalid:
        raise RequestError(
            "REQUEST_INVALID",
            "the request breaks the rules of its fields; each is named",
            fields=tuple(violation(v) for v in list(invalid.violations)[:MAX_VIOLATIONS]),
        ) from None
    return message


def violation(found: Any) -> tuple[str, str]:
    """(path, what is wrong) of one violation; the value itself is never repeated."""
    names = []
    for element in found.proto.field.elements if found.proto.field else ():
        names.append(element.field_name)
    return ".".join(names) or "(request)", str(found.proto.message or found.proto.rule_id)


def unknown_path(message: Message, prefix: str = "") -> str | None:
    """The path of a message that holds a field unknown to its descriptor, or None. Any depth."""
    if len(UnknownFieldSet(message)):
        return prefix or "(request)"
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        path = f"{prefix}.{field.name}" if prefix else field.name
        for child in value if field.is_repeated else (value,):
            found = unknown_path(child, path)
            if found is not None:
                return found
    return None


def justification(given: exchange_pb2.Justification) -> Justification:
    """The domain's form of a justification."""
    return Justification(
        purpose=exchange_pb2.Purpose.Name(given.purpose).removeprefix("PURPOSE_"),
        legal_basis=given.legal_basis,
        case_reference=given.case_reference,
        authoriser=given.authoriser,
        reason=given.reason,
        on_behalf_of=given.on_behalf_of,
    )
