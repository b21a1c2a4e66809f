"""What to do about one report, given what the broker holds: pure, so it can be shown before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from entente.access.v1 import access_pb2
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix.limits import MAX_REPORT_BYTES, breaches
from entente_sdk.stix.mapping import MappedReport
from entente_sdk.stix.merge import held_modified, merged
from entente_sdk.stix.objects import ObjectError
from entente_sdk.stix.rows import Outcome
from entente_sdk.stix.stamps import time_of

# What an amendment may name: the importer's part of a report.
_PATHS = ("title", "lines", "entities", "links", "themes", "period", "header.marks", "header.external_references")


@dataclass(frozen=True, slots=True)
class Held:
    """A report of one's own as the broker discloses it."""

    record_id: str
    etag: str
    report: report_pb2.Report
    retracted: bool = False
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """At most one of submit and amend, and after it retract where there is a reason. Nothing of it: nothing to do."""

    outcome: Outcome
    detail: str = ""
    held: Held | None = None
    submit: report_pb2.Report | None = None
    amend: report_pb2.Report | None = None
    paths: tuple[str, ...] = ()
    retract: str = ""


def held_from(disclosed: report_pb2.DisclosedReport) -> Held:
    """What a search for one's own reference has found."""
    report, header = disclosed.report, disclosed.report.header
    # A source's identity is for source handlers alone, and the importer writes none: the broker keeps what it hides.
    withheld = tuple(
        one.path for one in disclosed.disclosure.withheld if one.field_class != access_pb2.FIELD_CLASS_SOURCE
    )
    return Held(header.record_id, header.etag, report, header.state == record_pb2.RECORD_STATE_RETRACTED, withheld)


def decide(mapped: MappedReport, held: Held | None) -> Plan:
    """Submit, amend, retract or leave alone. Raises ObjectError where it cannot be said, or would not fit."""
    if held is None:
        outcome = Outcome.RETRACTED if mapped.retraction_reason else Outcome.SUBMITTED
        return Plan(outcome, mapped.retraction_reason, submit=mapped.report, retract=mapped.retraction_reason)
    if held.retracted:
        if mapped.retraction_reason:
            return Plan(Outcome.UNCHANGED, "retracted", held)
        return Plan(Outcome.HELD_RETRACTED, "a retracted report stays as it is", held)
    if held.withheld:
        raise ObjectError(
            f"you may not see all of your agency's own report: {', '.join(held.withheld[:5])} is withheld"
        )
    had = held_modified(held.report, mapped.stix_id)
    older = time_of(mapped.modified) < time_of(had)
    if mapped.retraction_reason and not older:
        return Plan(Outcome.RETRACTED, mapped.retraction_reason, held, retract=mapped.retraction_reason)
    target = merged(held.report, mapped)
    paths = changed_paths(held.report, target)
    if not paths:
        return Plan(Outcome.OLDER, f"held is of {had}", held) if older else Plan(Outcome.UNCHANGED, "", held)
    faults = list(breaches(target))
    if faults or target.ByteSize() > MAX_REPORT_BYTES:
        raise ObjectError("; ".join(faults[:5]) or f"with what is held it would have {target.ByteSize()} bytes")
    return Plan(Outcome.AMENDED, ", ".join(paths), held, amend=_only(target, paths), paths=paths)


def changed_paths(held: report_pb2.Report, target: report_pb2.Report) -> tuple[str, ...]:
    """The paths at which two reports differ, of those that the importer writes."""
    return tuple(path for path in _PATHS if _part(held, path) != _part(target, path))


def _only(target: report_pb2.Report, paths: tuple[str, ...]) -> report_pb2.Report:
    """A report with these paths and no others: the broker sets the rest of the head."""
    made = report_pb2.Report()
    for path in paths:
        part = _part(target, path)
        owner: Message = made
        name = path
        if path.startswith("header."):
            owner, name = made.header, path.removeprefix("header.")
        field = owner.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            getattr(owner, name).extend(part)
        elif isinstance(part, Message):
            if part.ByteSize():
                getattr(owner, name).CopyFrom(part)
        else:
            setattr(owner, name, part)
    return made


def _part(report: report_pb2.Report, path: str) -> object:
    if path.startswith("header."):
        return getattr(report.header, path.removeprefix("header."))
    return getattr(report, path)
