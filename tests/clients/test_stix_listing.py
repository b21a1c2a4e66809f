"""The row-by-row list: no formula in the CSV, exact strings in the JSON lines."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from entente_sdk.errors import ConfigurationError
from entente_sdk.stix.listing import check_path, guarded, write_rows
from entente_sdk.stix.rows import COLUMNS, Outcome, Row, counts

HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", 'a"b,c\nd', "‮x", "\x1b[2J", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula_and_nothing_is_lost(tmp_path: Path, text: str) -> None:
    row = Row("id", "type", text, Outcome.FAILED, text)
    for name in ("rows.csv", "rows.jsonl"):
        write_rows(tmp_path / name, [("bundle.json", row)])
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        heading, cells = csv.reader(file)
    assert tuple(heading) == COLUMNS
    assert cells[3] in (text, f"'{text}")
    assert not cells[3].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    (document,) = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert document["name"] == text


def test_plain_cells_stay_plain() -> None:
    assert guarded("intrusion-set--1") == "intrusion-set--1"


def test_another_form_or_a_missing_folder_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.csv or \.jsonl"):
        check_path(tmp_path / "rows.xlsx")
    with pytest.raises(ConfigurationError, match="no folder"):
        check_path(tmp_path / "absent" / "rows.csv")


def test_outcomes_are_counted_in_their_order() -> None:
    rows = [Row("a", "t", "n", Outcome.FAILED), Row("b", "t", "n", Outcome.SUBMITTED)]
    assert list(counts(rows).items()) == [("submitted", 1), ("failed", 1)]
