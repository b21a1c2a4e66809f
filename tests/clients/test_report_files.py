"""Reports from YAML and JSON: what people write is what is sent, and what is unknown is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from entente.common.v1 import grading_pb2, marks_pb2
from entente_sdk import RequestError, load_report, parse_report
from entente_sdk.reports import read_report

TEXT = """
title: Two vehicles at the lock-up
header: {marks: {classification: official, handling_code: C, handling_conditions: [A1, S2]}}
lines:
  - key: a
    information: 05:40
    grading: {grading_3x5x2: {source: RELIABLE, assessment: ASSESSMENT_CORROBORATED}}
entities:
  - {key: v, vehicle: {plate: 1234, colour: on}}
  - {key: p, location: {country: NO, latitude: 59.9}}
period: {start: {year: 2026, month: 1}}
"""


def test_yaml_is_read_by_the_core_schema() -> None:
    report = read_report(TEXT.replace("1234", "'0123'"))
    assert report.header.marks.classification == marks_pb2.CLASSIFICATION_OFFICIAL
    assert list(report.header.marks.handling_conditions) == [1, 5]
    assert report.lines[0].information == "05:40"
    assert report.lines[0].grading.grading_3x5x2.assessment == grading_pb2.ASSESSMENT_CORROBORATED
    assert report.entities[0].vehicle.plate == "0123"
    assert report.entities[0].vehicle.colour == "on"
    assert report.entities[1].location.country == "NO"
    assert report.period.start.month == 1


def test_json_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{"title": "x", "tearLine": "y"}')
    assert load_report(path).tear_line == "y"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("titel: x", "titel"),
        ("lines: [{key: a, grade: 1}]", "grade"),
        ("header: {marks: {classification: VERY_SECRET}}", "VERY_SECRET"),
        ("title: 3", "title"),
        ("title: [", "neither YAML nor JSON"),
        ("- a", "a table of fields"),
        ("", "a table of fields"),
        ("title: !!python/object/apply:os.system [id]", "neither YAML nor JSON"),
        ("{", "neither YAML nor JSON"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read_report(text)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RequestError):
        read_report("[" * 5_000)
    with pytest.raises(RequestError):
        read_report('{"a":' * 5_000)


def test_a_file_that_is_absent_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        load_report(tmp_path / "none")
    large = tmp_path / "large.yaml"
    large.write_bytes(b" " * (1 << 20) + b"x")
    with pytest.raises(RequestError, match="over 1 MiB"):
        load_report(large)


def test_a_dictionary_is_not_changed() -> None:
    content = {"header": {"marks": {"classification": "SECRET"}}}
    parse_report(content)
    assert content == {"header": {"marks": {"classification": "SECRET"}}}
