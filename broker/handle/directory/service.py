"""DirectoryService: who the caller is, what the caller may do, who else is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp

from broker.domain.answer import Answer, Call
from broker.domain.caller import Caller
from broker.domain.directory import Agency, AgencyFacts
from broker.domain.errors import HiddenError
from broker.handle.cursor import Cursors, query_digest
from broker.handle.times import timestamp
from broker.store.store import Store
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_pb2, directory_service_pb2

DEFAULT_PAGE = 100

# (path, allowed, purposes for which, rule that refuses) of each method.
Capabilities = Callable[[Caller], Awaitable[Sequence[tuple[str, bool, tuple[str, ...], str]]]]


class DirectoryHandlers:
    """The handlers, named after their methods. `capabilities` asks policy what a caller may do; `appointed_roles` are
    those that count by appointment alone."""

    def __init__(
        self, store: Store, cursors: Cursors, capabilities: Capabilities, appointed_roles: Callable[[], frozenset[str]]
    ) -> None:
        self._store, self._cursors, self._capabilities = store, cursors, capabilities
        self._appointed_roles = appointed_roles

    async def who_am_i(self, call: Call) -> Answer:
        """The caller, as certificate and token say; the agency's compartments and partners, as the directory says."""
        caller = call.caller
        facts = self._store.facts(str(caller.agency))
        response = directory_service_pb2.WhoAmIResponse(
            agency=str(caller.agency),
            workload=caller.workload,
            user=caller.user,
            roles=sorted(caller.roles),
            clearance=caller.clearance,
            purposes=_purposes(caller.purposes),
            expire_time=Timestamp(seconds=caller.expires_at),
            compartments=sorted(facts.agency.compartments) if facts is not None else (),
            partners=self._partners(facts) if facts is not None else (),
            unappointed_roles=sorted((caller.roles & self._appointed_roles()) - call.grant.roles),
            broker_time=timestamp(self._store.clock.now_us()),
            certificate_expire_time=Timestamp(seconds=caller.certificate_expires_at),
        )
        for path, allowed, purposes, rule in await self._capabilities(caller):
            response.capabilities.add(
                method=path.removeprefix("/"), allowed=allowed, purposes=_purposes(purposes), rule=rule or None
            )
        return Answer(response.SerializeToString())

    def get_agency(self, call: Call) -> Answer:
        """One agency. Raises HiddenError where there is none."""
        request = cast(directory_service_pb2.GetAgencyRequest, call.request)
        found = self._store.agency(request.name)
        if found is None:
            raise HiddenError("NOT_FOUND", "there is no such agency in this broker's directory")
        return Answer(directory_service_pb2.GetAgencyResponse(agency=_agency(found)).SerializeToString())

    def list_agencies(self, call: Call) -> Answer:
        """A page of agencies, by name."""
        request = cast(directory_service_pb2.ListAgenciesRequest, call.request)
        query = query_digest(request)
        after = self._cursors.open(call, query, request.page_token).decode() if request.page_token else ""
        size = request.page_size or DEFAULT_PAGE
        found = self._store.agencies(after, size + 1)
        token = self._cursors.seal(call, query, found[size - 1].name.encode()) if len(found) > size else None
        response = directory_service_pb2.ListAgenciesResponse(
            agencies=[_agency(one) for one in found[:size]], next_page_token=token
        )
        return Answer(response.SerializeToString())

    def _partners(self, facts: AgencyFacts) -> list[str]:
        """Agencies with which an agreement is in force now."""
        now_us = self._store.clock.now_us()
        in_force = (one for one in facts.agreements if one.valid_from_us <= now_us < one.valid_until_us)
        return sorted({party for one in in_force for party in one.parties} - {facts.agency.name})


def _purposes(names: Iterable[str]) -> list[exchange_pb2.Purpose.ValueType]:
    """Purposes in the schema's order; a name that the schema does not have is left out."""
    wanted = {f"PURPOSE_{name}" for name in names} - {"PURPOSE_UNSPECIFIED"}
    return [number for name, number in exchange_pb2.Purpose.items() if name in wanted]


def _agency(one: Agency) -> directory_pb2.Agency:
    levels = dict(directory_pb2.AgencyLevel.items())
    return directory_pb2.Agency(
        name=one.name,
        display_name=one.display_name,
        country=one.country,
        level=levels.get(f"AGENCY_LEVEL_{one.level}", directory_pb2.AGENCY_LEVEL_UNSPECIFIED),
        parent=one.parent or None,
        contact=one.contact or None,
    )
