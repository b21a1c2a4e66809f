"""Submit, amend, retract: the work within the write's transaction.

Guarantees: the target is loaded through the caller's grant, in the transaction that changes it; version, index rows,
change row and the answer under its idempotency key are written together or not at all; the same key with the same body
gives the same answer again, as long as the caller may see the record.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.domain.answer import Answer, Call
from broker.domain.clock import Clock
from broker.domain.marks import MarkSet
from broker.handle.report import index, merge
from broker.handle.report.binding import bind_portion, past_marks
from broker.handle.report.loading import load_target, marks_of, refuse_beyond_caller, refuse_taken, replayed
from broker.handle.report.rules import (
    invalid,
    portion_marks,
    refuse_broker_set,
    refuse_loose,
    refuse_repeated_references,
    refuse_unknown_fields,
    rekey,
)
from broker.handle.report.translate import RECORD_TYPE, mark_set, portions
from broker.handle.times import timestamp
from broker.store.drafts import NewVersion, Outcome
from broker.store.records import StoredVersion
from broker.store.store import Store
from broker.store.write import WriteTransaction
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2, report_service_pb2

Response = type[
    report_service_pb2.SubmitReportResponse
    | report_service_pb2.AmendReportResponse
    | report_service_pb2.RetractReportResponse
]


@dataclass(frozen=True, slots=True)
class Change:
    """A version to be stored: what it says, under which marks, and how the answer is called."""

    report: report_pb2.Report
    record: MarkSet
    portions: tuple[MarkSet, ...]
    kind: str
    response: Response


class Writing:
    """The three writes of a report. Each returns when it is durable."""

    def __init__(self, store: Store, clock: Clock, home_broker: str) -> None:
        self._store, self._clock, self._home_broker = store, clock, home_broker

    async def submit(self, call: Call, request: report_service_pb2.SubmitReportRequest) -> Answer:
        """Take a report in."""
        refuse_unknown_fields(request)
        refuse_broker_set(request.report.header)
        refuse_repeated_references(request.report.header.external_references)
        report = report_pb2.Report()
        report.CopyFrom(request.report)
        rekey(report)
        record = record_marks(report.header, str(call.caller.agency))
        marked = [(f"report.{name}[{i}]", portion_marks(record, portion)) for name, i, portion in portions(report)]
        refuse_loose(record, marked)
        header = report.header
        header.record_id = secrets.token_hex(16)
        header.home_broker = self._home_broker
        header.originator = record.originator
        header.create_time.CopyFrom(timestamp(self._clock.now_us()))

        def work(tx: WriteTransaction) -> Answer:
            tx.require_fresh(call.grant)
            refuse_beyond_caller(tx, call, [("report.header", record), *marked])
            refuse_taken(tx, call, header)
            change = Change(
                report,
                record,
                tuple(marks for _, marks in marked),
                "SUBMITTED",
                report_service_pb2.SubmitReportResponse,
            )
            return self._commit(tx, call, request.idempotency_key, change)

        return await self._once(call, request.idempotency_key, work)

    async def amend(self, call: Call, request: report_service_pb2.AmendReportRequest) -> Answer:
        """Change a report of one's own agency."""
        refuse_unknown_fields(request)
        paths = list(request.update_mask.paths)
        if "header.external_references" in paths:
            refuse_repeated_references(request.report.header.external_references)

        def work(tx: WriteTransaction) -> Answer:
            target = load_target(tx, call, request.record_id, request.etag)
            stored = merge.Stored(
                report_pb2.Report.FromString(target.payload), target.mark_set, target.portion_mark_sets, call.grant
            )
            merged = merge.merge(stored, request.report, paths)
            before = dict(zip(_keys(stored.report), marks_of(tx, target.portion_mark_sets), strict=True))
            unseen = {
                key: before[key]
                for key, number in zip(before, target.portion_mark_sets, strict=True)
                if not call.grant.sees(number, target.mark_set)
            }
            change = _amended(tx, call, merged, unseen, "header.marks" in paths)
            refuse_taken(tx, call, change.report.header)
            old_record = marks_of(tx, (target.mark_set,))[0]
            answer = self._commit(tx, call, request.idempotency_key, change)
            after = dict(zip(_keys(change.report), change.portions, strict=True))
            if old_record != change.record or any(after.get(key, marks) != marks for key, marks in before.items()):
                _bind_past(tx, target, change, after)
            return answer

        return await self._once(call, request.idempotency_key, work)

    async def retract(self, call: Call, request: report_service_pb2.RetractReportRequest) -> Answer:
        """Withdraw a report of one's own agency: only its head is left, with the reason."""
        refuse_unknown_fields(request)

        def work(tx: WriteTransaction) -> Answer:
            target = load_target(tx, call, request.record_id, request.etag)
            report = report_pb2.Report(header=report_pb2.Report.FromString(target.payload).header)
            report.header.retraction_reason = request.reason
            (record,) = marks_of(tx, (target.mark_set,))
            change = Change(report, record, (), "RETRACTED", report_service_pb2.RetractReportResponse)
            return self._commit(tx, call, request.idempotency_key, change)

        return await self._once(call, request.idempotency_key, work)

    async def _once(self, call: Call, key: str, work: Callable[[WriteTransaction], Answer]) -> Answer:
        return await self._store.write(lambda tx: replayed(tx, call, key) or work(tx))

    def _commit(self, tx: WriteTransaction, call: Call, key: str, change: Change) -> Answer:
        """Complete the head, store the version, keep the answer under its key."""
        header, now_us = change.report.header, self._clock.now_us()
        active = change.kind != "RETRACTED"
        header.version += 1
        header.etag = secrets.token_hex(16)
        header.exchange_id = call.exchange.exchange_id
        header.update_time.CopyFrom(timestamp(now_us))
        header.state = record_pb2.RECORD_STATE_ACTIVE if active else record_pb2.RECORD_STATE_RETRACTED
        ids = tx.intern((change.record, *change.portions))
        container, of_portions = ids[change.record], tuple(ids[marks] for marks in change.portions)
        values = tuple(index.values(change.report, container, of_portions)) if active else ()
        words = tuple(index.words(change.report, container, of_portions)) if active else ()
        beside = index.beside(values, words, {number: marks for marks, number in ids.items()}, container)
        tx.add(
            NewVersion(
                record_id=header.record_id,
                record_type=RECORD_TYPE,
                originator=header.originator,
                version=header.version,
                mark_set=container,
                portion_mark_sets=of_portions,
                payload=change.report.SerializeToString(),
                kind=change.kind,
                exchange_id=header.exchange_id,
                etag=header.etag,
                time_us=now_us,
                active=active,
                references=tuple((one.source, one.reference) for one in header.external_references),
                values=values,
                words=words,
                beside=tuple(beside),
            )
        )
        envelope = change.response(
            record_id=header.record_id, version=header.version, etag=header.etag, update_time=header.update_time
        ).SerializeToString()
        outcome = Outcome(call.request_digest, envelope, header.record_id, header.version)
        tx.remember(str(call.caller.agency), call.exchange.method, key, outcome, now_us)
        return Answer(envelope, touched=((header.record_id, header.version),))


