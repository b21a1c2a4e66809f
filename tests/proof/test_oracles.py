"""By hand, as an adversary: what hides is one answer with what is missing, in size, shape and steps.

`tests/proof/test_two_worlds.py` compares contents; here are the things beside them: the size of every part of an
answer, what its entry says, what a token of one purpose or person is worth to another, and how long it takes. Times are
printed, never asserted: they are the machine's.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from entente.common.v1 import marks_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_tlog.receipt import parse_receipt, split_receipt
from tests.proof.population import Person, Population
from tests.proof.test_criminal_networks import ABROAD, AUTHOR, NATIONAL, NEIGHBOUR, person, population
from tests.proof.town import town
from tests.proof.worlds import World
from tests.support.house import reason_of, refusal_details
from tests.support.tainted import filled
from tests.support.visitors import Heard

SCALE = int(os.environ.get("PROOF_SCALE", "1"))
ASKER = person(NEIGHBOUR, "analyst", "INVESTIGATION")
COLLEAGUE = person(NEIGHBOUR, "analyst", "FRAUD")
WRITER = person(AUTHOR, "officer", "INVESTIGATION")
# All that tells of other bytes than those that were asked for, and is as long in every answer.
_NUMBERS = {"monotonic_us", "duration_us", "bytes"}


def marked(**changes: Any) -> marks_pb2.Marks:
    return marks_pb2.Marks(
        classification=marks_pb2.CLASSIFICATION_OFFICIAL, handling_code=marks_pb2.HANDLING_CODE_P, **changes
    )


HIDDEN = {
    "by clearance": marked(tlp=marks_pb2.TLP_AMBER),
    "by its recipients": marked(releasable_to=marks_pb2.ReleasableTo()),
    "by its reach": marked(reach=marks_pb2.REACH_NONE, tlp=marks_pb2.TLP_GREEN),
    "silently": marked(reach=marks_pb2.REACH_SILENT, tlp=marks_pb2.TLP_GREEN),
    "silently, as its fallback": marked(fallback=marks_pb2.FALLBACK_SILENT, tlp=marks_pb2.TLP_RED),
    "withdrawn": marked(tlp=marks_pb2.TLP_AMBER),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with town(tmp_path, population()) as place:
        yield World(place)


async def share(world: World, marks: marks_pb2.Marks, number: int) -> tuple[str, report_pb2.Report]:
    report = filled(number, marks)
    request = wire.SubmitReportRequest(report=report, idempotency_key=str(uuid.uuid4()))
    return (await world.write(WRITER, "SubmitReport", request)).record_id, report


async def hidden_ids(world: World) -> dict[str, tuple[str, report_pb2.Report]]:
    made = {name: await share(world, marks, number) for number, (name, marks) in enumerate(HIDDEN.items())}
    record_id, _ = made["withdrawn"]
    got = await world.place.get(WRITER, record_id)
    assert got is not None
    retract = wire.RetractReportRequest(record_id=record_id, etag=got.report.header.etag, reason="entered in error")
    retract.idempotency_key = str(uuid.uuid4())
    await world.write(WRITER, "RetractReport", retract)
    return made


def shape(heard: Heard) -> tuple[Any, ...]:
    """Everything but the bytes that every answer has anew: lengths in their place."""
    if heard.error is None:
        body, receipt = split_receipt(heard.replies[0])
        return body, _leaf(parse_receipt(receipt).leaf)
    found: list[Any] = [heard.error.code(), heard.error.details(), reason_of(heard.error).reason]
    for detail in refusal_details(heard.error):
        if detail.DESCRIPTOR.name == "Receipt":
            found.append(_leaf(detail.leaf))  # type: ignore[attr-defined]
        else:
            found.append((detail.DESCRIPTOR.name, detail.ByteSize()))
    return tuple(found)


def _leaf(raw: bytes) -> tuple[Any, ...]:
    leaf = json.loads(raw)
    return tuple((key, None if key in _NUMBERS else len(json.dumps(leaf[key]))) for key in sorted(leaf))


async def get(world: World, record_id: str, who: Person = ASKER) -> Heard:
    return await world.hear(who, world.place.rule("GetReport"), wire.GetReportRequest(record_id=record_id))


async def search(world: World, who: Person = ASKER, **conditions: Any) -> Heard:
    return await world.hear(who, world.place.rule("SearchReports"), wire.SearchReportsRequest(**conditions))


async def test_hidden_in_any_way_is_missing_to_the_byte(world: World) -> None:
    made = await hidden_ids(world)
    for method in ("GetReport", "ListReportVersions"):
        rule = world.place.rule(method)
        asked = {name: rule.request_type(record_id=one) for name, (one, _) in made.items()}  # type: ignore[call-arg]
        asked["missing"] = rule.request_type(record_id=secrets.token_hex(16))  # type: ignore[call-arg]
        shapes = {name: shape(await world.hear(ASKER, rule, request)) for name, request in asked.items()}
        assert len(set(shapes.values())) == 1, shapes


async def test_a_search_that_hits_something_hidden_is_one_that_hits_nothing(world: World) -> None:
    made = await hidden_ids(world)
    shapes = {}
    for name, (_, report) in made.items():
        (phone,) = (one.phone.number for one in report.entities if one.HasField("phone"))
        entity = wire.EntityQuery(kind=wire.ENTITY_KIND_PHONE, value=phone)
        shapes[name] = shape(await search(world, entity=entity))
    nothing = wire.EntityQuery(kind=wire.ENTITY_KIND_PHONE, value="qc0de5a" + "0" * 9)
    shapes["nothing"] = shape(await search(world, entity=nothing))
    assert len(set(shapes.values())) == 1, shapes


async def test_a_token_is_worth_nothing_to_another_agency_query_or_method(world: World) -> None:
    for number in range(3):
        await share(world, marked(tlp=marks_pb2.TLP_GREEN), number)
    first = wire.SearchReportsResponse.FromString((await search(world, page_size=1)).replies[0])
    token = first.next_page_token
    strangers = [
        await search(world, person(NATIONAL, "analyst", "INVESTIGATION"), page_token=token),
        await search(world, person(ABROAD, "liaison_officer", "INVESTIGATION"), page_token=token),
        await search(world, text="another", page_token=token),
        await search(world, page_token=token[:-2] + ("AA" if token[-2:] != "AA" else "BB")),
    ]
    versions = wire.ListReportVersionsRequest(record_id=first.reports[0].report.header.record_id, page_token=token)
    strangers.append(await world.hear(ASKER, world.place.rule("ListReportVersions"), versions))
    for heard in strangers:
        assert heard.error is not None
        assert (heard.error.code(), reason_of(heard.error).reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "CURSOR_INVALID",
        )


async def test_a_token_shows_a_colleague_what_the_colleague_sees(world: World) -> None:
    """For another purpose a token goes on, and nothing comes that the purpose does not show by itself."""
    for number, tlp in enumerate((marks_pb2.TLP_GREEN, marks_pb2.TLP_AMBER, marks_pb2.TLP_GREEN) * 2):
        await share(world, marked(tlp=tlp), number)
    seen = {one.report.header.record_id for one in await pages(world, COLLEAGUE)}
    assert {one.report.header.record_id for one in await pages(world, ASKER, COLLEAGUE)} <= seen


async def pages(world: World, *whoever: Person) -> list[report_pb2.DisclosedReport]:
    """All pages, each asked for by the next of these; those that the last of them got."""
    found: list[report_pb2.DisclosedReport] = []
    token, asked = "", 0
    while True:
        who = whoever[asked % len(whoever)]
        heard = await search(world, who, page_size=1, page_token=token)
        page = wire.SearchReportsResponse.FromString(heard.replies[0])
        found += page.reports if who is whoever[-1] else []
        token, asked = page.next_page_token, asked + 1
        if not token:
            return found


async def test_a_condition_on_what_is_hidden_in_this_row_does_not_match_it(world: World) -> None:
    """One value in three reports of one page: shown in one, withheld in another, in a hidden portion of the third."""
    value = "+44 7700 900123"
    ids = []
    for number, condition in enumerate((None, marks_pb2.HANDLING_CONDITION_A1, "portion")):
        report = filled(number, marked(tlp=marks_pb2.TLP_GREEN))
        (phone,) = (one for one in report.entities if one.HasField("phone"))
        phone.phone.number = value
        if condition == "portion":
            phone.marks.tlp = marks_pb2.TLP_RED
        elif condition is not None:
            report.header.marks.handling_code = marks_pb2.HANDLING_CODE_C
            report.header.marks.handling_conditions.append(condition)
        request = wire.SubmitReportRequest(report=report, idempotency_key=str(uuid.uuid4()))
        ids.append((await world.write(WRITER, "SubmitReport", request)).record_id)
    # Against A1, for a purpose that acts on the spot, there is no CONTACT; the others see it in its coarser form only.
    spot = person(NATIONAL, "officer", "BORDER_SECURITY")
    whole = person(NATIONAL, "officer", "INTELLIGENCE_DEVELOPMENT")
    entity = wire.EntityQuery(kind=wire.ENTITY_KIND_PHONE, value=value)
    for who, due in ((whole, {ids[0], ids[1]}), (spot, set())):
        everything = wire.SearchReportsResponse.FromString((await search(world, who)).replies[0])
        assert {one.report.header.record_id for one in everything.reports} == set(ids)
        found = wire.SearchReportsResponse.FromString((await search(world, who, entity=entity)).replies[0])
        assert {one.report.header.record_id for one in found.reports} == due


async def test_how_long_hidden_and_missing_take(world: World) -> None:
    """Printed for docs/proofs.md: medians of interleaved calls, each way of being hidden against missing."""
    made = {name: one for name, (one, _) in (await hidden_ids(world)).items()}
    made["missing"] = secrets.token_hex(16)
    taken: dict[str, list[float]] = {name: [] for name in made}
    rnd = random.Random(1)
    for _ in range(10 if SCALE == 1 else 200):
        for name in rnd.sample(sorted(made), len(made)):
            began = time.perf_counter()
            assert (await get(world, made[name])).error is not None
            taken[name].append(time.perf_counter() - began)
    missing = statistics.median(taken["missing"])
    ratios = {name: round(statistics.median(found) / missing, 2) for name, found in taken.items()}
    print(f"\nmedian time of a Get against that of a missing report: {ratios}")


def test_everybody_here_is_who_the_names_say() -> None:
    """The asker and the colleague are of one agency without an agreement with the author."""
    assert ASKER.reader.agency == COLLEAGUE.reader.agency != WRITER.reader.agency
    assert not ASKER.reader.agreements
    assert isinstance(population(), Population)
    assert replace(ASKER.reader, purpose="FRAUD") == COLLEAGUE.reader
