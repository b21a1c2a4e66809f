"""Real networks with protected attributes: no answer, link count, page, size or error tells two values of one apart.

In the other world each network differs in one protected attribute of one nominal; see `tests/proof/networks.py` for
how networks become reports. `make proof` asks about more nominals.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.domain.directory import Agency
from broker.domain.directory import Agreement as StoredAgreement
from certs.network import Party
from entente.report.v1 import report_service_pb2 as wire
from tests.proof.networks import COUNTRIES, Network, read, report
from tests.proof.population import FOREVER_US, PURPOSES, Person, Population
from tests.proof.worlds import Asked, World, both, transcript
from tests.reference import decision
from tests.reference.facts import Agreement, Marks, Reader
from tests.support.shared import shared_data
from tests.support.worlds import differences

SCALE = int(os.environ.get("PROOF_SCALE", "1"))
AUTHOR, NEIGHBOUR, ABROAD, NATIONAL = (
    Agency("police.example/northshire", "Northshire", "GB", "LOCAL"),
    Agency("police.example/region", "Region", "GB", "REGIONAL"),
    Agency("justitie.example/haven", "Haven", "NL", "INTERNATIONAL"),
    Agency("police.example/national", "National", "GB", "NATIONAL"),
)
# With whom the author has agreed, on what.
AGREED = {ABROAD.name: {"*": "FULL", "BIOGRAPHIC": "WITHHOLD"}, NATIONAL.name: {"*": "FULL"}}


def person(agency: Agency, role: str, purpose: str, clearance: str = "SECRET") -> Person:
    """Somebody of an agency, with its agreement with the author, if it has one."""
    transforms = AGREED.get(agency.name)
    agreements = () if transforms is None else (_agreement(frozenset({AUTHOR.name}), transforms),)
    reader = Reader(
        agency=agency.name,
        country=agency.country,
        level=agency.level,
        compartments=frozenset(),
        roles=frozenset({role}),
        clearance=clearance,
        nationalities=frozenset({agency.country}),
        token_purposes=frozenset(PURPOSES),
        purpose=purpose,
        agreements=agreements,
    )
    user = f"{role}.{purpose}.{clearance}".lower()
    party = Party(user, user, agency.name, "", agency.country, agency.level, (role,), clearance)
    return Person(party, reader)


def _agreement(partners: frozenset[str], transforms: dict[str, str]) -> Agreement:
    return Agreement(partners, frozenset(PURPOSES), "SECRET", transforms=transforms)


def population() -> Population:
    made = Population(random.Random(1), [AUTHOR, NEIGHBOUR, ABROAD, NATIONAL])
    for name, transforms in AGREED.items():
        parties = frozenset({AUTHOR.name, name})
        stored = StoredAgreement(
            f"with {name}", parties, frozenset(PURPOSES), "SECRET", 0, FOREVER_US, classes=tuple(transforms.items())
        )
        made.agreements.append((parties, stored, _agreement(parties, transforms)))
    return made


# Who asks, by the attribute that is hidden from them.
ASKERS = {
    "birthplace": (
        person(NEIGHBOUR, "analyst", "INVESTIGATION"),
        person(ABROAD, "liaison_officer", "INVESTIGATION"),
        person(NATIONAL, "officer", "FRAUD"),
    ),
    "convictions": (
        person(NEIGHBOUR, "analyst", "INVESTIGATION"),
        person(ABROAD, "liaison_officer", "INVESTIGATION"),
        person(NATIONAL, "officer", "INTELLIGENCE_DEVELOPMENT"),
        person(AUTHOR, "officer", "INVESTIGATION", clearance="OFFICIAL"),
    ),
}


def networks() -> list[Network]:
    """Every network that fits into a report, and nominals of one of them each by itself, so that there are pages."""
    found = [one for one in read(shared_data("criminal-networks")) if one.fits]
    assert len(found) >= 16
    gang = next(one for one in found if one.title == "london_gang")
    if SCALE == 1:
        return [*found[::6], *(gang.alone(at) for at in range(4))]
    return [*found, *(gang.alone(at) for at in range(len(gang.nominals)))]


def questions(rnd: random.Random, found: list[Network]) -> Iterator[Asked]:
    """Everything that can be asked of reports, names of nominals and protected values above all."""
    for number in range(len(found)):
        yield "GetReport", wire.GetReportRequest(), number
        yield "ListReportVersions", wire.ListReportVersionsRequest(), number
        for etag in ("", "0" * 32):
            key = str(uuid.UUID(int=number + 1, version=4))
            yield "RetractReport", wire.RetractReportRequest(etag=etag, idempotency_key=key, reason="no"), number
    for size in (1, 4, 1000):
        yield "SearchReports", wire.SearchReportsRequest(page_size=size), -1
    follow = wire.SubscribeReportsRequest()
    follow.start.SetInParent()
    yield "SubscribeReports", follow, -1
    texts = ["network", "born", "convicted", "conviction", "stands times", *COUNTRIES, *map(str, range(8))]
    for text in texts:
        yield "SearchReports", wire.SearchReportsRequest(text=text, page_size=3), -1
    for network in found:
        for one in rnd.sample(network.nominals, min(1 if SCALE == 1 else 3, len(network.nominals))):
            name = wire.EntityQuery(kind=wire.ENTITY_KIND_NAME, value=f"Nominal {one.name} {network.title}")
            yield "SearchReports", wire.SearchReportsRequest(entity=name), -1
            yield "SearchReports", wire.SearchReportsRequest(entity=name, text="born"), -1
            said = f"{one.name} convicted {one.convictions} times"
            yield "SearchReports", wire.SearchReportsRequest(text=said), -1


def require_hidden(attribute: str, asker: Person) -> None:
    """The reference says that the attribute is hidden from the asker, in a report that is not."""
    marks = Marks(AUTHOR.name, "OFFICIAL", "P", tlp="GREEN")
    assert decision.sees(asker.reader, marks)
    if attribute == "birthplace":
        assert decision.form(asker.reader, marks, marks, "BIOGRAPHIC") != decision.FULL
    else:
        said = Marks(AUTHOR.name, "SECRET", sanitisation="SOURCE_PROTECTED").within(marks)
        assert not decision.visible(asker.reader, said, marks)


@pytest.mark.parametrize("attribute", ASKERS)
@pytest.mark.parametrize("round_", range(1 if SCALE == 1 else 3))
async def test_protected_attributes_show_nowhere(tmp_path: Path, attribute: str, round_: int) -> None:
    ones = networks()
    others = [one.with_other(attribute, 7 * round_ + 3 * number + 1) for number, one in enumerate(ones)]
    compared = 0
    async with both(tmp_path, population()) as (first, second):
        for world, shared in ((first, ones), (second, others)):
            await _share(world, shared)
        for asker in ASKERS[attribute]:
            require_hidden(attribute, asker)
            asked = list(questions(random.Random(round_), ones))
            mine = await transcript(first, asker, asked)
            yours = await transcript(second, asker, asked)
            found = list(differences(mine, yours))
            assert not found, f"{attribute} shows {asker.party.agency} {len(found)} times, first: {found[0]}"
            compared += len(mine.said)
    print(f"\n{attribute}: {len(ones)} networks and nominals, {compared} pairs of answers alike")


async def _share(world: World, shared: list[Network]) -> None:
    author = person(AUTHOR, "officer", "INVESTIGATION", "SECRET")
    for network in shared:
        request: Any = wire.SubmitReportRequest(report=report(network), idempotency_key=str(uuid.uuid4()))
        reply = await world.write(author, "SubmitReport", request)
        world.targets.append((reply.record_id, reply.etag))
