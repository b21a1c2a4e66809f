"""What a relationship becomes in a report: a graded line, and a typed link where both ends fit POLE.

| relationship | in the report of | becomes |
|---|---|---|
| uses malware or tool | its source | a line |
| attributed-to, related-to, duplicate-of, targets between reported objects | its source | a line, an entity, a link |
| revoked-by between reported objects | its target, the successor | a line, an entity, a link REPLACED_BY |
| anything else | - | not mapped, with a reason |
"""

from __future__ import annotations

from dataclasses import dataclass

from entente.common.v1 import date_pb2, entity_pb2, marks_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix.bundle import Bundle
from entente_sdk.stix.limits import LINK_DESCRIPTION
from entente_sdk.stix.lines import graded_lines, grading, known_as, origin, references
from entente_sdk.stix.markings import markings_of
from entente_sdk.stix.objects import ObjectError, StixObject, moment
from entente_sdk.stix.stamps import Stamp

REPORTED = ("intrusion-set", "campaign")
SOFTWARE = ("malware", "tool")
REVOKED_BY = "revoked-by"
LINK_TYPES: dict[str, entity_pb2.LinkType.ValueType] = {
    "attributed-to": entity_pb2.LINK_TYPE_ATTRIBUTED_TO,
    "related-to": entity_pb2.LINK_TYPE_RELATED_TO,
    "duplicate-of": entity_pb2.LINK_TYPE_SAME_AS,
    "targets": entity_pb2.LINK_TYPE_TARGETS,
    REVOKED_BY: entity_pb2.LINK_TYPE_REPLACED_BY,
}


@dataclass(frozen=True, slots=True)
class Relation:
    """A relationship that a report holds. `owner` is the object in whose report it stands, `far` its other end."""

    thing: StixObject
    source: StixObject
    target: StixObject
    type: str

    @property
    def owner(self) -> StixObject:
        return self.target if self.type == REVOKED_BY else self.source

    @property
    def far(self) -> StixObject:
        return self.source if self.type == REVOKED_BY else self.target

    @property
    def linked(self) -> bool:
        """Whether both ends are entities."""
        return self.far.type in REPORTED

    @property
    def withdrawn(self) -> bool:
        """Whether its maker no longer asserts it: the line says so, and there is no link."""
        return self.thing.revoked or self.thing.deprecated


def relation_of(bundle: Bundle, thing: StixObject) -> Relation | str:
    """The relation, or why it is not mapped. Raises ObjectError for a malformed one."""
    kind, source_id, target_id = (thing.text(name) for name in ("relationship_type", "source_ref", "target_ref"))
    if not (kind and source_id and target_id):
        raise ObjectError("relationship_type, source_ref and target_ref are needed")
    source_type, target_type = source_id.partition("--")[0], target_id.partition("--")[0]
    between = f"{kind} from {source_type} to {target_type}"
    uses = kind == "uses" and source_type in REPORTED and target_type in SOFTWARE
    if not uses and not (kind in LINK_TYPES and source_type in REPORTED and target_type in REPORTED):
        return f"{between}: not between groups, campaigns and the software they use"
    source, target = bundle.objects.get(source_id), bundle.objects.get(target_id)
    if source is None or target is None:
        return f"{between}: {source_id if source is None else target_id} is not in the bundle"
    return Relation(thing, source, target, kind)


def lines_of(bundle: Bundle, relation: Relation, floor: marks_pb2.Tlp.ValueType) -> list[report_pb2.ReportLine]:
    """The graded lines, with the strictest label of the relationship and its far end. Raises ObjectError."""
    thing = relation.thing
    said = thing.text("description")
    ids = known_as(relation.far)
    target = f"{relation.target.name} ({ids})" if ids and relation.far is relation.target else relation.target.name
    kind = f" the {relation.target.type}" if relation.target.type in SOFTWARE else ""
    head = f"{relation.source.name} {_VERBS.get(relation.type, relation.type)}{kind} {target}."
    if relation.withdrawn:
        head = f"No longer asserted by its maker: {head}"
    facts = [origin(bundle, thing), *references(thing)]
    information = f"{head} {said}" if said.strip() else head
    return graded_lines(Stamp(thing.id, thing.modified), information, facts, label(bundle, relation, floor))


_VERBS = {
    "uses": "uses",
    "attributed-to": "is attributed to",
    "related-to": "is related to",
    "duplicate-of": "is said to be the same as",
    "targets": "targets",
    REVOKED_BY: "was replaced by",
}


def link_of(bundle: Bundle, relation: Relation, floor: marks_pb2.Tlp.ValueType) -> entity_pb2.Link:
    """The link, its ends named by STIX ids for the caller to replace by keys. Raises ObjectError."""
    thing = relation.thing
    text = f"{Stamp(thing.id, thing.modified)}\n{thing.text('description')}".rstrip("\n")
    link = entity_pb2.Link(
        from_key=relation.source.id,
        to_key=relation.target.id,
        type=LINK_TYPES[relation.type],
        # The line beside it holds the whole text where the link cannot.
        description=text if len(text) <= LINK_DESCRIPTION else str(Stamp(thing.id, thing.modified)),
        grading=grading(),
    )
    period = period_of(thing, "start_time", "stop_time")
    if period is not None:
        link.period.CopyFrom(period)
    tlp = label(bundle, relation, floor)
    if tlp:
        link.marks.tlp = tlp
    return link


def entity_of(thing: StixObject, *, whole: bool) -> entity_pb2.Entity:
    """The organisation or event, without a key. Not `whole`: as another report names it, by name alone."""
    entity = entity_pb2.Entity()
    note = f"{Stamp(thing.id, thing.modified)}"
    others = [alias for alias in dict.fromkeys(thing.texts("aliases")) if alias != thing.name] if whole else []
    if thing.type == "campaign":
        entity.event.kind, entity.event.name = "campaign", thing.name
        if others:
            note += "\nAlso known as: " + "; ".join(others)
        period = period_of(thing, "first_seen", "last_seen") if whole else None
        if period is not None:
            entity.event.period.CopyFrom(period)
        entity.event.description = note
    else:
        entity.organisation.kind, entity.organisation.name = "intrusion set", thing.name
        entity.organisation.aliases.extend(others)
        entity.organisation.description = f"{note}\n{known_as(thing)}".rstrip("\n")
    return entity


def label(bundle: Bundle, relation: Relation, floor: marks_pb2.Tlp.ValueType) -> marks_pb2.Tlp.ValueType:
    """The label of what this relation adds, where it is stricter than the report's own; else unspecified."""
    own = max(markings_of(bundle, relation.thing).tlp, markings_of(bundle, relation.far).tlp)
    return own if own > floor else marks_pb2.TLP_UNSPECIFIED


def period_of(thing: StixObject, first: str, last: str) -> date_pb2.DateRange | None:
    """The days of two timestamps, or None where both are absent. Raises ObjectError."""
    period = date_pb2.DateRange()
    for name, end in ((first, "start"), (last, "end")):
        text = thing.text(name)
        if text:
            day = moment(text, name)
            getattr(period, end).CopyFrom(date_pb2.PartialDate(year=day.year, month=day.month, day=day.day))
    return period if period.HasField("start") or period.HasField("end") else None
