"""What a search for one value finds, by the reference: the row where the reader sees that field in full, or a pointer.

The values of generated reports are each in one place of one report, so one search is about one field of one row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from entente.report.v1 import report_service_pb2 as wire
from tests.proof.judgement import Tally, shown, sight
from tests.proof.town import Kept, Town
from tests.reference import decision
from tests.reference.facts import Marks, Reader

Place = tuple[str, int]


@dataclass(frozen=True)
class Sought:
    """A condition on a value of a report: where it stands, under which class; `exact`: it may find a pointer."""

    kept: Kept
    place: Place
    field_class: str
    conditions: dict[str, Any]
    exact: bool = False


def adds_nothing(container: Marks, portion: Marks) -> bool:
    """Whether a portion asks for nothing beyond its record: then a pointer to the record tells no more."""
    protected = portion.sanitisation == "SOURCE_PROTECTED" != container.sanitisation
    return not protected and replace(container, sanitisation="", fallback="") == replace(
        portion, sanitisation="", fallback=""
    )


def sought(kept: Kept) -> Iterator[Sought]:
    """A condition for each value of a report that can be searched for."""
    report = kept.report
    yield Sought(kept, ("", 0), "SUMMARY", {"text": report.title})
    yield Sought(kept, ("", 0), "TEAR_LINE", {"text": report.tear_line})
    yield Sought(kept, ("", 0), "OPERATION", {"operation": report.operation})
    for index, line in enumerate(report.lines):
        yield Sought(kept, ("lines", index), "INFORMATION", {"text": line.information})
    for index, entity in enumerate(report.entities):
        for kind, name, part, field_class in (
            ("NAME", "person", "name", "IDENTITY"),
            ("NAME", "organisation", "name", "IDENTITY"),
            ("PHONE", "phone", "number", "CONTACT"),
            ("PLATE", "vehicle", "plate", "OBJECT"),
            ("ACCOUNT", "account", "identifier", "FINANCIAL"),
        ):
            if entity.WhichOneof("kind") == name:
                number = wire.EntityKind.Value(f"ENTITY_KIND_{kind}")
                query = wire.EntityQuery(kind=number, value=getattr(getattr(entity, name), part))
                yield Sought(kept, ("entities", index), field_class, {"entity": query}, exact=True)


def due(reader: Reader, one: Sought) -> str:
    """What the search is to find: "full" (the report), "pointer", or "hidden" (nothing)."""
    seen = sight(reader, one.kept)
    if seen == "pointer":
        return seen if one.exact and adds_nothing(one.kept.container, one.kept.marks(one.place)) else "hidden"
    if seen != decision.FULL or not shown(reader, one.kept, one.place):
        return "hidden"
    how = decision.form(reader, one.kept.marks(one.place), one.kept.container, one.field_class)
    return how if how == decision.FULL else "hidden"


async def look(place: Town, person: Any, tally: Tally, rnd: random.Random, most: int) -> None:
    """Search for so many values, and compare."""
    every = [one for kept in place.reports for one in sought(kept)]
    for one in rnd.sample(every, min(most, len(every))):
        found = await place.search(person, 5, **one.conditions)
        expected = due(person.reader, one)
        tally.add(f"search {expected}")
        if found is None:
            came = "hidden"
        else:
            mine = found.pop(one.kept.record_id, None)
            came = "hidden" if mine is None else "pointer" if mine.HasField("pointer") else "full"
            tally.faults += [f"a search for a value of {one.kept.record_id} finds {other}" for other in found]
        if came != expected:
            where = f"{one.place} {one.field_class} {one.kept.marks(one.place)}"
            tally.faults.append(f"search for {where}: {came}, and is {expected} ({person.reader})")
