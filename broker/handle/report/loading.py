"""What a write looks up in its transaction before it changes anything: the target, the caller's limits, what is taken.

Guarantees: everything is loaded through the caller's grant, and refused in an order that tells nothing of what is
hidden.
"""

from __future__ import annotations

from broker.domain.answer import Answer, Call
from broker.domain.errors import AlreadyExistsError
from broker.domain.marks import MarkSet
from broker.handle.report.refusals import etag_stale, key_reused, not_found, not_originator, retracted
from broker.handle.report.rules import refuse_beyond
from broker.handle.report.translate import RECORD_TYPE
from broker.store.records import StoredVersion
from broker.store.write import WriteTransaction
from entente.common.v1 import record_pb2


def replayed(tx: WriteTransaction, call: Call, key: str) -> Answer | None:
    """What this key's first call was answered, if this is not it."""
    agency = str(call.caller.agency)
    outcome = tx.recall(agency, call.exchange.method, key)
    if outcome is None:
        return None
    if outcome.digest != call.request_digest:
        raise key_reused()
    seen = tx.find(call.grant, outcome.record_id, agency=agency)
    if seen is None or seen.as_pointer:
        raise not_found()
    return Answer(outcome.envelope, touched=((outcome.record_id, outcome.version),))


def load_target(tx: WriteTransaction, call: Call, record_id: str, etag: str) -> StoredVersion:
    """The record to be changed. Hidden before foreign, foreign before retracted, retracted before stale."""
    agency = str(call.caller.agency)
    target = tx.find(call.grant, record_id, agency=agency)
    if target is None or target.as_pointer or target.record_type != RECORD_TYPE:
        raise not_found()
    if target.originator != agency:
        raise not_originator()
    if not target.active:
        raise retracted()
    if target.etag != etag:
        raise etag_stale()
    return target


def marks_of(tx: WriteTransaction, numbers: tuple[int, ...]) -> tuple[MarkSet, ...]:
    """The mark sets of these ids, in order."""
    found = tx.marks(numbers)
    return tuple(found[number] for number in numbers)


def refuse_beyond_caller(tx: WriteTransaction, call: Call, marked: list[tuple[str, MarkSet]]) -> None:
    facts = tx.facts(str(call.caller.agency))
    refuse_beyond(call.caller.clearance, frozenset() if facts is None else facts.agency.compartments, marked)


def refuse_taken(tx: WriteTransaction, call: Call, header: record_pb2.RecordHeader) -> None:
    """Raises EXTERNAL_REFERENCE_EXISTS for a reference of another of the originator's records; names it if visible."""
    faults = []
    for position, one in enumerate(header.external_references):
        taken, holder = tx.reference_holder(call.grant, header.originator, one.source, one.reference)
        if taken and holder != header.record_id:
            by = f"report {holder}" if holder else "another report of your agency"
            faults.append((f"report.header.external_references[{position}]", f"{by} has it"))
    if faults:
        raise AlreadyExistsError(
            "EXTERNAL_REFERENCE_EXISTS", "your agency has a report with this external reference", fields=tuple(faults)
        )