def _amended(
    tx: WriteTransaction, call: Call, merged: merge.Merged, unseen: Mapping[str, MarkSet], marks_sent: bool
) -> Change:
    """The amended report under its marks: what was sent is checked, what stays is bound by the record's marks.

    `unseen`: the marks of portions that the caller cannot see, by key.
    """
    report = merged.report
    record = record_marks(report.header, report.header.originator)
    checked = {(name, portion.key): portion_marks(record, portion) for _, name, portion in merged.sent}
    marked = [(path, checked[name, portion.key]) for path, name, portion in merged.sent]
    refuse_loose(record, marked)
    refuse_beyond_caller(tx, call, [("report.header", record), *marked] if marks_sent else marked)
    of_portions = tuple(
        checked.get((name, portion.key)) or bind_portion(record, portion, unseen.get(f"{name}.{portion.key}"))
        for name, _, portion in portions(report)
    )
    return Change(report, record, of_portions, "AMENDED", report_service_pb2.AmendReportResponse)


def _bind_past(tx: WriteTransaction, target: StoredVersion, change: Change, after: dict[str, MarkSet]) -> None:
    """Earlier versions take on the restrictions of this one."""

    def rebound(record: int, of_portions: tuple[int, ...], payload: bytes) -> tuple[int, tuple[int, ...]]:
        keyed = dict(zip(_keys(report_pb2.Report.FromString(payload)), of_portions, strict=True))
        past = past_marks(tx.marks((record, *of_portions)), record, keyed, (change.record, after))
        ids = tx.intern((past[0], *past[1]))
        return ids[past[0]], tuple(ids[marks] for marks in past[1])

    tx.rebind(target.record_id, target.version + 1, rebound)


def _keys(report: report_pb2.Report) -> list[str]:
    """The portions' keys, told apart by field, in the order in which mark sets are kept."""
    return [f"{name}.{portion.key}" for name, _, portion in portions(report)]


def record_marks(header: record_pb2.RecordHeader, originator: str) -> MarkSet:
    """The record's mark set. Raises REQUEST_INVALID where it lacks a classification or a handling code."""
    marks = mark_set(header.marks, originator)
    needed = ("classification", "handling_code")
    invalid((f"report.header.marks.{name}", "a record needs it") for name in needed if not getattr(marks, name))
    return marks
