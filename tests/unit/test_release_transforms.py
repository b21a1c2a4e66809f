"""Generalisations: total on any text, and never the whole of it."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.release.transforms import (
    FORMS,
    MAGNITUDES,
    MASK,
    decade,
    district,
    fits,
    grid,
    initials,
    magnitude,
    tail,
)
from entente.access.v1 import access_pb2
from entente.common.v1 import amount_pb2, entity_pb2
from tests.support.shared import shared_data

TEXT_FORMS = [district, initials, tail, magnitude]
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
        (magnitude, "0", "under a thousand"),
        (magnitude, "999.99", "under a thousand"),
        (magnitude, "1000", "thousands"),
        (magnitude, "-1234.56", "thousands"),
        (magnitude, "00012", "under a thousand"),
        (magnitude, "999999", "hundreds of thousands"),
        (magnitude, "1000000000", "a thousand millions or more"),
        (magnitude, "9" * 10**6, "a thousand millions or more"),
        (magnitude, "about 1000", MASK),
        (magnitude, ".", MASK),
        (magnitude, "", MASK),
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
        assert len(made) <= (12 if made not in MAGNITUDES else max(map(len, MAGNITUDES)))
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


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=4))
def test_an_amount_is_known_by_its_magnitude_alone(amount: Decimal) -> None:
    made = magnitude(f"{amount:f}")
    digits = len(str(int(abs(amount)))) if abs(amount) >= 1 else 0
    assert made == MAGNITUDES[min(max(digits - 3, 0), len(MAGNITUDES) - 1)]


@given(st.integers(-(2**63), 2**64 - 1))
def test_years_are_told_to_the_decade_or_not_at_all(years: int) -> None:
    made = decade(years)
    if made is None:
        assert not 0 <= years <= 9999
    else:
        assert made % 10 == 0
        assert 0 <= years - made < 10


def test_every_form_of_the_schema_is_one_that_there_is() -> None:
    """KEEP needs none, and a pseudonym is no form of a field."""
    names = {name.removeprefix("GENERALISATION_") for name in access_pb2.Generalisation.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED", "KEEP", "PSEUDONYM"} == FORMS.keys()


def test_a_form_fits_only_its_types() -> None:
    fields = entity_pb2.Location.DESCRIPTOR.fields_by_name
    assert fits("DISTRICT", fields["postcode"])
    assert fits("GRID", fields["latitude"])
    assert fits("DECADE", entity_pb2.Person.DESCRIPTOR.fields_by_name["age"])
    assert fits("MAGNITUDE", amount_pb2.Amount.DESCRIPTOR.fields_by_name["value"])
    assert not fits("DECADE", fields["latitude"])
    assert not fits("DECADE", fields["postcode"])
    assert not fits("PSEUDONYM", fields["postcode"])
    assert not fits("TAIL", fields["latitude"])
    assert not fits("GRID", fields["postcode"])
    assert not fits("NO_SUCH_FORM", fields["postcode"])
