"""A build made to leak is caught, for each field: what finds canaries is itself put to the test.

For each classed path of a report, release is broken so that this one field alone gets out, to somebody from whom the
whole record is hidden, and to somebody who sees the record but not the field. Driven by the descriptors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from broker.decide.decider import Decider
from broker.domain.grant import FULL, ClassGrant, Grant
from broker.release import plans
from broker.release.ceiling import Ceiling
from broker.release.projector import Releaser
from entente.report.v1 import report_service_pb2
from tests.support.gallery import COMPARTMENT_NUMBER, Gallery, gallery
from tests.support.live import party_named
from tests.support.looks import REWRITTEN, Look, by_record, present
from tests.support.tainted import CLASSED, PORTIONS, Leaf, Sight, Tainted, level, set_leaves
from tests.support.visitors import Heard, Visitor, ask

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREIGNER = Visitor(party_named["liaison"], party_named["liaison"].roles, "INVESTIGATION")
UNCLEARED = dataclasses.replace(FOREIGNER, clearance="OFFICIAL")
# Between them they are withheld every class that anybody is withheld.
READERS = (
    FOREIGNER,
    Visitor(party_named["liaison"], party_named["liaison"].roles, "CRIME_PREVENTION"),
    Visitor(party_named["regional"], party_named["regional"].roles, "FRAUD"),
    Visitor(party_named["regional"], party_named["regional"].roles, "CRIME_PREVENTION"),
    Visitor(party_named["neighbourhood"], ("officer",), "INVESTIGATION"),
)


@dataclasses.dataclass
class Stage:
    """The reports, what each reader may see of them, and which paths are set in each."""

    gallery: Gallery
    sights: dict[Visitor, Sight]
    shown: dict[Visitor, set[int]]
    kept: dict[str, set[str]]

    def latest(self) -> list[Tainted]:
        return list(by_record(self.gallery.exhibits).values())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def hung(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with gallery(tmp_path_factory.mktemp("leaky") / "network") as made:
        broker, get = made.house.broker, made.rule("GetReport")
        numbers = {marks: number for number, marks in broker.store.mark_sets(0)}
        await broker.decider.refresh()
        sights = {one: Sight(one.party.agency, await one.grant(broker, get), numbers) for one in (UNCLEARED, *READERS)}
        shown = {one: {n for exhibit in made.exhibits for n in sight.shown(exhibit)} for one, sight in sights.items()}
        yield Stage(made, sights, shown, {name: kept(one) for name, one in by_record(made.exhibits).items()})


@pytest.fixture
def rebuilt(hung: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Breaks release so that one path gets out whatever its class; nothing that was released before is remembered."""
    pipeline = hung.gallery.house.broker.pipeline
    decider, releaser = pipeline.decider, pipeline.releaser

    def leak(path: str) -> None:
        sound = plans.treatment

        def treatment(rule: Any, levels: Any) -> str:
            return FULL if rule.descriptor is CLASSED[path].descriptor else sound(rule, levels)

        monkeypatch.setattr(plans, "treatment", treatment)
        # The hard ceiling would stop most of it by itself: it is out of order too.
        monkeypatch.setattr(Ceiling, "require", lambda *_: None)
        object.__setattr__(pipeline, "releaser", Releaser(pseudonyms=releaser.pseudonyms))

    yield leak
    object.__setattr__(pipeline, "decider", decider)
    object.__setattr__(pipeline, "releaser", releaser)


class OpenDecider:
    """Grants sight of every record and portion, and of no class."""

    def __init__(self, sound: Decider) -> None:
        self._sound = sound

    async def decide(self, *asked: Any) -> Grant:
        grant = await self._sound.decide(*asked)
        return dataclasses.replace(
            grant,
            rows=(1 << grant.watermark + 1) - 1,
            classes=dict.fromkeys(grant.classes, ClassGrant()),
            # Nothing that was found out of the sound one holds for it.
            lineage=object(),
        )

    async def refresh(self) -> None:
        await self._sound.refresh()


each = pytest.mark.parametrize("leaf", CLASSED.values(), ids=lambda leaf: leaf.path)


