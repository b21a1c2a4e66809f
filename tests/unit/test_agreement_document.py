"""The document that is signed: its form, its one spelling, what contradicts itself, and drafting it from YAML."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import protovalidate
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.agreements import RECORD_TYPES
from broker.decide.agreement_words import agreement_words
from broker.decide.bundle import PolicyBundle, policy_folder
from broker.handle.agreement.translate import agreement_message
from entente.directory.v1 import agreement_pb2
from entente_agreement import AgreementError, Document, SignedDocument, contradictions
from entente_sdk.agreements.drafting import draft, read, template
from entente_sdk.agreements.words import known_words
from entente_sdk.errors import ConfigurationError
from tests.support.agreements import SAMPLE, sample

WORDS = agreement_words(PolicyBundle.load(policy_folder()), RECORD_TYPES)
printable = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=60)


def members(**changes: Any) -> dict[str, Any]:
    found = json.loads(SAMPLE.canonical())
    return {name: value for name, value in {**found, **changes}.items() if value is not ...}


def refused(content: bytes) -> str:
    with pytest.raises(AgreementError) as caught:
        Document.from_canonical(content)
    return str(caught.value)


@settings(max_examples=150, deadline=None)
@given(title=printable, notes=st.lists(printable, max_size=4))
def test_it_has_one_spelling_the_standards(title: str, notes: list[str]) -> None:
    """MUST 2: as an independent implementation of RFC 8785 writes it, and the same again once read."""
    document = replace(SAMPLE, title=title, notes=tuple(notes))
    content = document.canonical()
    assert content == rfc8785.dumps(json.loads(content))
    assert Document.from_canonical(content) == document


def test_another_spelling_is_refused() -> None:
    """MUST 2."""
    assert "canonical" in refused(json.dumps(members(), indent=1, sort_keys=True).encode())
    assert "canonical" in refused(json.dumps(dict(reversed(members().items())), separators=(",", ":")).encode())
    assert "twice" in refused(SAMPLE.canonical()[:-1] + b',"version":1}')
    assert "JSON" in refused(SAMPLE.canonical() + b" x")
    assert "integers" in refused(SAMPLE.canonical().replace(b'"version":1', b'"version":1.0'))
    refused(b"[" * 100_000)
    refused(b"\xff\xfe")


@pytest.mark.parametrize("name", sorted(json.loads(SAMPLE.canonical())))
def test_nothing_may_be_left_out_and_nothing_added(name: str) -> None:
    """MUST 1."""
    assert f"{name}: it is missing" in refused(json.dumps(members(**{name: ...}), sort_keys=True).encode())
    assert "no such member" in refused(json.dumps(members(**{f"{name}_": 1}), sort_keys=True).encode())
    assert refused(json.dumps(members(**{name: None}), sort_keys=True).encode()).startswith(name)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"parties": ["police.example/one"]}, "parties"),
        ({"parties": ["police.example/two", "police.example/one"]}, "parties"),
        ({"parties": ["police.example/one", "police.example/one"]}, "parties"),
        ({"parties": ["police.example/one", "Police Two"]}, "parties"),
        ({"purposes": []}, "purposes"),
        ({"classes": {}}, "classes"),
        ({"classes": {"IDENTITY": "FULL"}}, "classes"),
        ({"classes": {"*": ["FULL"]}}, "classes"),
        ({"agreement_id": "Two Words"}, "agreement_id"),
        ({"agreement_id": "x" * 65}, "agreement_id"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "turned \u202e round"}, "title"),
        ({"title": " led by a space"}, "title"),
        ({"notes": "one text"}, "notes"),
        ({"valid_from": "2027-01-01"}, "valid_from"),
        ({"valid_from": "2027-02-30T00:00:00Z"}, "valid_from"),
        ({"valid_until": SAMPLE.members()["valid_from"]}, "valid_until"),
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
    ],
)
def test_what_has_another_form_is_refused(changes: dict[str, Any], path: str) -> None:
    """MUSTs 3 to 5."""
    assert refused(json.dumps(members(**changes), sort_keys=True).encode()).startswith(path)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"purposes": ("INVESTIGATION",)}, "purposes"),
        ({"purposes": ("FRAUD", "THREAT_TO_LIFE")}, "purposes"),
        ({"purposes": ("AUDIT",)}, "purposes"),
        ({"legal_bases": ("MAGNA_CARTA",)}, "legal_bases"),
        ({"assurances": ("NO_WORRIES",)}, "assurances"),
        ({"classes": (("*", "FULL"), ("SHOE_SIZE", "FULL"))}, "classes"),
        ({"classes": (("*", "WHISPER"),)}, "classes"),
        ({"classes": (("*", "FULL"), ("SOURCE", "FULL"))}, "classes.SOURCE"),
        ({"classes": (("*", "WITHHOLD"),)}, "classes"),
        ({"ceiling": "COSMIC"}, "ceiling"),
        ({"use": "ANYTHING"}, "use"),
        ({"onward": "EVERYBODY"}, "onward"),
        ({"record_types": ("diary",)}, "record_types"),
    ],
)
def test_what_cannot_hold_together_is_found(changes: dict[str, Any], path: str) -> None:
    found = contradictions(sample(**changes), WORDS)
    assert [one.path for one in found] == [path]
    assert contradictions(sample(), WORDS) == []


def test_all_of_it_is_found_at_once() -> None:
    found = contradictions(sample(ceiling="COSMIC", legal_bases=("A", "B"), purposes=("FRAUD",)), WORDS)
    assert [one.path for one in found] == ["ceiling", "legal_bases", "legal_bases", "purposes"]


def test_evidence_may_go_to_court() -> None:
    assert contradictions(sample(use="EVIDENTIAL", purposes=("FRAUD", "INVESTIGATION")), WORDS) == []


def test_the_client_knows_the_same_words() -> None:
    """But for which classes stay with their originator, which the broker alone says."""
    ours = known_words()
    assert replace(ours, owner_classes=WORDS.owner_classes, classes=WORDS.classes) == WORDS
    assert ours.classes <= WORDS.classes


def test_the_api_has_the_same_form() -> None:
    """The proto's rules take what the document's take."""
    message = agreement_message(SAMPLE)
    protovalidate.validate(message)
    assert message.use == 2
    assert [one.transform for one in message.classes] == [agreement_pb2.CLASS_TRANSFORM_FULL]
    message.parties.pop()
    with pytest.raises(protovalidate.ValidationError):
        protovalidate.validate(message)


# Drafting


def test_a_template_reads_as_it_is_and_says_what_may_be_said() -> None:
    text = template("trial", ["police.example/one", "abroad.example/two"])
    document = draft(text)
    assert document.agreement_id == "trial"
    assert document.parties == ("abroad.example/two", "police.example/one")
    assert contradictions(document, WORDS) == []
    assert all(word in text for words in (WORDS.purposes, WORDS.legal_bases, WORDS.assurances) for word in words)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("ceiling: SECRET", "ceiling: SECRET\nceiling: OFFICIAL"),
        lambda text: text.replace("ceiling: SECRET", ""),
        lambda text: text.replace("ceiling: SECRET", "ceiling: SECRET\nroof: SECRET"),
        lambda text: text.replace('"*": FULL', "IDENTITY: FULL"),
        lambda text: text.replace("use: EVIDENTIAL", "use: !!python/object/apply:os.getcwd []"),
        lambda text: text.replace("title:", "title: [", 1),
        lambda _: "- a list",
        lambda _: "",
    ],
)
def test_a_draft_that_is_unclear_is_refused(spoil: Any) -> None:
    with pytest.raises(AgreementError):
        draft(spoil(template("trial", [])))


def test_files_of_both_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "draft.yaml").write_text(template("trial", []))
    unsigned = read(tmp_path / "draft.yaml")
    (tmp_path / "draft.json").write_text(unsigned.text())
    assert read(tmp_path / "draft.json") == unsigned == SignedDocument.unsigned(unsigned.document)
    for content in ("{", '{"payload": "", "signatures": []}', "\x00"):
        (tmp_path / "bad").write_text(content)
        with pytest.raises(ConfigurationError, match="bad"):
            read(tmp_path / "bad")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path / "absent")
