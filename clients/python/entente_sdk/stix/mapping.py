"""From a bundle to reports, purely: no broker is asked, nothing is random, the same bundle gives the same reports.

Each intrusion-set and campaign becomes one report: its name as title; an organisation or event with its aliases; its
description, names and relationships as graded lines; links to other groups and campaigns by name (sameness across
reports is not asserted). Every object of the bundle has a row that says what became of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from entente.common.v1 import marks_pb2, record_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix import leftovers
from entente_sdk.stix.bundle import Bundle
from entente_sdk.stix.limits import MAX_REPORT_BYTES, breaches
from entente_sdk.stix.lines import graded_lines, numbered, origin, references
from entente_sdk.stix.markings import Markings, markings_of
from entente_sdk.stix.objects import ObjectError, StixObject
from entente_sdk.stix.relations import (
    REPORTED,
    REVOKED_BY,
    Relation,
    entity_of,
    label,
    lines_of,
    link_of,
    period_of,
    relation_of,
)
from entente_sdk.stix.rows import Outcome, Row
from entente_sdk.stix.stamps import Stamp

SOURCE = "stix"
MODIFIED = "stix-modified"
DEPRECATED = "deprecated"
# Stands for the licence text in stamps: STIX has no object for it.
LICENCE = "licence--5f3b1c0e-6a57-4f0c-9d0e-2f6c1a7be0d4"


@dataclass(frozen=True, slots=True)
class Sharing:
    """Under which marks reports are shared; a stricter label in the bundle holds. `licence` goes with each report."""

    classification: marks_pb2.Classification.ValueType = marks_pb2.CLASSIFICATION_OFFICIAL
    tlp: marks_pb2.Tlp.ValueType = marks_pb2.TLP_CLEAR
    licence: str = ""


@dataclass(frozen=True, slots=True)
class MappedReport:
    """One object's report. `retraction_reason` is set where its maker has revoked it."""

    stix_id: str
    type: str
    name: str
    modified: str
    report: report_pb2.Report
    retraction_reason: str = ""

    def row(self, outcome: Outcome, detail: str = "", record_id: str = "") -> Row:
        """What became of it."""
        return Row(self.stix_id, self.type, self.name, outcome, detail, record_id)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Reports in the bundle's order, and a row for everything that is not a report of its own."""

    bundle: Bundle
    reports: tuple[MappedReport, ...]
    rows: tuple[Row, ...]

    def preview(self) -> list[Row]:
        """Every row, as if each report were a row too."""
        return [
            *(one.row(Outcome.REPORT, one.retraction_reason and f"to be retracted: {one.retraction_reason}")
              for one in self.reports),
            *self.rows,
        ]  # fmt: skip


@dataclass(slots=True)
class _Work:
    bundle: Bundle
    sharing: Sharing
    rows: list[Row]
    relations: dict[str, list[Relation]] = field(default_factory=lambda: defaultdict(list))
    named: set[str] = field(default_factory=set)


def map_bundle(bundle: Bundle, sharing: Sharing) -> Mapping:
    """Every report that the bundle yields, and what became of everything else."""
    work = _Work(bundle, sharing, list(bundle.rejected))
    for thing in bundle.objects.values():
        if thing.type == "relationship":
            _sort_relation(work, thing)
    reports = [made for thing in bundle.objects.values() if thing.type in REPORTED if (made := _try(work, thing))]
    work.rows += leftovers.rows_of(bundle, {*REPORTED, "relationship"}, work.named)
    return Mapping(bundle, tuple(reports), tuple(work.rows))


def _sort_relation(work: _Work, thing: StixObject) -> None:
    try:
        found = relation_of(work.bundle, thing)
        if isinstance(found, str):
            work.rows.append(_row(thing, Outcome.NOT_MAPPED, found))
            return
        _ = thing.modified, found.withdrawn, label(work.bundle, found, work.sharing.tlp)
        work.relations[found.owner.id].append(found)
    except ObjectError as error:
        work.rows.append(_row(thing, Outcome.FAILED, str(error)))


def _try(work: _Work, thing: StixObject) -> MappedReport | None:
    relations = work.relations[thing.id]
    try:
        made = _report(work, thing, relations)
    except ObjectError as error:
        work.rows.append(_row(thing, Outcome.FAILED, str(error)))
        work.rows += [_row(one.thing, Outcome.FAILED, f"the report of {thing.id} failed") for one in relations]
        return None
    for one in relations:
        outcome = Outcome.LINK if one.linked and not one.withdrawn else Outcome.LINE
        work.rows.append(_row(one.thing, outcome, f"in the report of {thing.id}"))
        work.named.add(one.far.id)
        work.named.update(one.thing.texts("object_marking_refs"))
    work.named.add(thing.text("created_by_ref"))
    work.named.update(thing.texts("object_marking_refs"))
    return made


