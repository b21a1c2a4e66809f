"""Reading bundles: what is no bundle is refused in words, what is no object is a row, and the rest stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entente_sdk.stix.bundle import BundleError, find_bundles, parse_bundle, read_bundle
from entente_sdk.stix.rows import Outcome
from tests.support.stix_bundles import FIRST, SECOND, bundle, group, raw_bundle, thing


@pytest.mark.parametrize(
    ("raw", "reason", "words"),
    [
        (b"", "BUNDLE_UNREADABLE", "not JSON"),
        (b"\xff\xfe", "BUNDLE_UNREADABLE", "not JSON"),
        (b"[1, 2", "BUNDLE_UNREADABLE", "not JSON"),
        (b"[" * 200_000, "BUNDLE_UNREADABLE", "not JSON"),
        (b'{"type": "bundle", "x": NaN}', "BUNDLE_UNREADABLE", "NaN is not JSON"),
        (b'{"type": "bundle", "x": ' + b"1" * 5000 + b"}", "BUNDLE_UNREADABLE", "not JSON"),
        (b'{"type": "bundle", "type": "bundle"}', "BUNDLE_UNREADABLE", "given twice"),
        (b"[]", "BUNDLE_INVALID", "not a STIX bundle"),
        (b'{"type": "report"}', "BUNDLE_INVALID", "not a STIX bundle"),
        (b'{"type": "bundle", "spec_version": "1.2"}', "BUNDLE_INVALID", "1.2"),
        (b'{"type": "bundle", "objects": {}}', "BUNDLE_INVALID", "not a list"),
    ],
)
def test_what_is_no_bundle_is_refused_in_words(raw: bytes, reason: str, words: str) -> None:
    with pytest.raises(BundleError) as refused:
        parse_bundle(raw, "file.json")
    assert refused.value.reason == reason
    assert words in refused.value.message
    assert "nothing of this file was imported" in refused.value.diagnostics()


def test_a_bundle_over_the_limit_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(b"[" + b" " * (2 << 20))
    with pytest.raises(BundleError, match="over 1 MiB"):
        read_bundle(path, max_bytes=1 << 20)


def test_too_many_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entente_sdk.stix.bundle.MAX_OBJECTS", 2)
    with pytest.raises(BundleError, match="3 objects"):
        bundle(group("a"), group("b"), group("c"))


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path / "absent.json")
    with pytest.raises(BundleError, match=r"no \.json"):
        find_bundles([tmp_path])


def test_a_folder_stands_for_its_bundles_in_order(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_bundles([tmp_path, tmp_path / "a.json"])] == ["a.json", "b.json"]


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (7, "not a JSON object"),
        ({"type": "intrusion-set"}, "id is missing"),
        ({"id": "intrusion-set--1", "type": "intrusion-set"}, "not a STIX id"),
        ({**group("a"), "type": None}, "type is missing"),
        ({**group("a"), "type": "campaign"}, "not that of its id"),
        ({**group("a"), "spec_version": "3.0"}, "3.0"),
        ({**group("a"), "name": "\ud800"}, "lone surrogate"),
        ({**group("a"), "x": [{"\udfff": 1}]}, "lone surrogate"),
    ],
)
def test_what_is_no_object_is_a_failed_row_and_the_rest_stands(member: object, words: str) -> None:
    found = bundle(member, group("sound"))
    assert [one.name for one in found.objects.values()] == ["sound"]
    (row,) = found.rejected
    assert row.outcome is Outcome.FAILED
    assert words in row.detail
    json.dumps(row.stix_id + row.name).encode("utf-8")


def test_of_two_versions_the_newer_counts_whatever_their_order() -> None:
    for objects in ((group("a", FIRST), group("a", SECOND)), (group("a", SECOND), group("a", FIRST))):
        found = bundle(*objects)
        assert [one.modified for one in found.objects.values()] == [SECOND]
        assert [row.detail for row in found.rejected] == ["an older version in the same bundle"]


def test_an_object_given_twice_counts_once_and_two_that_differ_not_at_all() -> None:
    assert len(bundle(group("a"), group("a")).objects) == 1
    found = bundle(group("a"), group("a", description="other"), group("b"))
    assert [one.name for one in found.objects.values()] == ["b"]
    assert {row.outcome for row in found.rejected} == {Outcome.FAILED}


def test_the_collection_is_known_only_where_there_is_one() -> None:
    assert bundle(group("a")).collection is None
    one, two = thing("x-mitre-collection", "one"), thing("x-mitre-collection", "two")
    found = bundle(one).collection
    assert found is not None
    assert found.name == "one"
    assert bundle(one, two).collection is None


def test_a_byte_order_mark_does_not_matter() -> None:
    assert parse_bundle(b"\xef\xbb\xbf" + raw_bundle(group("a")), "x").objects
