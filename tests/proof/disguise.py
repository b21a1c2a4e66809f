"""A second world for one observer: everything that the reference says is hidden from them is another, or not there.

What is hidden is decided by the reference (tests/reference), not by the broker that is to be tested.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD
from entente.report.v1 import report_pb2
from tests.proof.finding import adds_nothing
from tests.proof.judgement import shown, sight
from tests.proof.town import Kept
from tests.reference import decision, schema
from tests.reference.facts import Reader
from tests.support.worlds import disguised

_LEVELS = {
    decision.FULL: FULL,
    decision.COARSER: PART,
    decision.PSEUDONYM: PSEUDONYM,
    decision.WITHHELD: WITHHELD,
}
_CLASSES = tuple(sorted({one.field_class for one in schema.fields()} - {"ENVELOPE"}))


@dataclass(frozen=True)
class Sight:
    """What a reader may see of reports, as `tests.support.worlds` asks it."""

    reader: Reader

    def levels(self, one: Any, place: tuple[str, int]) -> Mapping[str, str] | None:
        """How each class is released there; None where nothing is."""
        if sight(self.reader, one) != decision.FULL or not shown(self.reader, one, place):
            return None
        return {name: _LEVELS[decision.form(self.reader, one.marks(place), one.container, name)] for name in _CLASSES}

    def points_at(self, one: Any) -> bool:
        """Whether it may be known that the originator holds it, though not what it says."""
        return sight(self.reader, one) == "pointer"


def other_world(reader: Reader, kept: Kept, seed: int) -> report_pb2.Report | None:
    """The report as it stands in the other world; None: there it never was."""
    seen: Any = Sight(reader)
    anything: Any = kept
    made = disguised(anything, seen, seed)
    if made is not None and seen.points_at(anything):
        _keep_pointed(made, kept)
    if made is None or kept.container.originator == reader.agency:
        return made
    hidden_whole = sight(reader, kept) == "hidden"
    if hidden_whole and seed % 3 == 0:
        # Hidden for another reason: its originator named nobody.
        del made.header.marks.releasable_to.agencies[:]
        made.header.marks.releasable_to.SetInParent()
        for portion in (*made.lines, *made.entities, *made.links):
            portion.ClearField("marks")
    return made


def _keep_pointed(made: report_pb2.Report, kept: Kept) -> None:
    """A search for one exact value is answered with a pointer to a record that holds it: so its originator chose. Only
    entities whose own marks ask for more than the record's are nobody's business."""
    left = {entity.key: entity for entity in made.entities}
    for index, entity in enumerate(kept.report.entities):
        if adds_nothing(kept.container, kept.portions["entities", index]):
            left[entity.key] = entity
    entities = [left[entity.key] for entity in kept.report.entities if entity.key in left]
    del made.entities[:]
    made.entities.extend(entities)


def shuffled(rnd: random.Random, values: list[Any], most: int) -> list[Any]:
    """At most so many of them, in any order."""
    return rnd.sample(values, min(most, len(values)))
