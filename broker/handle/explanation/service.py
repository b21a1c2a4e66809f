"""ExplanationService: an exchange in words, read from its entries on the ledger, and from nothing else.

MUSTs:
1. It is told to the person who made the exchange, to auditors and inspectors as far as they see its entries, and to
   nobody else: to them there is no such exchange.
2. It holds no value, and nothing of what was hidden: only what the entry says was released or withheld, which follows
   from schema and decision. Of the sealed detail it reads the fields of disclosures and the policy's input, no more.
3. A missing record is explained in the same words as a hidden one.
4. Rules are told as they stood in the policy that decided, or by their names alone: never as they stand today.
5. An auditor of another agency, one of whose records was in the answer or was looked for, is told what the entry itself
   says; nothing sealed is opened for it: that speaks of third parties' records too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

from broker.audit.reader import AuditItem, AuditQuery, AuditReader
from broker.domain.answer import Answer, Call
from broker.domain.errors import HiddenError
from broker.handle.explanation.telling import Teller
from broker.handle.inspection import inspects
from broker.store.store import Store
from entente.audit.v1 import explanation_service_pb2 as wire

# A stream's batches are entries each; what a long one released is told of so many.
MOST_ENTRIES = 300


class RuleText(Protocol):
    """A rule as a lawyer reads it."""

    @property
    def reason(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def remedy(self) -> str: ...


# The rules of the policies of a revision; None where that revision is not kept.
RulesOf = Callable[[str], Mapping[str, RuleText] | None]
# Whether policy lets this caller read the audit log, for what the call states.
MayAudit = Callable[[Call], Awaitable[bool]]


class ExplanationHandlers:
    """The handlers, named after their methods."""

    def __init__(self, reader: AuditReader, store: Store, rules_of: RulesOf, may_audit: MayAudit) -> None:
        self._reader, self._store = reader, store
        self._rules_of, self._may_audit = rules_of, may_audit

    async def explain_exchange(self, call: Call) -> Answer:
        """One exchange in words. Raises HiddenError where it is not the caller's to know of."""
        request = cast(wire.ExplainExchangeRequest, call.request)
        # Whoever was dismissed a moment ago is decided on again, not served from a former grant.
        self._store.require_current(call.grant)
        own = str(call.caller.agency)
        made = AuditQuery(scope=None, agency=own, user=call.caller.user, exchange_id=request.exchange_id)
        items, more = await self._entries(made)
        everything = False
        if not items and await self._may_audit(call):
            everything = inspects(self._store, call)
            items, more = await self._entries(
                AuditQuery(scope=None if everything else (own,), exchange_id=request.exchange_id)
            )
        if not items:
            raise HiddenError("NOT_FOUND", "there is no such exchange, or it is hidden from you")
        house = everything or items[0].row.agency == own
        teller = Teller(self._rules_of)
        for item in items:
            teller.add(item, await self._reader.opened(item) if house else {})
        response = wire.ExplainExchangeResponse(explanation=teller.told(shortened=more))
        return Answer(response.SerializeToString(), detail={"explained": request.exchange_id})

    async def _entries(self, query: AuditQuery) -> tuple[list[AuditItem], bool]:
        """The exchange's entries, oldest first, and whether there are more."""
        page = await self._reader.search(query, limit=MOST_ENTRIES, newest_first=False)
        return list(page.items), page.next_cursor is not None
