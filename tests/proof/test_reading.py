"""Get = Search = Export = stream = the reference: each way of reading tells each reader the same of each field.

The reference (tests/reference) is written from the prose of docs/policy.md. `make proof` asks for larger numbers.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from broker.domain.grant import FULL
from broker.release import plans
from broker.release.classes import FieldRule
from entente.report.v1 import report_pb2
from tests.proof.finding import look
from tests.proof.judgement import Tally, judge
from tests.proof.population import Person, Population
from tests.proof.town import Town, town

SCALE = int(os.environ.get("PROOF_SCALE", "1"))
READERS, REPORTS = 14, 24
# Searches for one value, of each reader.
LOOKS = 15 if SCALE == 1 else 40
Shown = Mapping[str, report_pb2.DisclosedReport]


async def test_every_way_of_reading_agrees_with_the_reference(tmp_path: Path) -> None:
    tally, readings = Tally(), 0
    for round_ in range(SCALE):
        population = Population.of(1_000 + round_, readers=READERS + (SCALE > 1) * 13)
        async with town(tmp_path / str(round_), population) as place:
            await place.stock(REPORTS + (SCALE > 1) * 26)
            for number, person in enumerate(population.people):
                await read(place, person, tally, tmp_path / f"{round_}-{number}.jsonl")
                await look(place, person, tally, random.Random(number), LOOKS)
                readings += 1
        assert not tally.faults, f"{len(tally.faults)} of {tally.triples} differ, the first: {tally.faults[:3]}"
    print(f"\n{tally.triples} (reader, record, field) equal to the reference, {readings} readers: {tally.counts}")
    assert {"full", "coarser", "pseudonym", "withheld", "hidden", "pointer"} <= tally.counts.keys()


async def test_a_broker_that_shows_too_much_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the source stays with its originator it goes in full: nothing else is wrong with this broker."""
    sound = plans.treatment

    def treatment(rule: FieldRule, levels: Mapping[str, str]) -> str:
        return FULL if rule.field_class == "SOURCE" else sound(rule, levels)

    monkeypatch.setattr(plans, "treatment", treatment)
    tally = Tally()
    population = Population.of(1_001, readers=6)
    async with town(tmp_path / "town", population) as place:
        await place.stock(10)
        for person in population.people:
            for one in place.reports:
                judge(tally, person.reader, one, await place.get(person, one.record_id))
    assert tally.faults


async def read(place: Town, person: Person, tally: Tally, file: Path) -> None:
    """Read everything in every way, and compare."""
    got = {one.record_id: await place.get(person, one.record_id) for one in place.reports}
    for one in place.reports:
        judge(tally, person.reader, one, got[one.record_id])
    whole = {key: one for key, one in got.items() if one is not None and one.HasField("report")}
    searched, followed = await place.search(person, 7), await place.follow(person)
    if searched is None or followed is None:
        assert searched is followed is None
        assert not any(got.values()), "a reader who may not search got a report"
        return
    exported = await place.export(person, file, 11)
    for name, found in (("search", searched), ("stream", followed), ("export", exported)):
        same(tally, name, whole, found)


def same(tally: Tally, name: str, got: Shown, found: Shown) -> None:
    """The same reports, and of each the same bytes: values, disclosure and all."""
    if got.keys() != found.keys():
        tally.faults.append(f"{name} finds {len(found)} reports, get {len(got)}: {got.keys() ^ found.keys()}")
        return
    for key, one in got.items():
        if one.SerializeToString(deterministic=True) != found[key].SerializeToString(deterministic=True):
            tally.faults.append(f"{name} and get differ in {key}: {found[key]} {one}"[:4000])
