# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""Who am I, what may I do, who else is there."""

from __future__ import annotations

from entente.directory.v1 import directory_pb2
from entente.directory.v1 import directory_service_pb2 as wire
from entente_sdk import _methods
from entente_sdk._sync.calls import Calls
from entente_sdk._sync.pages import Pages
from entente_sdk.answers import Answer
from entente_sdk.justification import Justification


class Directory:
    """`entente.directory.v1.DirectoryService`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def who_am_i(self, *, seconds: float | None = None) -> Answer[wire.WhoAmIResponse]:
        """Who the broker takes the caller for, and what the caller may do. Needs no justification."""
        return self._calls.unary(_methods.WHO_AM_I, wire.WhoAmIRequest(), seconds)

    def get_agency(
        self, name: str, *, justification: Justification | None = None, seconds: float | None = None
    ) -> Answer[wire.GetAgencyResponse]:
        """One agency, by `trust-domain/agency`. Raises NotFoundError."""
        why = self._calls.justification(justification).to_message()
        request = wire.GetAgencyRequest(justification=why, name=name)
        return self._calls.unary(_methods.GET_AGENCY, request, seconds)

    def list_agencies(
        self, *, page_size: int | None = None, justification: Justification | None = None, seconds: float | None = None
    ) -> Pages[wire.ListAgenciesResponse, directory_pb2.Agency]:
        """All agencies, by name."""
        why = self._calls.justification(justification).to_message()

        def fetch(token: str) -> Answer[wire.ListAgenciesResponse]:
            request = wire.ListAgenciesRequest(justification=why, page_size=page_size, page_token=token or None)
            return self._calls.unary(_methods.LIST_AGENCIES, request, seconds)

        return Pages(fetch, lambda page: page.agencies)
