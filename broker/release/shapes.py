"""Shapes: the disclosures of records that were disclosed alike, made once and shared.

Nearly every record's portions are released as the record itself is; its shape is then its container's outlook, whose
bytes are constant. A visible portion that gets less adds its deviations, limited to its key.

MUSTs:
1. A portion that is hidden is in no shape and no key list.
2. Records are grouped for the ledger by what was released, withheld and generalised, by which rule; never by presence.

The ledger's group of records with deviations lists the keys of all their deviating portions together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from broker.domain.exchange import DisclosureGroup
from broker.release.decisions import Decision
from broker.release.disclosure import (
    LEVEL_FULL,
    LEVEL_REDACTED,
    Entries,
    Outlook,
    Verdict,
    disclosure,
    group,
    outlook,
    pointer_outlook,
    verdicts,
)
from broker.release.records import RecordType

Deviations = tuple[Verdict, ...]
Keys = tuple[tuple[str, ...], ...]
_MOST_KEPT = 16384


@dataclass(frozen=True, eq=False)
class Shape:
    """An outlook, and the ways in which some portions get less. Compared by identity: `Shapes` makes one of each."""

    general: Outlook
    deviations: tuple[Deviations, ...]

    @property
    def level(self) -> str:
        return LEVEL_REDACTED if self.deviations and self.general.level == LEVEL_FULL else self.general.level

    def entries(self, keys: Keys) -> Entries:
        """The verdicts, those of each deviation limited to its keys."""
        found: Entries = [(verdict, ()) for verdict in self.general.verdicts]
        for own, limited in zip(self.deviations, keys, strict=True):
            found += [(verdict, limited) for verdict in own]
        return found

    def message(self, keys: Keys) -> bytes:
        """The serialised Disclosure."""
        return disclosure(self.level, self.entries(keys)) if self.deviations else self.general.message


@dataclass(slots=True)
class _Bucket:
    records: list[tuple[str, int]] = field(default_factory=list)
    keys: list[Keys] = field(default_factory=list)


class Shapes:
    """Shapes by content, with what was worked out for each decision. For one event loop: it takes no lock."""

    def __init__(self) -> None:
        self._verdicts: dict[int, Deviations] = {}
        self._outlooks: dict[int, Outlook] = {}
        self._deviations: dict[tuple[int, int, int], Deviations] = {}
        self._same: dict[tuple[str, Deviations], Outlook] = {}
        self._shapes: dict[tuple[int, tuple[Deviations, ...]], Shape] = {}
        self._templates: dict[Shape, DisclosureGroup] = {}
        self._pointers: dict[str, Shape] = {}

    def shape(self, record: RecordType, container: Decision, deviating: Iterable[Deviations] = ()) -> Shape:
        """The shape of a record that is released by this decision, apart from some portions."""
        general = self._outlook(record, container)
        return self._shape(general, tuple(deviating))

    def pointer(self, record: RecordType) -> Shape:
        """The shape of every pointer to a record of this type."""
        found = self._pointers.get(record.message.full_name)
        if found is None:
            found = self._pointers[record.message.full_name] = Shape(pointer_outlook(record), ())
        return found

    def deviations(self, record: RecordType, container: Decision, portion: int, own: Decision) -> Deviations:
        """Where portions of one field, decided for themselves, get less than the record in general."""
        key = (container.number, portion, own.number)
        found = self._deviations.get(key)
        if found is None:
            pairs = zip(self._of(record, container), self._of(record, own), strict=True)
            found = tuple(mine for usual, mine in pairs if mine.leaf.portion == portion and mine.how != usual.how)
            self._deviations[key] = found
        return found

    def groups(self, released: Iterable[tuple[Shape, Keys, tuple[str, int]]]) -> tuple[DisclosureGroup, ...]:
        """(shape, keys, record) of each item -> the ledger's groups, in the order of their first record."""
        buckets: dict[Shape, _Bucket] = {}
        for shape, keys, record in released:
            bucket = buckets.get(shape)
            if bucket is None:
                bucket = buckets[shape] = _Bucket()
            bucket.records.append(record)
            if keys:
                bucket.keys.append(keys)
        return tuple(self._group(shape, bucket) for shape, bucket in buckets.items())

    def _group(self, shape: Shape, bucket: _Bucket) -> DisclosureGroup:
        records = tuple(bucket.records)
        if shape.deviations:
            joined = tuple(tuple(key for keys in one for key in keys) for one in zip(*bucket.keys, strict=True))
            return group(shape.level, shape.general, shape.entries(joined), records)
        template = self._templates.get(shape)
        if template is None:
            template = self._templates[shape] = group(shape.level, shape.general, shape.entries(()), ())
        return replace(template, records=records)

    def _of(self, record: RecordType, decision: Decision) -> Deviations:
        found = self._verdicts.get(decision.number)
        if found is None:
            found = self._verdicts[decision.number] = verdicts(record, decision)
        return found

    def _outlook(self, record: RecordType, decision: Decision) -> Outlook:
        found = self._outlooks.get(decision.number)
        if found is None:
            fresh = outlook(record, decision)
            found = self._same.setdefault((fresh.level, fresh.verdicts), fresh)
            self._outlooks[decision.number] = found
        return found

    def _shape(self, general: Outlook, deviating: tuple[Deviations, ...]) -> Shape:
        key = (id(general), deviating)
        found = self._shapes.get(key)
        if found is None:
            self._bound()
            found = self._shapes[key] = Shape(general, deviating)
        return found

    def _bound(self) -> None:
        """Forgets everything at once when there is too much; what is in use stays whole, for it holds its own parts."""
        if max(len(self._shapes), len(self._deviations), len(self._outlooks), len(self._verdicts)) < _MOST_KEPT:
            return
        for kept in (self._verdicts, self._outlooks, self._deviations, self._same, self._shapes, self._templates):
            kept.clear()
