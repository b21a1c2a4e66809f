"""Bring a mapped report into the one that the broker holds: newest wins, item by item.

MUSTs:
1. what has no stamp was written by people and stays as it is;
2. an item is replaced only by one made from the same STIX object in the same or a newer version;
3. what the bundle does not hold stays: another bundle, of another domain, may have brought it;
4. marks are tightened where the bundle or the caller asks for it, and never loosened;
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
from entente_sdk.stix.stamps import Stamp, stamp_of, time_of, without_stamp

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
        had, has = time_of(held_modified(held, mapped.stix_id)), time_of(mapped.modified)
        self._current, self._newer = has >= had, has > had
        self.report = report_pb2.Report()
        self.report.CopyFrom(held)
        if self._current:
            self._head()
        _tighten(self.report.header.marks, self._new.header.marks)
        _inherit(self._new, self.report.header.marks.tlp)
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
        held = _by_stamp(self.report.lines)
        return {
            stix_id for stix_id, lines in _by_stamp(self._new.lines).items() if self._is_newer(held, stix_id, lines)
        }

    def _is_newer(
        self, held: dict[str, list[report_pb2.ReportLine]], stix_id: str, lines: list[report_pb2.ReportLine]
    ) -> bool:
        if stix_id not in held:
            return True
        if stix_id == self._mapped.stix_id:
            return self._current
        new, old = stamp_of(lines[0]), stamp_of(held[stix_id][0])
        assert new is not None
        assert old is not None
        # What has no versions of its own (a licence, a collection's name) follows the object.
        return new.time >= old.time if new.modified else self._newer

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
                entity.key = old.key
                old.CopyFrom(entity)
        for link in self._new.links:
            link.from_key, link.to_key = keys[link.from_key], keys[link.to_key]

    def _says_more(self, stamp: Stamp, new: entity_pb2.Entity, old: entity_pb2.Entity) -> bool:
        if stamp.id == self._mapped.stix_id:
            return self._current
        was = stamp_of(old)
        # Another report's object, by name alone: its new version matters only where the name changed.
        return was is not None and stamp.time >= was.time and without_stamp(new) != without_stamp(old)

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


def _replace(items: object, new: dict[str, list[Item]], taken: set[str]) -> None:
    """Put the taken objects' new items in the place of the held ones, under the held ones' keys; add what is new."""
    held: list[Item] = list(items)  # type: ignore[call-overload]
    groups = _by_stamp(held)
    made: list[Item] = []
    done: set[str] = set()
    for item in held:
        stamp = stamp_of(item)
        if stamp is None or stamp.id not in taken:
            made.append(item)
        elif stamp.id not in done:
            done.add(stamp.id)
            made += _rekeyed(new.get(stamp.id, []), groups[stamp.id])
    for stix_id, added in new.items():
        if stix_id in taken and stix_id not in done:
            made += added
    copies = [type(item).FromString(item.SerializeToString()) for item in made]
    del items[:]  # type: ignore[attr-defined]
    items.extend(copies)  # type: ignore[attr-defined]


def _rekeyed(new: list[Item], old: list[Item]) -> list[Item]:
    """The new items under the old ones' keys. A line that is left over stays, emptied: who does not handle sources may
    not remove a line, because it could name one."""
    for one, before in zip(new, old, strict=False):
        one.key = before.key
    made = list(new)
    for number, before in enumerate(old[len(new) :], len(new) + 1):
        if isinstance(before, report_pb2.ReportLine):
            stamp = stamp_of(before)
            spare = report_pb2.ReportLine(key=before.key, information=SPARE, grading=before.grading)
            spare.provenance.text = f"{stamp}, part {number} of {len(old)}"
            spare.provenance.grading.CopyFrom(before.grading)
            made.append(spare)
    return made


def _tighten(held: marks_pb2.Marks, asked: marks_pb2.Marks) -> None:
    """In place. A record without a TLP label is under its agreements: stricter than GREEN, looser than AMBER."""
    if asked.tlp > (held.tlp or marks_pb2.TLP_GREEN):
        held.tlp = asked.tlp
    if asked.classification > held.classification:
        held.classification = asked.classification


def _inherit(report: report_pb2.Report, tlp: marks_pb2.Tlp.ValueType) -> None:
    """Drop the labels that the record's own already covers: a portion may only be stricter."""
    portions: list[report_pb2.ReportLine | entity_pb2.Entity | entity_pb2.Link]
    portions = [*report.lines, *report.entities, *report.links]
    for portion in portions:
        if portion.HasField("marks") and portion.marks.tlp <= tlp:
            portion.ClearField("marks")
