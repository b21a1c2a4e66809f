"""Carry a mapping out through the SDK: bounded, resumable, each write under a key that a repetition finds again.

MUSTs:
1. what the broker holds is read before each write, and a write names the version that it was decided on;
2. an idempotency key follows from action, object, content and version: a cut-off import that is run again repeats the
   same calls, so nothing is lost and nothing is there twice;
3. what refuses one report is a failed row and the others go on; what refuses all (no broker, no identity, no
   permission, a receipt that does not hold) stops the import, which says so and keeps the rows so far.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from entente.report.v1 import report_pb2
from entente_sdk._async.client import AsyncEntente
from entente_sdk.errors import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    DecisionError,
    EntenteError,
    HandshakeError,
    IdentityError,
    NotFoundError,
    PreconditionError,
    ReceiptError,
    UnavailableError,
)
from entente_sdk.justification import Justification
from entente_sdk.queries import ReportQuery
from entente_sdk.stix.mapping import SOURCE, MappedReport, Mapping
from entente_sdk.stix.objects import ObjectError
from entente_sdk.stix.plan import Held, Plan, decide, held_from
from entente_sdk.stix.rows import Outcome, Row

IN_FLIGHT = 8
# The record changed between reading and writing: read again, decide again.
_ATTEMPTS = 5
_AGAIN = (ConflictError, AlreadyExistsError, PreconditionError)
_STOPS = (UnavailableError, IdentityError, HandshakeError, ReceiptError, ConfigurationError, DecisionError)
_STOP_REASONS = frozenset({"LIMIT_EXCEEDED", "METHOD_UNKNOWN"})
_NAMESPACE = UUID("6f1c3d5a-2b0e-5d4f-9a57-3c9b1e8d7f20")
_WORD = re.compile(r"[a-z0-9]+")

OnRow = Callable[[Row], None]


@dataclass(slots=True)
class Imported:
    """The rows of what was done, and the error that stopped the rest, if one did. `untouched` counts that rest."""

    rows: list[Row] = field(default_factory=list)
    stopped: EntenteError | None = None
    untouched: int = 0


class Importer:
    """One import into one broker.

    Args:
        client: as the agency that will own the reports.
        justification: of every call.
        in_flight: reports worked on at a time.
        write: False reads and decides, and writes nothing.
        on_row: is told of each report as it is done.
    """

    def __init__(
        self,
        client: AsyncEntente,
        justification: Justification,
        *,
        in_flight: int = IN_FLIGHT,
        write: bool = True,
        on_row: OnRow = lambda _: None,
    ) -> None:
        self._client, self._why = client, justification
        self._in_flight, self._write, self._on_row = in_flight, write, on_row

    async def run(self, mapping: Mapping, done: Imported | None = None) -> Imported:
        """Import every report of a bundle, then list what the broker holds of its collection and the bundle lacks.

        `done` grows as it goes on: who passes it in keeps the rows of an import that was interrupted.
        """
        done = Imported() if done is None else done
        waiting = iter(mapping.reports)
        # A worker takes the next report only when it has finished its last: at most so many are under way.
        await asyncio.gather(*(self._work(waiting, done) for _ in range(self._in_flight)))
        done.untouched = len(mapping.reports) - len(done.rows)
        if done.stopped is None:
            try:
                done.rows += await self._absent(mapping)
            except EntenteError as error:
                done.stopped = error
        return done

    async def _work(self, waiting: Iterator[MappedReport], done: Imported) -> None:
        for mapped in waiting:
            if done.stopped is not None:
                return
            try:
                row = await self._import(mapped)
            except ObjectError as error:
                row = mapped.row(Outcome.FAILED, str(error))
            except EntenteError as error:
                if not isinstance(error, NotFoundError) and (
                    isinstance(error, _STOPS) or error.reason in _STOP_REASONS
                ):
                    done.stopped = done.stopped or error
                    return
                row = mapped.row(Outcome.FAILED, _said(error))
            done.rows.append(row)
            self._on_row(row)

    async def _import(self, mapped: MappedReport) -> Row:
        """Read, decide, write; again where somebody else wrote in between. Raises EntenteError, ObjectError."""
        attempt = 0
        while True:
            attempt += 1
            plan = decide(mapped, await self._held(mapped.stix_id))
            try:
                return await self._carry_out(mapped, plan) if self._write else _planned(mapped, plan)
            except _AGAIN:
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)

    async def _held(self, stix_id: str) -> Held | None:
        query = ReportQuery(external_reference=(SOURCE, stix_id), include_retracted=True)
        page = await self._client.reports.search(query, page_size=1, justification=self._why).first()
        found = [one for one in page.message.reports if one.HasField("report")]
        return held_from(found[0]) if found else None

    async def _carry_out(self, mapped: MappedReport, plan: Plan) -> Row:
        record_id, etag = (plan.held.record_id, plan.held.etag) if plan.held is not None else ("", "")
        if plan.submit is not None:
            key = self._key("submit", mapped.stix_id, "", _bytes(plan.submit))
            submitted = await self._client.reports.submit(plan.submit, idempotency_key=key, justification=self._why)
            record_id, etag = submitted.message.record_id, submitted.message.etag
        if plan.amend is not None:
            key = self._key("amend", record_id, etag, "\n".join(plan.paths).encode() + b"\n" + _bytes(plan.amend))
            await self._client.reports.amend(
                record_id, plan.amend, etag=etag, paths=plan.paths, idempotency_key=key, justification=self._why
            )
        if plan.retract:
            key = self._key("retract", record_id, etag, plan.retract.encode())
            await self._client.reports.retract(
                record_id, etag=etag, reason=plan.retract, idempotency_key=key, justification=self._why
            )
        return mapped.row(plan.outcome, plan.detail, record_id)

    def _key(self, action: str, target: str, etag: str, content: bytes) -> str:
        """The justification is part of the body, and so of the key: another purpose is another call."""
        why = self._why.to_message().SerializeToString(deterministic=True)
        parts = b"\0".join(
            (action.encode(), target.encode(), etag.encode(), why.hex().encode(), content.hex().encode())
        )
        return str(uuid5(_NAMESPACE, parts.decode("ascii")))

    async def _absent(self, mapping: Mapping) -> list[Row]:
        """Active reports of one's own that an earlier bundle of the same collection brought and this one lacks."""
        collection = mapping.bundle.collection
        if collection is None:
            return []
        agency = (await self._client.directory.who_am_i()).message.agency
        query = ReportQuery(text=" ".join(_WORD.findall(collection.id)), originator=agency)
        rows = []
        async for found in self._client.reports.search(query, justification=self._why):
            report = found.report
            ids = [one.reference for one in report.header.external_references if one.source == SOURCE]
            for stix_id in ids:
                if stix_id not in mapping.bundle.objects:
                    kind = stix_id.partition("--")[0]
                    detail = "left as it is"
                    rows.append(Row(stix_id, kind, report.title, Outcome.ABSENT, detail, report.header.record_id))
        return rows


def _planned(mapped: MappedReport, plan: Plan) -> Row:
    return mapped.row(plan.outcome, plan.detail, plan.held.record_id if plan.held is not None else "")


def _bytes(report: report_pb2.Report) -> bytes:
    return report.SerializeToString(deterministic=True)


def _said(error: EntenteError) -> str:
    """The refusal and the fields at fault, in one line."""
    fields = "; ".join(f"{path}: {description}" for path, description in error.fields[:5])
    exchange = f" [exchange {error.exchange_id}]" if error.exchange_id else ""
    return f"{error.reason}: {error.message}{f' ({fields})' if fields else ''}{exchange}"
