"""Who am I, what may I do, who else is there."""

from __future__ import annotations

from entente.directory.v1 import directory_pb2
from entente.directory.v1 import directory_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._async.calls import AsyncCalls
from entente_sdk._async.pages import AsyncPages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class AsyncDirectory:
    """`entente.directory.v1.DirectoryService`."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def who_am_i(self, *, seconds: float | None = None) -> Answer[wire.WhoAmIResponse]:
        """Who the broker takes the caller for, and what the caller may do. Needs no justification."""
        return await self._calls.unary(_methods.WHO_AM_I, wire.WhoAmIRequest(), seconds)

    async def get_agency(
        self, name: str, *, justification: Justification | None = None, seconds: float | None = None
    ) -> Answer[wire.GetAgencyResponse]:
        """One agency, by `trust-domain/agency`. Raises NotFoundError."""
        why = self._calls.justification(justification).to_message()
        request = wire.GetAgencyRequest(justification=why, name=name)
        return await self._calls.unary(_methods.GET_AGENCY, request, seconds)

    def list_agencies(
        self, *, page_size: int | None = None, justification: Justification | None = None, seconds: float | None = None
    ) -> AsyncPages[wire.ListAgenciesResponse, directory_pb2.Agency]:
        """All agencies, by name."""
        why = self._calls.justification(justification).to_message()

        async def fetch(token: str) -> Answer[wire.ListAgenciesResponse]:
            request = wire.ListAgenciesRequest(justification=why, page_size=page_size, page_token=token or None)
            return await self._calls.unary(_methods.LIST_AGENCIES, request, seconds)

        return AsyncPages(fetch, lambda page: page.agencies)
