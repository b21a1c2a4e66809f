"""Grants and the evaluations that they are made of are kept within one bound, and go together; flights are shared."""

from __future__ import annotations

import asyncio

import pytest

from broker.decide.cache import BoundedCache, SingleFlight
from broker.decide.grant_cache import GrantCache


def cache(max_grants: int = 100, max_bytes: int = 1_000) -> GrantCache[str, str]:
    return GrantCache(max_grants, max_bytes)


def test_a_grant_goes_with_its_evaluation_the_least_recently_used_first() -> None:
    kept = cache(max_bytes=350)
    for question in "abc":
        kept.keep(question, f"e{question}", 100)
        kept.add(question, f"key {question}", f"grant {question}", 10)
    assert (kept.bytes, len(kept)) == (330, 3)
    # Whoever is served keeps its question in use.
    assert kept.grant("key a") == "grant a"
    kept.keep("d", "ed", 100)
    assert (kept.evaluation("b"), kept.grant("key b")) == (None, None)
    assert (kept.grant("key a"), kept.evaluation("c"), kept.bytes) == ("grant a", "ec", 320)
    kept.keep("e", "ee", 100)
    assert kept.evaluation("d") is None
    assert (kept.bytes, len(kept)) == (320, 2)


def test_an_evaluation_asked_for_is_in_use() -> None:
    kept = cache(max_bytes=200)
    kept.keep("a", "ea", 100)
    kept.keep("b", "eb", 100)
    assert kept.evaluation("a") == "ea"
    kept.keep("c", "ec", 100)
    assert (kept.evaluation("a"), kept.evaluation("b")) == ("ea", None)


def test_an_evaluation_that_is_kept_again_is_in_use() -> None:
    kept = cache(max_bytes=200)
    for question in ("a", "b", "a", "c"):
        kept.keep(question, None if question == "a" else f"e{question}", 100)
    assert (kept.evaluation("b"), kept.evaluation("c"), len(kept._kept)) == (None, "ec", 2)
    kept.add("a", "key", "grant", 0)
    assert kept.grant("key") == "grant"


def test_what_is_too_large_is_not_kept_nor_are_its_grants() -> None:
    kept = cache(max_bytes=100)
    kept.keep("a", "ea", 101)
    kept.add("a", "key", "grant", 1)
    assert (kept.bytes, len(kept), kept.grant("key"), kept.evaluation("a")) == (0, 0, None, None)
    kept.keep("a", "ea", 100)
    assert (kept.bytes, kept.evaluation("a")) == (100, "ea")
    kept.add("a", "key", "grant", 1)
    assert (kept.bytes, len(kept)) == (0, 0)


def test_a_new_evaluation_takes_the_place_of_the_old_with_its_grants() -> None:
    kept = cache()
    kept.keep("a", "old", 100)
    kept.add("a", "key", "grant", 10)
    kept.keep("a", "new", 70)
    assert (kept.bytes, kept.evaluation("a"), kept.grant("key"), len(kept)) == (70, "new", None, 0)
    kept.add("a", "key", "grant", 10)
    kept.keep("a", "new", 70)  # the same again changes nothing
    assert (kept.bytes, kept.grant("key")) == (80, "grant")


def test_questions_without_bitmaps_keep_the_grants_of_all_who_ask_them() -> None:
    kept = cache()
    for key in ("one", "two"):
        kept.keep("method", None, 0)
        kept.add("method", key, f"grant {key}", 10)
    assert (kept.grant("one"), kept.grant("two"), kept.bytes) == ("grant one", "grant two", 20)


def test_a_grant_made_again_is_weighed_once() -> None:
    kept = cache()
    kept.keep("a", "ea", 100)
    for grant in ("first", "second"):
        kept.add("a", "key", grant, 10)
    assert (kept.bytes, kept.grant("key"), len(kept)) == (110, "second", 1)


def test_stale_grants_go_and_evaluations_stay() -> None:
    kept = cache()
    for question in "ab":
        kept.keep(question, f"e{question}", 100)
        kept.add(question, f"key {question}", "grant", 10)
    kept.drop_grants()
    assert (kept.bytes, len(kept), kept.grant("key a")) == (200, 0, None)
    assert (kept.evaluation("a"), kept.evaluation("b")) == ("ea", "eb")
    kept.add("a", "key a", "grant", 10)
    assert (kept.bytes, kept.grant("key a")) == (210, "grant")


def test_the_number_of_grants_is_bounded_too() -> None:
    kept = cache(max_grants=3)
    for question in "abcd":
        kept.keep(question, question, 1)
        kept.add(question, f"key {question}", "grant", 1)
    assert [bool(kept.grant(f"key {question}")) for question in "abcd"] == [False, True, True, True]
    assert (len(kept), kept.bytes) == (3, 6)


def test_a_bounded_cache_weighs_what_it_holds_and_drops_the_least_recently_used() -> None:
    kept: BoundedCache[str] = BoundedCache(max_entries=3, max_bytes=10, weigh=len)
    for key in "abc":
        kept.put(key, "xx")
    assert (kept.get("a"), kept.bytes, len(kept)) == ("xx", 6, 3)
    kept.put("a", "xxxx")
    assert (kept.bytes, len(kept)) == (8, 3)
    kept.put("d", "xx")
    assert (kept.get("b"), kept.get("a"), kept.bytes, len(kept)) == (None, "xxxx", 8, 3)
    kept.put("e", "x" * 6)
    assert ([kept.get(key) for key in "cade"], kept.bytes) == ([None, "xxxx", None, "x" * 6], 10)
    kept.put("f", "x" * 11)
    assert (kept.bytes, len(kept)) == (0, 0)
    kept.put("g", "x")
    kept.clear()
    assert (kept.bytes, len(kept), kept.get("g")) == (0, 0, None)


async def test_a_flight_is_shared_while_it_lasts_and_no_longer() -> None:
    flights, started = SingleFlight(), list[int]()

    async def work() -> int:
        started.append(1)
        await asyncio.sleep(0)
        return len(started)

    assert await asyncio.gather(flights.run("a", work), flights.run("a", work), flights.run("b", work)) == [2, 2, 2]
    assert await flights.run("a", work) == 3
    assert not flights._flights


async def test_a_flight_outlives_whoever_gives_up_and_its_failure_is_nobodys_else() -> None:
    flights = SingleFlight()
    go = asyncio.Event()

    async def fail() -> int:
        await go.wait()
        raise ValueError("no")

    impatient = asyncio.ensure_future(flights.run("a", fail))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    assert flights._flights
    patient = asyncio.ensure_future(flights.run("a", fail))
    go.set()
    with pytest.raises(ValueError, match="no"):
        await patient
    assert not flights._flights
