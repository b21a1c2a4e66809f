"""What a handler returns: stored items and the frame around them, never a finished response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.domain.caller import Caller
from broker.domain.exchange import Exchange, Justification
from broker.domain.grant import Grant
from broker.domain.hit import Looks


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One version of a record as the store keeps it.

    Args:
        payload: the whole record, serialised.
        mark_set: the container's mark-set id.
        portion_mark_sets: ids of its portions' mark sets, in the order of the descriptor's portion fields and,
            within each, of the payload (for a report: lines, entities, links).
        wrapper: serialised fields of the message around the disclosed record, where there is one (`ReportChange.kind`).
        as_pointer: release only that the originator holds it.
        originator: whose record it is, so that its owner's auditor finds the entry.
        contact: of a pointer, how to reach the originator, as the directory says.
    """

    record_id: str
    version: int
    mark_set: int
    payload: bytes
    portion_mark_sets: tuple[int, ...]
    wrapper: bytes = b""
    as_pointer: bool = False
    originator: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A handler's answer.

    Args:
        envelope: the response message without its items, serialised.
        items: what goes into the response's one field of disclosed records, in order.
        touched: (record id, version) that the call wrote, for the audit entry.
        detail: what else was done, for the audit entry's sealed part alone.
        looks: of a call that looks for records, what it hit silently; for the sealed part alone, too.
    """

    envelope: bytes = b""
    items: tuple[StoredItem, ...] = ()
    touched: tuple[tuple[str, int], ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)
    looks: Looks | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One decided call, as handlers get it.

    `request` is a parsed and validated protobuf message, `request_digest` the SHA-256 of its bytes as received.
    """

    exchange: Exchange
    caller: Caller
    grant: Grant
    justification: Justification | None
    request: object
    request_digest: bytes
