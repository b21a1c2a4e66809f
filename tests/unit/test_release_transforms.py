"""Generalisations: total on any text, and never the whole of it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.release.transforms import MASK, district, fits, grid, initials, tail
from entente.common.v1 import entity_pb2
from tests.support.shared import shared_data

TEXT_FORMS = [district, initials, tail]
HOSTILE = [
    "",
    "a",
    "ab",
    "\0",
    "\0\0\0\0\0\0\0",
    "👮",
    "👩‍👩‍👧‍👦 👮",
    "مرحبا بالعالم",
    "\u202eabc def",
    "٢٣",
    "x" * 10**6,
    " " * 10**6,
    "ß",
    "ŉ a",
]


def holds_whole(form: str, value: str) -> bool:
    """Whether everything that the value says (its letters and digits) can be read from the form."""
    said = "".join(filter(str.isalnum, value)).upper()
    return bool(said) and said in "".join(filter(str.isalnum, form)).upper()


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (district, "LS1 4AP", "LS1"),
        (district, "ls14ap", "LS1"),
        (district, " SW1A 1AA ", "SW1A"),
        (district, "1012 AB", "101"),
        (district, "75001", "75"),
        (district, "LS1", "L"),
        (district, "7", MASK),
        (district, "", MASK),
        (initials, "Ana Lime", "A. L."),
        (initials, "Ana", "A."),
        (initials, "J Smith", "*. S."),
        (initials, "Q", MASK),
        (initials, "A B C", MASK),
        (initials, "", MASK),
        (initials, "one two three four five", "o. t. t. f."),
        (tail, "+44 7700 900123", "***23"),
        (tail, "AB12 CDE", "***DE"),
        (tail, "12345", MASK),
        (tail, "12", MASK),
        (tail, "", MASK),
    ],
)
def test_the_form_is_as_the_schema_says(form: object, value: str, expected: str) -> None:
    assert form(value) == expected  # type: ignore[operator]


@pytest.mark.parametrize("form", TEXT_FORMS)
def test_hostile_text_never_comes_through_whole(form: object) -> None:
    names = json.loads((shared_data("naughty-strings") / "blns.json").read_text(encoding="utf-8"))
    for value in [*names, *HOSTILE]:
        made = form(value)  # type: ignore[operator]
        assert not holds_whole(made, value), value
        assert len(made) <= 12
        made.encode("utf-8")


@pytest.mark.parametrize("form", TEXT_FORMS)
@given(st.text(max_size=40))
def test_no_text_comes_through_whole(form: object, value: str) -> None:
    made = form(value)  # type: ignore[operator]
    assert not holds_whole(made, value)
    assert made != ""


@given(st.floats())
def test_a_coordinate_is_coarse_or_gone(value: float) -> None:
    made = grid(value)
    if made is None:
        assert not abs(value) <= 180
    else:
        assert abs(made - value) <= 0.0501
        assert made == round(made, 1)
        assert math.copysign(1, made) == 1 or made < 0


def test_a_form_fits_only_its_types() -> None:
    fields = entity_pb2.Location.DESCRIPTOR.fields_by_name
    assert fits("DISTRICT", fields["postcode"])
    assert fits("GRID", fields["latitude"])
    assert not fits("TAIL", fields["latitude"])
    assert not fits("GRID", fields["postcode"])
    assert not fits("NO_SUCH_FORM", fields["postcode"])
