"""Pseudonyms through the front door: two agencies, two cases, one phone; asked with the SDK, over real TLS."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any, cast

import pytest
import pytest_asyncio

from broker.decide.bundle import PolicyBundle, policy_folder
from broker.decide.embedded import EmbeddedEngine
from broker.decide.engine import EngineAnswer
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_sdk import AsyncEntente, Justification, ReportQuery
from entente_sdk.cli.disclosed import rows
from entente_sdk.settings import load_profile
from tests.bench.seed import report as sample_report
from tests.support.canary import Finder
from tests.support.gallery import SERVICE
from tests.support.house import House, house
from tests.support.live import party_named
from tests.support.tainted import SCHEMA, Tainted, canaries, filled, templates

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHAPE = re.compile(r"P-[A-Z2-7]{2}-[A-Z2-7]{20}")
CASE, OTHER = "Op Lantern 7", "Op Lantern 8"
NAMED = ("CONTACT", "IDENTITY", "FINANCIAL", "OBJECT", "OFFICER", "OPERATION")
NUMBER, SPELT = "+44 7700 900123", "0044 (0)7700-900123"
PATHS = {"entities.phone.number", "entities.phone.imei"}


class NamingEngine(EmbeddedEngine):
    """The real policy; but these classes go to others as pseudonyms, whether or not a case is stated."""

    async def grant(self, question: bytes) -> EngineAnswer:
        answer = await super().grant(question)
        document: dict[str, Any] = deepcopy(cast(Any, answer.document))
        agency = json.loads(question)["agency"]["name"]
        own = {"op": "eq", "attr": "originator", "value": agency, "rule": "own_record"}
        nothing = document["classes"]["HEADER"]["part"]
        for name in NAMED:
            document["classes"][name] = {"full": own, "part": nothing, "pseudonym": document["rows"]}
        return EngineAnswer(document, answer.decision_id)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def named(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    engine = NamingEngine(PolicyBundle.load(policy_folder()))
    async with house(tmp_path_factory.mktemp("named") / "network", engine=engine) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(named: House) -> list[str]:
    """Two reports of one phone, spelt in two ways."""
    found = []
    async with client(named, "neighbourhood") as entente:
        for place, number in enumerate((NUMBER, SPELT)):
            made = sample_report(place)
            next(one for one in made.entities if one.HasField("phone")).phone.number = number
            found.append((await entente.reports.submit(made)).message.record_id)
    return found


def client(place: House, profile: str) -> AsyncEntente:
    party = party_named[profile]
    settings = load_profile(profile, environ={"ENTENTE_CONFIG": str(place.directory / "client.toml")})
    settings = type(settings)(**{name: getattr(settings, name) for name in settings.__slots__} | endpoint(place))
    return AsyncEntente(settings, token=lambda: place.metadata(party)[0][1].removeprefix("Bearer "))


def endpoint(place: House) -> dict[str, str]:
    return {"endpoint": place.broker.address}


async def seen(place: House, profile: str, record: str, case: str | None) -> report_pb2.DisclosedReport:
    why = Justification("investigation", case_reference=case)
    async with client(place, profile) as entente:
        return (await entente.reports.get(record, justification=why)).message.report


def phone(disclosed: report_pb2.DisclosedReport) -> str:
    return next(one for one in disclosed.report.entities if one.HasField("phone")).phone.number


async def test_one_phone_is_one_pseudonym_for_one_agency_and_case(named: House, shared: list[str]) -> None:
    first, second = [phone(await seen(named, "regional", record, CASE)) for record in shared]
    assert SHAPE.fullmatch(first)
    assert first == second
    assert phone(await seen(named, "regional", shared[0], CASE.upper())) == first


async def test_cases_and_agencies_cannot_be_joined(named: House, shared: list[str]) -> None:
    """Asked by turns, so that what is kept for one is there when the other asks."""
    asked = [(profile, case) for profile in ("regional", "national") for case in (CASE, OTHER)] * 2
    found: dict[tuple[str, str], set[str]] = {}
    for profile, case in asked:
        found.setdefault((profile, case), set()).add(phone(await seen(named, profile, shared[0], case)))
    assert all(len(pseudonyms) == 1 for pseudonyms in found.values())
    assert len(set().union(*found.values())) == len(found) == 4


@pytest.mark.parametrize("case", [None, "", " - "])
async def test_without_a_case_there_is_none(named: House, shared: list[str], case: str | None) -> None:
    """The engine grants it all the same: release holds it by itself."""
    disclosed = await seen(named, "regional", shared[0], case)
    assert phone(disclosed) == ""
    told = {one.path: one.rule for one in disclosed.disclosure.withheld if one.path in PATHS}
    assert told == dict.fromkeys(PATHS, "case_reference")


async def test_the_originator_sees_the_value(named: House, shared: list[str]) -> None:
    assert phone(await seen(named, "neighbourhood", shared[0], CASE)) == NUMBER


async def test_search_and_get_give_one_pseudonym_and_no_condition_finds_the_value(
    named: House, shared: list[str]
) -> None:
    why = Justification("investigation", case_reference=CASE)
    async with client(named, "regional") as entente:
        listed = [one async for one in entente.reports.search(justification=why)]
        by_value = [one async for one in entente.reports.search(ReportQuery(phone=NUMBER), justification=why)]
        known = phone(await seen(named, "regional", shared[0], CASE))
        by_name = [one async for one in entente.reports.search(ReportQuery(phone=known), justification=why)]
    assert {phone(one) for one in listed} == {known}
    assert by_value == by_name == []


async def test_a_stream_gives_the_same(named: House, shared: list[str]) -> None:
    why = Justification("investigation", case_reference=CASE)
    known = phone(await seen(named, "regional", shared[0], CASE))
    async with client(named, "regional") as entente, entente.reports.subscribe(justification=why) as changes:
        async for batch in changes:
            assert {phone(change.report) for change in batch.changes} == {known}
            break


async def test_no_value_of_a_named_class_is_in_any_answer(named: House) -> None:
    """Every field of every such class is a canary; Get, Search and their receipts hold none, in any encoding."""
    sent = filled(77, templates()["CLASSIFICATION_OFFICIAL"])
    async with client(named, "neighbourhood") as entente:
        record = (await entente.reports.submit(sent)).message.record_id
    one = Tainted("named", sent, party_named["neighbourhood"].agency, record_id=record)
    hidden = {c.number: c for c in canaries(one, 1) if SCHEMA[c.path].field_class in NAMED}
    finder = Finder({form: c.number for c in hidden.values() for form in c.forms})
    why = exchange_pb2.Justification(purpose=exchange_pb2.PURPOSE_INVESTIGATION, case_reference=CASE)
    get = wire.GetReportRequest(justification=why, record_id=record)
    search = wire.SearchReportsRequest(justification=why)
    for profile, due in (("regional", set()), ("neighbourhood", set(hidden))):
        for path, request in (("GetReport", get), ("SearchReports", search)):
            reply = await named.unary(SERVICE + path, request.SerializeToString(), party_named[profile])
            assert record.encode() in reply
            assert finder.find(reply) == due, [hidden[number].path for number in finder.find(reply)]
    assert {SCHEMA[c.path].field_class for c in hidden.values()} == set(NAMED)


async def test_it_is_disclosed_as_one_and_shown_as_one(named: House, shared: list[str]) -> None:
    since = len(named.broker.ledger)
    disclosed = await seen(named, "regional", shared[0], CASE)
    forms = {one.path: one.generalisation for one in disclosed.disclosure.generalised}
    assert forms.items() >= dict.fromkeys(PATHS, access_pb2.GENERALISATION_PSEUDONYM).items()
    shown = [row.text for row in rows(disclosed) if row.field.endswith("phone.number")]
    assert shown == [f"{phone(disclosed)}  (pseudonym, the same for you throughout this case; own_record)"]
    (leaf,) = [leaf for leaf in named.leaves(since) if leaf["method"].endswith("/GetReport")]
    (group,) = leaf["disclosures"]
    assert {path for path, form, *_ in group["transformed"] if form == "PSEUDONYM"} >= PATHS
    assert phone(disclosed) not in json.dumps(leaf)
