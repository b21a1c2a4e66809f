"""Withheld is shown as withheld, in its place; hostile strings never reach the terminal as themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from entente_sdk.cli.disclosed import Row, field_text, rows
from entente_sdk.cli.text import is_unsafe, safe, to_json, to_yaml
from entente_sdk.reports import parse_report
from tests.support.shared import shared_data

HOSTILE = [
    "\x1b[2J\x1b[1;1Hgone",
    "\x9b31mred",
    "abc\u202egnp.exe",
    "a\u200bb\u2066c\u2069",
    "line\r\nover",
    "bell\x07 tab\t back\x08\x7f",
    "\u2028\u2029",
    "tag\U000e0041",
    "[bold]markup[/bold] [link=http://x]y[/link]",
    "\ufeffbom",
    "nul\x00",
    "\x85next",
    "- not: a list",
    "Zoë Øster 王 😀",
]


def withheld(path: str, *portions: str, rule: str = "sources_stay") -> exchange_pb2.WithheldField:
    return exchange_pb2.WithheldField(
        path=path, rule=rule, reason=exchange_pb2.WITHHELD_REASON_ORIGINATOR_ONLY, portions=portions
    )


def disclosed(content: dict[str, object], *fields: exchange_pb2.WithheldField) -> report_pb2.DisclosedReport:
    disclosure = exchange_pb2.Disclosure(level=exchange_pb2.DISCLOSURE_LEVEL_REDACTED, withheld=fields)
    return report_pb2.DisclosedReport(report=parse_report(content), disclosure=disclosure)


LINES = {
    "title": "Lanterns",
    "lines": [
        {
            "key": "a",
            "information": "first",
            "grading": {"grading_3x5x2": {"source": "RELIABLE", "assessment": "CORROBORATED"}},
        },
        {"key": "b", "information": "second"},
    ],
    "operation": "OP LANTERN",
}
WITHHELD = "withheld (sources_stay, originator only)"


def test_withheld_fields_stand_in_their_place() -> None:
    found = rows(disclosed(LINES, withheld("lines.provenance.text"), withheld("tear_line"), withheld("author.name")))
    assert found == [
        Row("title", "Lanterns"),
        Row("tear_line", WITHHELD, "withheld"),
        Row("lines[a].information", "first"),
        Row("lines[a].grading", "3x5x2 1B"),
        Row("lines[a].provenance.text", WITHHELD, "withheld"),
        Row("lines[b].information", "second"),
        Row("lines[b].provenance.text", WITHHELD, "withheld"),
        Row("operation", "OP LANTERN"),
        Row("author.name", WITHHELD, "withheld"),
    ]


def test_a_portion_says_what_of_it_was_withheld() -> None:
    content = {**LINES, "lines": [{"key": "a", "information": "first"}, {"key": "b"}]}
    found = rows(disclosed(content, withheld("lines.information", "b")))
    assert Row("lines[a].information", "first") in found
    assert Row("lines[b].information", WITHHELD, "withheld") in found
    assert len([row for row in found if row.kind == "withheld"]) == 1


def test_what_no_portion_could_hold_is_shown_too() -> None:
    found = rows(disclosed({"title": "x"}, withheld("lines.information"), withheld("entities.person.name")))
    assert found[1:] == [
        Row("lines.information", WITHHELD, "withheld"),
        Row("entities.person.name", WITHHELD, "withheld"),
    ]


def test_a_kind_of_entity_that_is_not_there_is_named_once() -> None:
    content = {"entities": [{"key": "p", "phone": {"number": "+44 7700 900123"}}]}
    found = rows(disclosed(content, withheld("entities.person.name"), withheld("entities.phone.imei")))
    assert found == [
        Row("entities[p].phone.number", "+44 7700 900123"),
        Row("entities[p].phone.imei", WITHHELD, "withheld"),
        Row("entities.person.name", WITHHELD, "withheld"),
    ]


def test_every_withheld_field_is_shown_whatever_is_set() -> None:
    paths = [
        *("title", "header.external_references", "lines.key", "lines.provenance.source_reference", "links.type"),
        *("entities.marks", "entities.account.identifier", "author.contact", "internal_notes", "future.field"),
    ]
    for content in ({"themes": ["x"]}, LINES, {"entities": [{"key": "e", "account": {}}], "links": [{"key": "l"}]}):
        found = [row for row in rows(disclosed(content, *map(withheld, paths))) if row.kind == "withheld"]
        assert {re.sub(r"\[.*?\]", "", row.field) for row in found} == set(paths)


def test_generalised_values_say_so() -> None:
    one = disclosed({"entities": [{"key": "p", "person": {"name": "A. L."}}]})
    one.disclosure.generalised.append(
        exchange_pb2.GeneralisedField(
            path="entities.person.name", generalisation=access_pb2.GENERALISATION_INITIALS, rule="names_abroad"
        )
    )
    assert rows(one) == [
        Row("entities[p].person.name", "A. L.  (generalised: initials; names_abroad)", "generalised"),
    ]


def test_a_pseudonym_is_not_taken_for_the_value() -> None:
    one = disclosed({"entities": [{"key": "p", "phone": {"number": "P-QX-7KQ2M4XZJ6N4T2ZQ5RVA"}}]})
    one.disclosure.generalised.append(
        exchange_pb2.GeneralisedField(
            path="entities.phone.number", generalisation=access_pb2.GENERALISATION_PSEUDONYM, rule="own_purpose"
        )
    )
    (row,) = rows(one)
    told = "P-QX-7KQ2M4XZJ6N4T2ZQ5RVA  (pseudonym, the same for you throughout this case; own_purpose)"
    assert row == Row("entities[p].phone.number", told, "generalised")


def test_a_banded_amount_keeps_its_currency() -> None:
    one = disclosed({"entities": [{"key": "a", "account": {"balance": {"currency": "GBP", "value": "thousands"}}}]})
    one.disclosure.generalised.append(
        exchange_pb2.GeneralisedField(
            path="entities.account.balance", generalisation=access_pb2.GENERALISATION_KEEP, rule="own_purpose"
        )
    )
    (row,) = rows(one)
    assert row.text == "GBP thousands  (generalised: coarse parts only; own_purpose)"


def test_a_pointer_says_whom_to_ask() -> None:
    pointer = exchange_pb2.Pointer(record_id="a" * 32, originator="police.example/north")
    found = rows(report_pb2.DisclosedReport(pointer=pointer))
    assert found[0].kind == "withheld"
    assert Row("originator", "police.example/north") in found
    assert field_text(report_pb2.DisclosedReport(pointer=pointer), "title") == "pointer: ask police.example/north"


def test_a_list_shows_a_withheld_title_as_withheld() -> None:
    assert field_text(disclosed({"themes": ["x"]}, withheld("title")), "title") == WITHHELD


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_are_escaped_and_kept(text: str) -> None:
    shown = safe(text)
    assert not any(is_unsafe(letter) for letter in shown)
    document = {"title": text, "list": [text]}
    for written, read in ((to_json(document), json.loads), (to_yaml(document), yaml.safe_load)):
        assert not any(is_unsafe(letter) and letter != "\n" for letter in written)
        assert read(written) == document


def test_every_naughty_string_is_escaped_and_kept() -> None:
    strings = json.loads((Path(shared_data("naughty-strings")) / "blns.json").read_text(encoding="utf-8"))
    assert len(strings) > 400
    for text in strings:
        assert not any(is_unsafe(letter) for letter in safe(text))
        assert json.loads(to_json([text])) == [text]
        assert yaml.safe_load(to_yaml([text])) == [text]
        assert not any(is_unsafe(letter) and letter != "\n" for letter in to_json([text]) + to_yaml([text]))


def test_plain_text_stays_as_it_is() -> None:
    assert safe("Zoë Øster, 王 😀 [bold]") == "Zoë Øster, 王 😀 [bold]"
    assert safe("a\nb", lines=True) == "a\nb"
    assert safe("a\nb") == "a\\x0ab"


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_is_printable_and_reads_back(text: str) -> None:
    assert not any(is_unsafe(letter) for letter in safe(text))
    for written, read in ((to_json([text]), json.loads), (to_yaml([text]), yaml.safe_load)):
        assert not any(is_unsafe(letter) and letter != "\n" for letter in written)
        assert read(written) == [text]
