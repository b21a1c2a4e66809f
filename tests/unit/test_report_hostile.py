"""Hostile strings: stored byte for byte, indexed without harm, in every string field of a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from broker.domain import normal
from broker.store.store import Store
from entente.common.v1 import entity_pb2, record_pb2
from entente.report.v1 import report_pb2, report_service_pb2
from tests.support.reports import Desk, line, link, open_store, report
from tests.support.shared import shared_data

_KINDS = ("person", "organisation", "vehicle", "phone", "account", "document", "location", "event")
# Keys are replaced, and ids of other records have a form of their own.
_NOT_FREE = {"key", "from_key", "to_key", "record_id", "compartments", "agencies"}


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


def naughty() -> list[str]:
    texts: list[str] = json.loads((shared_data("naughty-strings") / "blns.json").read_text(encoding="utf-8"))
    return list(dict.fromkeys([*texts, "a\0b", "\u202e", "\ufdfa" * 40, "0" * 256, "％", "' OR 1=1 --", "\U0010ffff"]))


def hostile(text: str) -> report_pb2.Report:
    """A report that holds the text in every string field that takes one."""
    sent = report(lines=[line("1", "x")])
    for name in _KINDS:
        entity = sent.entities.add(key=name)
        getattr(entity, name).SetInParent()
    sent.links.append(link("l", "person", "vehicle"))
    sent.author.SetInParent()
    sent.lines[0].provenance.SetInParent()
    for message in tree(sent):
        if isinstance(message, record_pb2.RecordHeader):
            continue
        for field in message.DESCRIPTOR.fields:
            if field.type == FieldDescriptor.TYPE_STRING and field.name not in _NOT_FREE:
                if field.is_repeated:
                    getattr(message, field.name).append(text)
                else:
                    setattr(message, field.name, text)
    sent.header.external_references.add(source=text or "s", reference=text or "r")
    return sent


def tree(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                yield from tree(child)


async def test_every_string_comes_back_byte_for_byte(store: Store) -> None:
    desk = Desk(store)
    fields = {m.DESCRIPTOR.full_name for m in tree(hostile("x"))}
    assert len(fields) >= 13
    for text in naughty():
        sent = hostile(text)
        made = await desk.submit(sent)
        held = desk.read(made.record_id)
        keys = {entity.WhichOneof("kind"): entity.key for entity in held.entities}
        for portion, original in zip(
            [*held.lines, *held.entities, *held.links], [*sent.lines, *sent.entities, *sent.links], strict=True
        ):
            portion.key = original.key
        assert (held.links[0].from_key, held.links[0].to_key) == (keys["person"], keys["vehicle"])
        held.links[0].from_key, held.links[0].to_key = "person", "vehicle"
        assert held.header.external_references == sent.header.external_references
        held.header.CopyFrom(sent.header)
        assert held.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)
        reference = sent.header.external_references[0]
        assert desk.search(external_reference=reference) == [made.record_id]
        await desk.retract(made.record_id, made.etag)


async def test_every_string_is_a_harmless_query_that_finds_what_was_said(store: Store) -> None:
    desk = Desk(store)
    for text in naughty():
        text = text[:200]
        name = entity_pb2.Entity(key="p", person=entity_pb2.Person(name=text))
        made = await desk.submit(report(text, operation=text, entities=[name]))
        query = report_service_pb2.EntityQuery(kind=report_service_pb2.ENTITY_KIND_NAME, value=text)
        found = [made.record_id]
        assert desk.search(entity=query) == (found if normal.name(text) else [])
        assert desk.search(text=text) == (found if normal.words(text) else [])
        assert desk.search(operation=text) == (found if normal.name(text) else [])
        assert desk.search(originator=text) == []
        await desk.retract(made.record_id, made.etag)


@given(st.text())
def test_normal_forms_are_total_and_stable(text: str) -> None:
    for form in (normal.name, normal.plate, normal.account):
        once = form(text)
        assert form(once) == once
    assert normal.phone(text).isdigit() or not normal.phone(text)
    for word in normal.words(text):
        assert word
        assert len(word) <= normal.MAX_WORD
        assert normal.words(word) == {word}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("O'Neill, Zoë", "ONEILL ZOE"),
        ("Łukasz Gąska", "lukasz gaska"),
        ("STRASSE", "straße"),
        ("Ａｎａ", "ana"),
        ("A\u200bna", "Ana"),
        ("Søren Æ", "soren ae"),
        ("İstanbul", "istanbul"),
    ],
)
def test_spellings_of_one_name_are_equal(one: str, other: str) -> None:
    assert normal.name(one) == normal.name(other) != ""


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+44 7700 900123", "447700900123"),
        ("0044-7700-900123", "447700900123"),
        ("+44 (0)7700 900123", "447700900123"),
        ("07700 900123", "07700900123"),
        ("٠٧٧٠٠ ٩٠٠١٢٣", "07700900123"),
        ("none", ""),
    ],
)
def test_phones_are_digits_without_the_international_prefix(text: str, digits: str) -> None:
    assert normal.phone(text) == digits


def test_words_of_scripts_without_spaces_are_their_characters() -> None:
    assert normal.words("東京の倉庫") == frozenset("東京の倉庫")
    assert normal.words("The quay-side, 3 crates") == {"the", "quay", "side", "3", "crates"}
