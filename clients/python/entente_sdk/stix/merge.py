"""Bring a mapped report into the one that the broker holds: newest wins, item by item.

MUSTs:
1. what has no stamp was written by people and stays as it is;
2. an item is replaced only by one made from a newer version of the same STIX object: of the same version, what people
   made of it stays, such as a better grade;
3. what the bundle does not hold stays: another bundle, of another domain, may have brought it;
4. marks are tightened where the bundle or the caller asks for it, and never loosened; a source's identity stays;
5. merging the same report twice changes nothing.

So the order in which bundles are imported does not matter, nor does an import that was cut off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from entente.common.v1 import entity_pb2, marks_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix.mapping import DEPRECATED, MODIFIED, MappedReport
from entente_sdk.stix.relations import REPORTED
from entente_sdk.stix.stamps import Stamp, stamp_of, time_of

SPARE = "No longer used: what it said is in the lines above, or was withdrawn."

Item = TypeVar("Item", report_pb2.ReportLine, entity_pb2.Entity, entity_pb2.Link)


def held_modified(report: report_pb2.Report, stix_id: str) -> str:
    """The version of the object that the report was last made from; empty where the report does not say."""
    for reference in report.header.external_references:
        if reference.source == MODIFIED and reference.reference.startswith(f"{stix_id}@"):
            return reference.reference.partition("@")[2]
    return ""


def merged(held: report_pb2.Report, mapped: MappedReport) -> report_pb2.Report:
    """The report as it should be. Equal to `held` where there is nothing to change."""
    return _Merge(held, mapped).report


class _Merge:
    def __init__(self, held: report_pb2.Report, mapped: MappedReport) -> None:
        self._mapped = mapped
        self._new = report_pb2.Report()
        self._new.CopyFrom(mapped.report)
        self._newer = time_of(mapped.modified) > time_of(held_modified(held, mapped.stix_id))
        self.report = report_pb2.Report()
        self.report.CopyFrom(held)
        if self._newer:
            self._head()
        marks = self.report.header.marks
        if _tighten(marks, self._new.header.marks):
            _inherit(self.report, marks)
        _inherit(self._new, marks)
        taken = self._taken()
        self._lines(taken)
        self._entities()
        self._links(taken)

    def _head(self) -> None:
        """What the object itself says, outside lines, entities and links."""
        self.report.title = self._new.title
        if self._new.HasField("period"):
            self.report.period.CopyFrom(self._new.period)
        else:
            self.report.ClearField("period")
        ours = {*REPORTED, DEPRECATED}
        kept = [theme for theme in self.report.themes if theme not in ours]
        self.report.themes[:] = [*self._new.themes, *kept]
        references = self.report.header.external_references
        kept_references = [one for one in references if one.source != MODIFIED]
        fresh = [one for one in self._new.header.external_references if one not in kept_references]
        del references[:]
        references.extend([*kept_references, *fresh])

    def _taken(self) -> set[str]:
        """The STIX ids whose lines and links come from the bundle; of the others the held ones stay."""
        held = {stix_id: lines[0] for stix_id, lines in _by_stamp(self.report.lines).items()}
        new = _by_stamp(self._new.lines)
        return {stix_id for stix_id in new if stix_id not in held or self._is_newer(new[stix_id][0], held[stix_id])}

    def _is_newer(self, new: report_pb2.ReportLine, old: report_pb2.ReportLine) -> bool:
        now, was = stamp_of(new), stamp_of(old)
        assert now is not None
        assert was is not None
        # What has no versions of its own (a licence, a collection's name) follows the object.
        return now.time > was.time if now.modified and now.id != self._mapped.stix_id else self._newer

    def _lines(self, taken: set[str]) -> None:
        _replace(self.report.lines, _by_stamp(self._new.lines), taken)

    def _entities(self) -> None:
        """Entities by STIX id; links of the bundle then name the keys that the broker holds."""
        held = {stamp.id: entity for entity in self.report.entities if (stamp := stamp_of(entity))}
        keys: dict[str, str] = {}
        for entity in self._new.entities:
            stamp = stamp_of(entity)
            assert stamp is not None
            old = held.get(stamp.id)
            if old is None:
                keys[entity.key] = entity.key
                self.report.entities.append(entity)
                continue
            keys[entity.key] = old.key
            if self._says_more(stamp, entity, old):
                (kept,) = _carried([entity], [old])
                old.CopyFrom(kept)
            else:
                _tighten_portion(old, entity)
        for link in self._new.links:
            link.from_key, link.to_key = keys[link.from_key], keys[link.to_key]

    def _says_more(self, stamp: Stamp, new: entity_pb2.Entity, old: entity_pb2.Entity) -> bool:
        if stamp.id == self._mapped.stix_id:
            return self._newer
        was = stamp_of(old)
        # Another report's object, by name alone: its new version matters only where the name changed.
        return was is not None and stamp.time > was.time and _named(new) != _named(old)

    def _links(self, taken: set[str]) -> None:
        new = _by_stamp(self._new.links)
        _replace(self.report.links, new, taken)


def _by_stamp(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        stamp = stamp_of(item)
        if stamp is not None:
            found.setdefault(stamp.id, []).append(item)
    return found


def _named(entity: entity_pb2.Entity) -> str:
    return entity.event.name if entity.HasField("event") else entity.organisation.name


def _replace(items: object, new: dict[str, list[Item]], taken: set[str]) -> None:
    """Put the taken objects' new items in the place of the held ones, and add what is not held."""
    held: list[Item] = list(items)  # type: ignore[call-overload]
    groups = _by_stamp(held)
    made: list[Item] = []
    done: set[str] = set()
    for item in held:
        stamp = stamp_of(item)
        if stamp is None or stamp.id not in taken:
            if stamp is not None and stamp.id in new:
                _tighten_portion(item, new[stamp.id][0])
            made.append(item)
        elif stamp.id not in done:
            done.add(stamp.id)
            made += _carried(new.get(stamp.id, []), groups[stamp.id])
    for stix_id, added in new.items():
        if stix_id in taken and stix_id not in done:
            made += added
    copies = [type(item).FromString(item.SerializeToString()) for item in made]
    del items[:]  # type: ignore[attr-defined]
    items.extend(copies)  # type: ignore[attr-defined]