@each
async def test_a_field_of_a_hidden_record_is_caught(hung: Stage, rebuilt: Callable[[str], None], leaf: Leaf) -> None:
    sight = hung.sights[UNCLEARED]
    hidden = [one for one in hung.latest() if sight.levels(one, ("", 0)) is None]
    exhibit = [one for one in hidden if leaf.path in hung.kept[one.record_id]][-1]
    assert not caught(hung, UNCLEARED, await got(hung, UNCLEARED, exhibit))
    pipeline = hung.gallery.house.broker.pipeline
    object.__setattr__(pipeline, "decider", OpenDecider(pipeline.decider))
    rebuilt(leaf.path)
    assert caught(hung, UNCLEARED, await got(hung, UNCLEARED, exhibit)) == {leaf.path}


@each
async def test_a_field_of_a_seen_record_is_caught(hung: Stage, rebuilt: Callable[[str], None], leaf: Leaf) -> None:
    found = next(denied(hung, leaf), None)
    if found is None:
        # Whoever sees the record sees the field: it cannot leak but with the record.
        assert leaf.field_class in always_open(hung)
        return
    visitor, exhibit = found
    assert not caught(hung, visitor, await got(hung, visitor, exhibit))
    rebuilt(leaf.path)
    heard = await got(hung, visitor, exhibit)
    assert caught(hung, visitor, heard) == {leaf.path}
    # What leaks is not disclosed either: the check of disclosures finds it for itself.
    faults = Look(exhibit, heard, hung.sights[visitor]).faults()
    assert {fault.partition(":")[0] for fault in faults} == {leaf.path}


def kept(one: Tainted) -> set[str]:
    """The paths that are set somewhere in a report."""
    found = set(REWRITTEN)
    for place in one.places():
        found |= set_leaves(one.message(place), f"{place[0]}." if place[0] else "")
    return found


def denied(hung: Stage, leaf: Leaf) -> Iterator[tuple[Visitor, Tainted]]:
    """Who sees a record, but of this path, wherever it is in it, nothing or not all."""
    first = leaf.path.partition(".")[0]
    name = first if first in PORTIONS else ""
    for visitor in READERS:
        sight = hung.sights[visitor]
        for one in hung.latest():
            if not one.alone or sight.levels(one, ("", 0)) is None or leaf.path not in hung.kept[one.record_id]:
                continue
            granted = [sight.levels(one, place) for place in one.places() if place[0] == name]
            if all(levels is not None and level(leaf, levels) != FULL for levels in granted):
                yield visitor, one


def always_open(hung: Stage) -> set[str]:
    """The classes that each reader has in full on every record that it sees."""
    seen = [hung.sights[visitor].levels(one, ("", 0)) or {} for visitor in READERS for one in hung.latest()]
    closed = {name for levels in seen for name, how in levels.items() if how != FULL}
    return {leaf.field_class for leaf in CLASSED.values()} - closed


async def got(hung: Stage, visitor: Visitor, one: Tainted) -> Heard:
    request = report_service_pb2.GetReportRequest(record_id=one.record_id)
    return await ask(hung.gallery.house, visitor, hung.gallery.rule("GetReport"), request)


def caught(hung: Stage, visitor: Visitor, heard: Heard) -> set[str]:
    """The paths that the harness says have leaked: by canaries or, where values are too few for one, by presence."""
    asked: Any = heard.rule.request_type.FromString(heard.request)
    exhibit, sight = by_record(hung.gallery.exhibits)[asked.record_id], hung.sights[visitor]
    leaked = hung.gallery.finder.find(heard.everything) - hung.shown[visitor] - {COMPARTMENT_NUMBER}
    found = {canary.path for one in hung.gallery.exhibits for canary in one.canaries if canary.number in leaked}
    few = CLASSED.keys() - {canary.path for canary in exhibit.canaries}
    if heard.replies and sight.levels(exhibit, ("", 0)) is not None:
        found |= few & {fault.partition(":")[0] for fault in Look(exhibit, heard, sight).faults()}
    elif heard.replies:
        reply: Any = heard.rule.response_type.FromString(heard.replies[0])
        found |= few & present(reply.report)
    return found
