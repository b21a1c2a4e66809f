"""Graded lines out of STIX text: what is too long is spread over several lines, never cut.

Grading: 3x5x2, source 2 (untested), assessment D (not known), for each line and its provenance. STIX carries no grade
of either scale (its `confidence` is a scale of its own, never converted), and the importer invents no better one: who
can weigh the sources amends the report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from entente.common.v1 import grading_pb2, marks_pb2
from entente.report.v1 import report_pb2
from entente_sdk.stix.bundle import Bundle
from entente_sdk.stix.limits import INFORMATION, PROVENANCE
from entente_sdk.stix.objects import ObjectError, StixObject
from entente_sdk.stix.stamps import Stamp

_CITATION = re.compile(r"\(Citation: ([^()]*(?:\([^()]*\)[^()]*)*)\)")
# Room for the stamp and ", part 12 of 34".
_FACTS = PROVENANCE - 400
FURTHER = "Further sources of the line above."


def grading() -> grading_pb2.Grading:
    """2D of 3x5x2."""
    return grading_pb2.Grading(
        grading_3x5x2=grading_pb2.Grading3x5x2(
            source=grading_pb2.SOURCE_EVALUATION_UNTESTED, assessment=grading_pb2.ASSESSMENT_NOT_KNOWN
        )
    )


def graded_lines(
    stamp: Stamp, information: str, facts: Iterable[str], tlp: marks_pb2.Tlp.ValueType = marks_pb2.TLP_UNSPECIFIED
) -> list[report_pb2.ReportLine]:
    """One line or more, all under one stamp, without keys.

    Args:
        stamp: of the object that says it.
        information: what is said.
        facts: what provenance tells beside the stamp, one a line.
        tlp: the line's own label, where it is stricter than the report's.
    """
    said = list(split(information, INFORMATION))
    known = list(_packed(facts))
    total = max(len(said), len(known), 1)
    made = []
    for number in range(total):
        part = f", part {number + 1} of {total}" if total > 1 else ""
        told = known[number] if number < len(known) else ""
        line = report_pb2.ReportLine(
            information=said[number] if number < len(said) else FURTHER,
            grading=grading(),
            provenance=report_pb2.Provenance(text=f"{stamp}{part}\n{told}".rstrip("\n"), grading=grading()),
        )
        if tlp:
            line.marks.tlp = tlp
        made.append(line)
    return made


def split(text: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most `limit` characters, cut after a line or a word where there is one; joined they are
    the text."""
    while len(text) > limit:
        cut = max(text.rfind("\n", 0, limit), 0) or max(text.rfind(" ", 0, limit), 0)
        cut = cut + 1 if cut else limit
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


def _packed(facts: Iterable[str]) -> Iterator[str]:
    """The facts, each on a line, as many together as fit."""
    pack = ""
    for fact in facts:
        for piece in split(fact, _FACTS):
            if pack and len(pack) + 1 + len(piece) > _FACTS:
                yield pack
                pack = ""
            pack = f"{pack}\n{piece}" if pack else piece
    if pack:
        yield pack


def origin(bundle: Bundle, thing: StixObject) -> str:
    """When it was made, and by whom: `Created ... by The MITRE Corporation (identity--...)`."""
    maker_id = thing.text("created_by_ref")
    maker = bundle.objects.get(maker_id)
    by = f"{maker.name} ({maker_id})" if maker is not None and maker.name else maker_id
    created = thing.text("created")
    return " ".join(["Created", *([created] if created else []), *(["by", by] if by else ["by an unnamed maker"])])


def references(thing: StixObject, cited_in: str | None = None) -> list[str]:
    """The external references in words; with `cited_in`, only those that this text cites. Raises ObjectError."""
    wanted = None if cited_in is None else set(_CITATION.findall(cited_in))
    return [
        _reference(one)
        for one in thing.tables("external_references")
        if wanted is None or _field(one, "source_name") in wanted
    ]


def known_as(thing: StixObject) -> str:
    """The id by which people know it, such as `G0025`; empty where it has none."""
    return next((found for one in thing.tables("external_references") if (found := _field(one, "external_id"))), "")


def _reference(reference: Mapping[str, Any]) -> str:
    parts = [_field(reference, name) for name in ("external_id", "description", "url")]
    return " ".join([f"- {_field(reference, 'source_name')}:", *(part for part in parts if part)])


def _field(reference: Mapping[str, Any], name: str) -> str:
    value = reference.get(name, "")
    if not isinstance(value, str):
        raise ObjectError(f"{name} of an external reference is not a string")
    return value


def numbered(items: Sequence[Any], prefix: str) -> None:
    """Give each item its key, in place. The broker replaces new keys by random ones."""
    for number, item in enumerate(items, 1):
        item.key = f"{prefix}-{number}"
