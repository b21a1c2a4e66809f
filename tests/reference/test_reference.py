"""The reference is what it claims to be: its own, whole, and readable against the prose."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reference import decision, prose, schema
from tests.reference.decision import COARSER, FULL, PSEUDONYM, WITHHELD
from tests.reference.facts import Agreement, Marks, Reader

# The protos say what classes fields have; descriptors are how they say it.
ALLOWED = ("entente", "google", "tests.reference")
MODULES = sorted(Path(__file__).parent.glob("*.py"))

NORTH = Agreement(frozenset({"police.example/north"}), frozenset({"INVESTIGATION", "FRAUD"}), "SECRET")
READER = Reader(
    agency="police.example/region",
    country="GB",
    level="REGIONAL",
    compartments=frozenset(),
    roles=frozenset({"analyst"}),
    clearance="SECRET",
    nationalities=frozenset({"GB"}),
    token_purposes=frozenset({"INVESTIGATION", "FRAUD"}),
    purpose="INVESTIGATION",
    agreements=(NORTH,),
)
MARKS = Marks("police.example/north", "OFFICIAL", "P", tlp="AMBER")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_it_imports_neither_the_broker_nor_an_engine(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            known = name.split(".")[0] in {*sys.stdlib_module_names, "pytest"} or name.startswith(ALLOWED)
            assert known, f"{path.name} imports {name}"


def test_it_knows_every_phrase_of_the_tables() -> None:
    for name in prose.classes():
        for heading in ("in full", "in its coarser form"):
            for phrase in prose.column(name, heading):
                decision.holds(phrase, READER, MARKS, name, ["FULL"])


def test_every_class_of_the_schema_is_in_the_prose() -> None:
    assert {one.field_class for one in schema.fields()} - {"ENVELOPE"} <= set(prose.classes())


def test_the_tables_are_read_as_they_stand() -> None:
    assert prose.purposes("ends in court") == {"INVESTIGATION", "FRAUD"}
    assert prose.roles_with("REPORT_READ") == {"officer", "analyst", "source_handler", "liaison_officer"}
    assert prose.roles_besides("handles sources") == {"source_handler"}
    assert prose.column("OFFICER", "in full") == prose.column("OPERATION", "in full")
    assert prose.column("SOURCE", "in full") == ()


@pytest.mark.parametrize(
    ("reader", "marks", "due"),
    [
        (READER, MARKS, FULL),
        (replace(READER, purpose="FRAUD"), MARKS, COARSER),
        (replace(READER, purpose="FRAUD"), replace(MARKS, handling_code="C", conditions=frozenset({"S2"})), WITHHELD),
        (replace(READER, agency=MARKS.originator), replace(MARKS, reach="NONE"), FULL),
        (READER, replace(MARKS, reach="REDACTED"), COARSER),
        (
            replace(READER, case="OP LIME", agreements=(replace(NORTH, transforms={"*": "PSEUDONYM"}),)),
            MARKS,
            PSEUDONYM,
        ),
    ],
)
def test_a_name_is_seen_as_the_prose_says(reader: Reader, marks: Marks, due: str) -> None:
    assert decision.sees(reader, marks)
    assert decision.form(reader, marks, marks, "IDENTITY") == due


@pytest.mark.parametrize(
    "hidden",
    [
        replace(MARKS, classification="TOP_SECRET"),
        replace(MARKS, classification=""),
        replace(MARKS, compartments=frozenset({"op-lime"})),
        replace(MARKS, releasable_to=frozenset()),
        replace(MARKS, sanitisation="SOURCE_PROTECTED"),
        replace(MARKS, tlp="RED"),
        replace(MARKS, originator="police.example/south"),
        replace(MARKS, originator="polizei.example/north", tlp="AMBER_STRICT"),
        replace(MARKS, handling_code=""),
        replace(MARKS, europol=frozenset({"H2"})),
        replace(MARKS, europol=frozenset({"H3"})),
        replace(MARKS, reach="SILENT"),
    ],
)
def test_each_mark_hides_by_itself(hidden: Marks) -> None:
    assert decision.sees(READER, MARKS)
    assert not decision.sees(READER, hidden)
