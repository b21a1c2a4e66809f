"""DirectoryService: who the caller is, and who else is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.domain.answer import Call
from broker.domain.caller import Caller
from broker.domain.directory import Agency, Agreement
from broker.domain.errors import HiddenError, RequestError
from broker.handle.cursor import Cursors
from broker.handle.directory.service import DirectoryHandlers
from broker.store.store import Store
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_pb2, directory_service_pb2
from tests.support.grants import NOBODY, a_call, a_caller
from tests.support.reports import AGENCIES, NORTH, SOUTH, open_store


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def handlers(store: Store) -> DirectoryHandlers:
    async def capabilities(caller: Caller) -> list[tuple[str, bool, tuple[str, ...], str]]:
        assert caller.user == "officer-1"
        return [
            ("/entente.report.v1.ReportService/GetReport", True, ("INVESTIGATION", "FRAUD"), ""),
            ("/entente.audit.v1.AuditService/SearchAuditEntries", False, (), "role_lacks_permission"),
        ]

    return DirectoryHandlers(store, Cursors(bytes(32)), capabilities, lambda: frozenset({"auditor", "inspector"}))


def call(request: object, caller: Caller | None = None) -> Call:
    return a_call(request, NOBODY, caller=caller)  # type: ignore[arg-type]


async def test_who_am_i_tells_what_certificate_token_and_directory_say(handlers: DirectoryHandlers) -> None:
    caller = a_caller(roles=frozenset({"b", "a"}), purposes=frozenset({"FRAUD", "INVESTIGATION", "NO_SUCH"}))
    answer = await handlers.who_am_i(call(directory_service_pb2.WhoAmIRequest(), caller))
    me = directory_service_pb2.WhoAmIResponse.FromString(answer.envelope)
    assert (me.agency, me.workload, me.user, me.clearance) == (NORTH, "desk", "officer-1", "TOP_SECRET")
    assert list(me.roles) == ["a", "b"]
    assert list(me.purposes) == [exchange_pb2.PURPOSE_INVESTIGATION, exchange_pb2.PURPOSE_FRAUD]
    assert me.expire_time.seconds == 2_000_000_000
    assert list(me.compartments) == ["op-fig", "op-lime"]
    assert list(me.partners) == [SOUTH]
    may, may_not = me.capabilities
    assert (may.method, may.allowed, may.rule) == ("entente.report.v1.ReportService/GetReport", True, "")
    assert list(may.purposes) == [exchange_pb2.PURPOSE_INVESTIGATION, exchange_pb2.PURPOSE_FRAUD]
    assert (may_not.allowed, may_not.rule) == (False, "role_lacks_permission")


async def test_only_agreements_in_force_make_partners(store: Store, handlers: DirectoryHandlers) -> None:
    now = store.clock.now_us()
    third = Agency("police.example/third", "Third", "GB", "LOCAL")

    def with_south(name: str, other: str, start: int, end: int) -> Agreement:
        return Agreement(name, frozenset({NORTH, other}), frozenset(), "OFFICIAL", start, end)

    past, future = with_south("a", SOUTH, 0, now), with_south("b", third.name, now + 10**12, 2**52)
    store.load_directory([*AGENCIES, third], [past, future])
    answer = await handlers.who_am_i(call(directory_service_pb2.WhoAmIRequest()))
    assert list(directory_service_pb2.WhoAmIResponse.FromString(answer.envelope).partners) == []


def test_get_agency_shows_the_directory_entry_without_compartments(handlers: DirectoryHandlers) -> None:
    answer = handlers.get_agency(call(directory_service_pb2.GetAgencyRequest(name=SOUTH)))
    found = directory_service_pb2.GetAgencyResponse.FromString(answer.envelope).agency
    assert found == directory_pb2.Agency(
        name=SOUTH,
        display_name="South",
        country="GB",
        level=directory_pb2.AGENCY_LEVEL_LOCAL,
        parent=NORTH,
        contact="desk@south.example",
    )
    with pytest.raises(HiddenError):
        handlers.get_agency(call(directory_service_pb2.GetAgencyRequest(name="police.example/nobody")))


def test_agencies_page_by_name_without_loss(store: Store, handlers: DirectoryHandlers) -> None:
    names = sorted(f"police.example/a{n}" for n in range(25))
    store.load_directory([Agency(name, name, "GB", "LOCAL") for name in names], [])
    request = directory_service_pb2.ListAgenciesRequest(page_size=10)
    seen = []
    while True:
        answer = handlers.list_agencies(call(request))
        response = directory_service_pb2.ListAgenciesResponse.FromString(answer.envelope)
        seen += [one.name for one in response.agencies]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert seen == names
    request.page_token = "AAAA"
    with pytest.raises(RequestError) as refusal:
        handlers.list_agencies(call(request))
    assert refusal.value.reason == "CURSOR_INVALID"
