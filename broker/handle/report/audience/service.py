"""AudienceService: who would see what of a report, decided and released as a read would be, and nothing kept.

MUSTs:
1. What a preview says of a reader is what that reader's Get would be answered with: the same question, engine, answer,
   ceiling and release make it.
2. A draft is refused for whatever submitting it would be; nobody previews marks beyond the own rights.
3. Nothing of it is stored, interned or put into what is kept of real callers.
4. It tells of agencies, as the directory shows them, and of no person.
5. Previews together hold the event loop for one look at a time, and at most half of the time: a look at a draft has no
   memory to rest on. A draft of too many combinations of marks is refused; a page ends where it has looked at enough.
6. All of an answer is one policy's and one directory's, though it is made in many steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, cast

from broker.domain.answer import Answer, Call, StoredItem
from broker.domain.directory import Agreement
from broker.domain.errors import LimitError, RequestError
from broker.domain.grant import Grant
from broker.domain.marks import MarkSet
from broker.domain.supposed import TYPICAL_ROLES, Reader, Sight
from broker.handle.cursor import Cursors, query_digest
from broker.handle.report.audience.draft import Draft, drafted, kept
from broker.handle.report.audience.view import View, looked_at, response
from broker.handle.report.refusals import not_found
from broker.handle.report.translate import RECORD_TYPE
from broker.store.store import Store
from entente.common.v1 import exchange_pb2
from entente.report.v1 import audience_service_pb2 as wire

DEFAULT_PAGE = 20
# A page of agencies is cut where its answer would come near the 4 MiB that clients take.
PAGE_BYTES = 3_000_000
# A look takes some 0.2 ms for each portion that has marks of its own.
MOST_MARK_SETS = 256
# Portions of a page, each counted for every reader.
MOST_LOOKS = 60_000

# What a reader with this grant would be answered of a record: a serialised GetReportResponse.
Disclose = Callable[[Reader, StoredItem, Grant], bytes]


# The text of an agreement, signed or not -> the agreement. Raises ValueError.
ReadAgreement = Callable[[str], Agreement]


class Onlookers(Protocol):
    """Supposed readers of some mark sets."""

    async def look(self, reader: Reader) -> Sight: ...


class Audience(Protocol):
    """Supposed readers, as policy decides on them."""

    @property
    def revision(self) -> str: ...
    def purposes(self) -> list[str]: ...
    def over(self, mark_sets: Sequence[tuple[int, MarkSet]], agreement: Agreement | None = None) -> Onlookers: ...


class AudienceHandlers:
    """The handlers, named after their methods."""

    def __init__(
        self, store: Store, cursors: Cursors, audience: Audience, disclose: Disclose, read_draft: ReadAgreement
    ) -> None:
        self._store, self._cursors, self._audience, self._disclose = store, cursors, audience, disclose
        self._read_draft = read_draft
        self._turn = asyncio.Lock()

    async def preview_audience(self, call: Call) -> Answer:
        """A page of agencies. Raises RequestError as submitting would, HiddenError for another's report."""
        request = cast(wire.PreviewAudienceRequest, call.request)
        draft = self._draft(call, request)
        if len(draft.mark_sets) > MOST_MARK_SETS:
            raise LimitError("LIMIT_EXCEEDED", f"over {MOST_MARK_SETS} combinations of marks; preview a part of it")
        query = query_digest(request)
        after = self._cursors.open(call, query, request.page_token).decode() if request.page_token else ""
        names, more = self._agencies(request, after)
        views: dict[View, list[tuple[str, str]]] = {}
        last, left, looks = after, PAGE_BYTES, MOST_LOOKS
        onlookers = self._audience.over(draft.mark_sets, self._agreement(call, request))
        async for agency, purpose, view in self._looks(request, draft, names, onlookers):
            if agency != last and min(left, looks) < 0:
                more = True
                break
            looks -= len(draft.names)
            if view not in views:
                left -= view.size()
            views.setdefault(view, []).append((agency, purpose))
            last = agency
        self._store.require_current(call.grant)
        token = self._cursors.seal(call, query, last.encode()) if more else None
        return Answer(response(views, token, self._audience.revision).SerializeToString())

    def _draft(self, call: Call, request: wire.PreviewAudienceRequest) -> Draft:
        own = str(call.caller.agency)
        self._store.require_current(call.grant)
        if request.HasField("report"):
            facts = self._store.facts(own)
            compartments = frozenset() if facts is None else facts.agency.compartments
            return drafted(request, own, call.caller.clearance, compartments)
        found = self._store.find(call.grant, request.record_id, agency=own)
        if found is None or found.as_pointer or found.record_type != RECORD_TYPE or found.originator != own:
            raise not_found()
        return kept(found, call.grant)

    def _agreement(self, call: Call, request: wire.PreviewAudienceRequest) -> Agreement | None:
        """The agreement that is supposed. Raises RequestError for one that is none, or not the own agency's."""
        if not request.HasField("draft_agreement"):
            return None
        try:
            found = self._read_draft(request.draft_agreement)
        except ValueError as error:
            raise _wrong("draft_agreement", str(error)) from None
        if str(call.caller.agency) not in found.parties:
            raise _wrong("draft_agreement", "your agency is no party of it")
        return found

    def _agencies(self, request: wire.PreviewAudienceRequest, after: str) -> tuple[list[str], bool]:
        """The agencies of this page, by name, and whether there are more."""
        size = request.page_size or DEFAULT_PAGE
        if not request.agencies:
            found = [one.name for one in self._store.agencies(after, size + 1)]
            return found[:size], len(found) > size
        faults = [
            (f"agencies[{place}]", "there is no such agency in this broker's directory")
            for place, name in enumerate(request.agencies)
            if self._store.agency(name) is None
        ]
        if faults:
            raise RequestError("REQUEST_INVALID", "an agency is not on the network", fields=tuple(faults))
        wanted = [name for name in sorted(set(request.agencies)) if name > after]
        return wanted[:size], len(wanted) > size

    async def _looks(
        self, request: wire.PreviewAudienceRequest, draft: Draft, names: Sequence[str], onlookers: Onlookers
    ) -> AsyncIterator[tuple[str, str, View]]:
        supposed = _supposed(request.reader, draft.classification)
        asked = [exchange_pb2.Purpose.Name(number).removeprefix("PURPOSE_") for number in request.purposes]
        for agency in names:
            for purpose in dict.fromkeys(asked or self._audience.purposes()):
                reader = replace(supposed, agency=agency, purpose=purpose)
                async with self._turn:
                    began_us = self._store.clock.monotonic_us()
                    sight = await onlookers.look(reader)
                    view = looked_at(draft, sight, partial(self._disclose, reader))
                    # The other calls come in between.
                    await asyncio.sleep((self._store.clock.monotonic_us() - began_us) / 1_000_000)
                yield agency, purpose, view


def _wrong(field: str, why: str) -> RequestError:
    return RequestError("REQUEST_INVALID", f"{field}: {why}", fields=((field, why),))


def _supposed(facts: wire.ReaderFacts, classification: str) -> Reader:
    return Reader(
        agency="",
        purpose="",
        roles=frozenset(facts.roles) or TYPICAL_ROLES,
        clearance=facts.clearance if facts.HasField("clearance") else classification,
        nationalities=frozenset(facts.nationalities),
        authorised=facts.authorised,
        case_stated=facts.case_stated,
        legal_basis=facts.legal_basis,
    )
