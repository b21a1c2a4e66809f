"""What every method needs, read from the descriptors: there is no second list.

Guarantees: each method of each service has a complete rule, or the broker does not start. `find` knows nothing but
these: a path without a rule is an unknown method.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from broker.decide.vocabulary import FIELD_CLASSES, UNSPECIFIED
from entente.access.v1 import access_pb2

JUSTIFICATION = "entente.common.v1.Justification"
# Whoever may do this is asked about records, whether or not an answer holds one.
RECORD_PERMISSIONS = frozenset({"REPORT_READ", "REPORT_WRITE"})


@dataclass(frozen=True, slots=True)
class MethodRule:
    """The rule of one method. Names of permission and entry type without prefix.

    Args:
        path: as gRPC names it, `/entente.report.v1.ReportService/GetReport`.
        marked: it is about records with marks, so that its calls need a grant over mark sets.
    """

    path: str
    permission: str
    entry_type: str
    justification_exempt: bool
    write: bool
    client_streaming: bool
    server_streaming: bool
    request_type: type[Message]
    response_type: type[Message]
    marked: bool


class Catalogue:
    """The rules of all methods, and the names of all field classes."""

    field_classes: tuple[str, ...] = FIELD_CLASSES

    def __init__(self, rules: Mapping[str, MethodRule]) -> None:
        self._rules = dict(sorted(rules.items()))

    @classmethod
    def from_descriptors(cls, services: Iterable[ServiceDescriptor]) -> Catalogue:
        """Raises ValueError, naming the method, for one without a rule or with half of one."""
        rules: dict[str, MethodRule] = {}
        for service in services:
            marked = any(
                _has_portion(message, set())
                for method in service.methods
                for message in (method.input_type, method.output_type)
            )
            for method in service.methods:
                rule = _rule(service, method, marked=marked)
                rules[rule.path] = rule
        return cls(rules)

    def find(self, path: str) -> MethodRule | None:
        """The rule of a path, or None: there is no such method."""
        return self._rules.get(path)

    def __iter__(self) -> Iterator[MethodRule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)


def _rule(service: ServiceDescriptor, method: MethodDescriptor, *, marked: bool) -> MethodRule:
    path = f"/{service.full_name}/{method.name}"
    options = method.GetOptions()
    if not options.HasExtension(access_pb2.method):
        raise ValueError(f"{path} has no rule: set the option (entente.access.v1.method)")
    rule = options.Extensions[access_pb2.method]
    permission = _name(access_pb2.Permission, rule.permission, "PERMISSION_")
    entry_type = _name(access_pb2.EntryType, rule.entry_type, "ENTRY_TYPE_")
    if UNSPECIFIED in (permission, entry_type):
        raise ValueError(f"{path} has half a rule: it needs a permission and an entry type")
    if rule.justification_exempt != (not _asks_why(method.input_type)):
        raise ValueError(f"{path}: a request carries a justification, or its rule exempts it")
    return MethodRule(
        path=path,
        permission=permission,
        entry_type=entry_type,
        justification_exempt=rule.justification_exempt,
        write=rule.write,
        client_streaming=bool(method.client_streaming),
        server_streaming=bool(method.server_streaming),
        request_type=GetMessageClass(method.input_type),
        response_type=GetMessageClass(method.output_type),
        marked=marked or permission in RECORD_PERMISSIONS,
    )


def _name(enum: Any, number: int, prefix: str) -> str:
    return str(enum.Name(number)).removeprefix(prefix)


def _asks_why(request: Descriptor) -> bool:
    """Whether a request, or the first message of its stream, holds a justification."""
    nested = [field.message_type for field in request.fields if field.message_type is not None]
    inner = [field.message_type for message in nested for field in message.fields]
    return JUSTIFICATION in {message.full_name for message in (*nested, *inner) if message is not None}


def _has_portion(message: Descriptor, seen: set[str]) -> bool:
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    if message.GetOptions().Extensions[access_pb2.portion]:
        return True
    return any(_has_portion(field.message_type, seen) for field in message.fields if field.message_type is not None)
