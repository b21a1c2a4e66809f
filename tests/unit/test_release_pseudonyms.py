"""Pseudonyms: stable for one recipient and case, strange to every other, and nothing of the value in them."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.handle.report import index
from broker.keys import pseudonym_key
from broker.release.pseudonyms import LENGTH, NOBODY, NORMAL, Pseudonyms, Scope
from tests.support.canary import leaks

KEY = bytes(range(32))
MADE = Pseudonyms(KEY)
NORTH, SOUTH = "police.example/north", "police.example/south"
CASE = Scope.of(NORTH, "OP-17/2026")
SHAPE = re.compile(r"P-[A-Z2-7]{2}-[A-Z2-7]{20}")
kinds = st.sampled_from(sorted(NORMAL))


def named(value: str, scope: Scope = CASE, kind: str = "PHONE", made: Pseudonyms = MADE) -> str | None:
    return made.namer(scope)(kind, value)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("PHONE", "+44 (0)7700 900123", "0044 7700 900123"),
        ("NAME", "O'Neill, Zoë", "oneill zoe"),
        ("PLATE", "ab12 cde", "AB12CDE"),
        ("ACCOUNT", "gb82 west 1234", "GB82WEST1234"),
        ("REGISTRATION", "No. 00 12", "NO0012"),
        ("DEVICE", "35-209900-176148-1", "352099001761481"),
        ("DOCUMENT", "p 123 456", "P123456"),
        ("OPERATION", "Op. Anvil", "op anvil"),
        ("OFFICER", "Ana  Lime", "ana lime"),
        ("STAFF_NUMBER", "pc-1234", "PC1234"),
    ],
)
def test_two_spellings_are_one_value(kind: str, one: str, other: str) -> None:
    assert one != other
    assert named(one, kind=kind) == named(other, kind=kind) is not None


def test_every_kind_has_its_spellings_tried() -> None:
    (tried,) = (mark for mark in test_two_spellings_are_one_value.pytestmark)  # type: ignore[attr-defined]
    assert {case[0] for case in tried.args[1]} == NORMAL.keys()


def test_values_compare_as_search_compares_them() -> None:
    assert {kind.name: kind.normalise for kind in (*index.KINDS.values(), index.OPERATIONS)}.items() <= NORMAL.items()


@given(kinds, st.text(max_size=60))
def test_a_pseudonym_has_one_shape_and_holds_nothing_of_the_value(kind: str, value: str) -> None:
    made = named(value, kind=kind)
    if made is None:
        assert not NORMAL[kind](value)
        return
    assert SHAPE.fullmatch(made)
    assert len(made) == LENGTH
    assert not leaks(made.encode(), {"value": (value,)})


@given(kinds, st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_equal_pseudonyms_mean_equal_values(kind: str, one: str, other: str) -> None:
    first, second = named(one, kind=kind), named(other, kind=kind)
    if first is not None and second is not None:
        assert (first == second) == (NORMAL[kind](one) == NORMAL[kind](other))


def test_length_tells_nothing() -> None:
    assert {len(named("7" * digits) or "") for digits in (1, 5, 20, 10**5)} == {LENGTH}


def test_no_part_is_shared_with_another_recipient_case_kind_or_key() -> None:
    """Not only unequal: past the letters of the key no run of five letters of one is in another."""
    value = "07700900123"
    made = [
        named(value),
        named(value, Scope.of(SOUTH, "OP-17/2026")),
        named(value, Scope.of(NORTH, "OP-18/2026")),
        named(value, Scope.of("customs.example/north", "OP-17/2026")),
        *(named(value, kind=kind) for kind in NORMAL if kind != "PHONE"),
        named(value, made=Pseudonyms(bytes(32))),
    ]
    assert None not in made
    bodies = [str(one)[-20:] for one in made]
    runs = [{body[at : at + 5] for at in range(16)} for body in bodies]
    assert sum(map(len, runs)) == len(set().union(*runs)) == 16 * len(made)


def test_the_letters_of_the_key_tell_two_keys_apart() -> None:
    assert Pseudonyms(bytes(32)).epoch != MADE.epoch
    assert (named("1") or "").startswith(f"P-{MADE.epoch}-")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("police.example/north", "a"), ("police.example/northa", "")),
        (("police.example/north", "ab c"), ("police.example/northab", "c")),
        (("a/b", "c/d"), ("a/bc", "/d")),
    ],
)
def test_what_belongs_to_one_part_is_never_read_as_another(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = Scope(*one), Scope(other[0], other[1] or "x")
    assert named("1", first) != named("1", second)


@pytest.mark.parametrize("reference", ["OP-17/2026", " op-17/2026 ", "ＯＰ-17/2026", "Op-17/2026\n"])
def test_a_case_is_the_same_however_it_is_written(reference: str) -> None:
    assert Scope.of(NORTH, reference) == CASE


@pytest.mark.parametrize(("one", "other"), [("1-23", "12-3"), ("OP 17", "OP17"), ("a/b", "a b")])
def test_signs_tell_cases_apart(one: str, other: str) -> None:
    """Two cases are never one: what a recipient learns in one stays there."""
    assert Scope.of(NORTH, one) != Scope.of(NORTH, other)


@pytest.mark.parametrize("reference", ["", " ", "\t\n", "-", "...", "\u200b", "👮"])
def test_no_pseudonym_without_a_case(reference: str) -> None:
    scope = Scope.of(NORTH, reference)
    assert not scope.stated
    with pytest.raises(ValueError, match="without a recipient and a case"):
        MADE.namer(scope)


@pytest.mark.parametrize("scope", [NOBODY, Scope("", "case"), Scope(NORTH, "")])
def test_no_pseudonym_for_nobody(scope: Scope) -> None:
    with pytest.raises(ValueError, match="without a recipient and a case"):
        MADE.namer(scope)


@pytest.mark.parametrize("kind", sorted(NORMAL))
@pytest.mark.parametrize("value", ["", " ", "-", "???", "\0", "👮"])
def test_what_cannot_be_compared_has_none(kind: str, value: str) -> None:
    assert named(value, kind=kind) is None


def test_an_unknown_kind_is_a_defect() -> None:
    with pytest.raises(KeyError):
        named("x", kind="SHOE_SIZE")


def test_scopes_beyond_the_bound_keep_their_pseudonyms() -> None:
    before = named("07700900123")
    for number in range(3000):
        MADE.namer(Scope(NORTH, str(number)))
    assert named("07700900123") == before


def test_the_key_is_made_once_and_is_the_brokers_alone(tmp_path: Path) -> None:
    first = pseudonym_key(tmp_path)
    assert (len(first), pseudonym_key(tmp_path)) == (32, first)
    assert stat.S_IMODE((tmp_path / "keys/pseudonym.key").stat().st_mode) == 0o600
    assert pseudonym_key(tmp_path / "another") != first


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_damaged_key_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="restore it or remove it"):
        Pseudonyms(bytes(size))
