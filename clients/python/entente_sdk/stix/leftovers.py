"""What a bundle holds beside groups, campaigns and relationships: each object listed with what became of it, and each
property of a mapped object that no report carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from entente_sdk.stix.bundle import COLLECTION, Bundle
from entente_sdk.stix.objects import StixObject
from entente_sdk.stix.rows import Outcome, Row

_SOFTWARE = "software is outside POLE, and no group or campaign of this bundle uses it"
_KNOWLEDGE = "knowledge of methods or defence: about no group or campaign"
_REASONS = {
    "malware": _SOFTWARE,
    "tool": _SOFTWARE,
    "attack-pattern": _KNOWLEDGE,
    "course-of-action": _KNOWLEDGE,
    "identity": "no report of this bundle names it as its maker",
    "marking-definition": "no report of this bundle bears it",
}
_OTHERWISE = "objects of this type have no mapping"

# Carried in every report, or the bundle's own bookkeeping that says nothing of the group or campaign.
_CARRIED = frozenset(
    "type id spec_version created modified created_by_ref revoked name description aliases first_seen last_seen "
    "external_references object_marking_refs granular_markings x_mitre_deprecated x_mitre_contributors "
    "x_mitre_first_seen_citation x_mitre_last_seen_citation".split()
)


def rows_of(bundle: Bundle, mapped_types: set[str], named: set[str]) -> list[Row]:
    """A row for each object of another type, and one for each property of reported objects that is not carried."""
    rows = [_row(thing, thing.id in named) for thing in bundle.objects.values() if thing.type not in mapped_types]
    return [*rows, *_properties(bundle, mapped_types - {"relationship"})]


def _row(thing: StixObject, named: bool) -> Row:
    if named or thing.type == COLLECTION:
        return Row(thing.id, thing.type, thing.name, Outcome.LINE, "named in lines and provenance")
    reason = _REASONS.get(thing.type) or (_KNOWLEDGE if thing.type.startswith("x-mitre-") else _OTHERWISE)
    return Row(thing.id, thing.type, thing.name, Outcome.NOT_MAPPED, reason)


def _properties(bundle: Bundle, types: set[str]) -> Iterator[Row]:
    found = Counter(
        (thing.type, name)
        for thing in bundle.objects.values()
        if thing.type in types
        for name in thing.content
        if name not in _CARRIED
    )
    for (kind, name), count in sorted(found.items()):
        yield Row(f"{kind}.{name}", kind, name, Outcome.NOT_MAPPED, f"a property of {count} objects, in no report")