def _report(work: _Work, thing: StixObject, relations: list[Relation]) -> MappedReport:
    if not thing.name.strip():
        raise ObjectError("name is missing")
    markings = markings_of(work.bundle, thing)
    tlp = max(work.sharing.tlp, markings.tlp)
    report = report_pb2.Report(title=thing.text("name"), themes=_themes(thing))
    report.header.marks.CopyFrom(
        marks_pb2.Marks(classification=work.sharing.classification, handling_code=marks_pb2.HANDLING_CODE_P, tlp=tlp)
    )
    report.header.external_references.extend(
        (
            record_pb2.ExternalReference(source=SOURCE, reference=thing.id),
            record_pb2.ExternalReference(source=MODIFIED, reference=f"{thing.id}@{thing.modified}"),
        )
    )
    period = period_of(thing, "first_seen", "last_seen")
    if period is not None:
        report.period.CopyFrom(period)
    report.lines.extend(_lines(work, thing, relations, markings, tlp))
    _link(work, report, thing, relations, tlp)
    numbered(report.lines, "line")
    numbered(report.links, "link")
    faults = list(breaches(report))
    if report.ByteSize() > MAX_REPORT_BYTES:
        faults.append(f"the report would have {report.ByteSize()} bytes; at most {MAX_REPORT_BYTES} fit")
    if faults:
        raise ObjectError("; ".join(faults[:5]))
    reason = _retraction_reason(work, thing) if thing.revoked else ""
    return MappedReport(thing.id, thing.type, thing.name, thing.modified, report, reason)


def _themes(thing: StixObject) -> list[str]:
    return [thing.type, *([DEPRECATED] if thing.deprecated else [])]


def _lines(
    work: _Work, thing: StixObject, relations: list[Relation], markings: Markings, tlp: marks_pb2.Tlp.ValueType
) -> Iterator[report_pb2.ReportLine]:
    aliases = _aliases(thing)
    said = "\n\n".join(text for text in (thing.text("description"), aliases) if text.strip())
    facts = [origin(work.bundle, thing)]
    contributors = thing.texts("x_mitre_contributors")
    if contributors:
        facts.append("Contributors: " + "; ".join(contributors))
    facts += [f"{when}: {cited}" for when, name in _SEEN.items() if (cited := thing.text(name))]
    facts += references(thing)
    yield from graded_lines(Stamp(thing.id, thing.modified), said or f"{thing.name}: no description was given.", facts)
    for relation in relations:
        yield from lines_of(work.bundle, relation, tlp)
    for marking_id, statement in markings.statements:
        yield from graded_lines(Stamp(marking_id), statement, ["The marking that the object bears."])
    if work.sharing.licence:
        yield from graded_lines(Stamp(LICENCE), work.sharing.licence, ["Given to the importer as the licence."])
    collection = work.bundle.collection
    if collection is not None:
        text = f"Part of the collection {collection.name} ({collection.id})."
        yield from graded_lines(Stamp(collection.id), text, [origin(work.bundle, collection)])


_SEEN = {"First seen": "x_mitre_first_seen_citation", "Last seen": "x_mitre_last_seen_citation"}


def _aliases(thing: StixObject) -> str:
    """The names with the citation that each rests on, where the object gives one."""
    names = list(dict.fromkeys((*thing.texts("aliases"), thing.name)))
    if len(names) < 2:
        return ""
    said = {one.get("source_name"): one.get("description") for one in thing.tables("external_references")}
    notes = [
        f"{name} {said[name]}" if isinstance(said.get(name), str) else name for name in names if name != thing.name
    ]
    return "Also known as: " + "; ".join(notes)


def _link(
    work: _Work, report: report_pb2.Report, thing: StixObject, relations: list[Relation], tlp: marks_pb2.Tlp.ValueType
) -> None:
    """Entities and links, in place. An entity that several relations name bears the loosest of their labels."""
    linked = [relation for relation in relations if relation.linked and not relation.withdrawn]
    labels: dict[str, marks_pb2.Tlp.ValueType] = {thing.id: marks_pb2.TLP_UNSPECIFIED}
    entities = {thing.id: entity_of(thing, whole=True)}
    for relation in linked:
        far, own = relation.far, label(work.bundle, relation, tlp)
        labels[far.id] = min(labels.get(far.id, own), own)
        entities.setdefault(far.id, entity_of(far, whole=False))
        report.links.append(link_of(work.bundle, relation, tlp))
    for stix_id, own in labels.items():
        if own:
            entities[stix_id].marks.tlp = own
    numbered(list(entities.values()), "entity")
    report.entities.extend(entities.values())
    for link in report.links:
        link.from_key, link.to_key = entities[link.from_key].key, entities[link.to_key].key


def _retraction_reason(work: _Work, thing: StixObject) -> str:
    successors = [
        f"{found.target.name} ({found.target.id})"
        for other in work.bundle.objects.values()
        if other.type == "relationship" and other.content.get("source_ref") == thing.id
        and other.content.get("relationship_type") == REVOKED_BY
        if isinstance(found := relation_of(work.bundle, other), Relation) and not found.withdrawn
    ]  # fmt: skip
    if not successors:
        return "Revoked by its maker, who names no successor."
    return f"Revoked by its maker and replaced by {', '.join(successors)}."[:2000]


def _row(thing: StixObject, outcome: Outcome, detail: str) -> Row:
    name = thing.name
    if thing.type == "relationship":
        kind, source, target = (
            str(thing.content.get(key, "")) for key in ("relationship_type", "source_ref", "target_ref")
        )
        name = f"{source} {kind} {target}"
    return Row(thing.id, thing.type, name, outcome, detail)