def _carried(new: list[Item], old: list[Item]) -> list[Item]:
    """The new items with what stays of the old ones: keys, marks, sources. A line that is left over stays, emptied: who
    does not handle sources may not remove a line, because it could name one."""
    made = list(new)
    for number, item in enumerate(new):
        before = old[min(number, len(old) - 1)]
        if number < len(old):
            item.key = before.key
            if isinstance(item, report_pb2.ReportLine) and isinstance(before, report_pb2.ReportLine):
                _keep_source(item.provenance, before.provenance)
        asked = type(item).FromString(item.SerializeToString())
        if before.HasField("marks"):
            item.marks.CopyFrom(before.marks)
        _tighten_portion(item, asked)
    for number, spare in enumerate(old[len(new) :], len(new) + 1):
        if isinstance(spare, report_pb2.ReportLine):
            spare.information = SPARE
            spare.provenance.text = f"{stamp_of(spare)}, part {number} of {len(old)}"
            made.append(spare)
    return made


def _keep_source(new: report_pb2.Provenance, old: report_pb2.Provenance) -> None:
    for name in ("source_reference", "technique"):
        if old.HasField(name):
            setattr(new, name, getattr(old, name))


def _tighten_portion(
    held: report_pb2.ReportLine | entity_pb2.Entity | entity_pb2.Link,
    asked: report_pb2.ReportLine | entity_pb2.Entity | entity_pb2.Link,
) -> None:
    """Its own label, in place, where the bundle now asks for a stricter one."""
    if asked.marks.tlp > held.marks.tlp:
        held.marks.tlp = asked.marks.tlp


def _tighten(held: marks_pb2.Marks, asked: marks_pb2.Marks) -> bool:
    """In place; whether there was anything to do.

    A record without a TLP label is under its agreements: stricter than GREEN, looser than AMBER.
    """
    stricter = asked.tlp > (held.tlp or marks_pb2.TLP_GREEN)
    higher = asked.classification > held.classification
    if stricter:
        held.tlp = asked.tlp
    if higher:
        held.classification = asked.classification
    return stricter or higher


def _inherit(report: report_pb2.Report, record: marks_pb2.Marks) -> None:
    """Drop, in place, what the record's own marks already cover: a portion may only be stricter."""
    portions: list[report_pb2.ReportLine | entity_pb2.Entity | entity_pb2.Link]
    portions = [*report.lines, *report.entities, *report.links]
    for portion in portions:
        if not portion.HasField("marks"):
            continue
        if portion.marks.tlp <= record.tlp:
            portion.marks.ClearField("tlp")
        if portion.marks.classification <= record.classification:
            portion.marks.ClearField("classification")
        if not portion.marks.ByteSize():
            portion.ClearField("marks")
