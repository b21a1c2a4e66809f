"""The release stage: a handler's stored items become the response that this caller may see.

Guarantees: the response holds the envelope's allowed fields, and for each item its released fields (or a pointer) with
the disclosure that says what was left out. What it holds follows from schema, grant and the released values alone.

MUSTs:
1. An item whose record the grant does not show is a handler's defect: ReleaseError, and nothing of the answer leaves.
2. A portion is released only if its own mark set and its record's are visible, and neither is above the watermark. One
   that is refused vanishes without a trace: not counted, not listed.
3. A link is released only where both of its ends are.
4. A payload that does not parse, is another record's, or has another number of portions than mark sets: ReleaseError.
5. A pseudonym is made for the scope that is given, and a view that holds one is kept for that scope alone.
6. Items come from the store alone: an envelope or wrapper that holds a disclosed record is refused.
7. Another agency's record says on what terms it was released (`terms`).

It does not decide anything (`decide` made the grant), and does not make the receipt (field 15, `audit`).
For one event loop: it takes no lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from broker.domain.answer import Answer, StoredItem
from broker.domain.exchange import DisclosureGroup
from broker.domain.grant import FULL, Grant, View
from broker.release.cache import ReleasedView, ViewCache
from broker.release.decisions import Decision, Decisions, Vector
from broker.release.errors import ReleaseError
from broker.release.plans import Plans, Project
from broker.release.pseudonyms import NOBODY, Namer, Pseudonyms, Scope
from broker.release.records import RecordType, Slot, framed, item_slot
from broker.release.shapes import Deviations, Keys, Shape, Shapes
from broker.release.terms import TermsOf
from entente.common.v1 import exchange_pb2, marks_pb2

DEFAULT_CACHE_BYTES = 64 * 1024 * 1024
_MOST_PROJECTS = 16384


@dataclass(frozen=True, slots=True)
class Released:
    """A response without its receipt, serialised, and what the ledger must say of it before it leaves."""

    response: bytes
    groups: tuple[DisclosureGroup, ...]


class Releaser:
    """The one way by which stored records reach a response. `cache_bytes` bounds the views that it keeps ready.

    Without `pseudonyms` a class that is granted as one is withheld.
    """

    def __init__(self, cache_bytes: int = DEFAULT_CACHE_BYTES, pseudonyms: Pseudonyms | None = None) -> None:
        self.pseudonyms = pseudonyms
        self.plans = Plans()
        self.cache = ViewCache(cache_bytes)
        self._decisions = Decisions()
        self._shapes = Shapes()
        self._projects: dict[tuple[int, int], Project] = {}

    def release(self, answer: Answer, response: type[Message], grant: Grant, scope: Scope = NOBODY) -> Released:
        """The answer as a serialised `response` message, without its receipt, and its groups for the ledger.

        `scope` says who receives it and for which case; without one nothing is released as a pseudonym.

        Raises:
            ReleaseError: the answer must not leave (see the MUSTs); a defect, INTERNAL to the caller.
        """
        slot = item_slot(_type_of(response))
        envelope = self._envelope(response, answer.envelope, slot.field if slot else "", grant)
        if not answer.items:
            return Released(envelope, ())
        if slot is None or (not slot.repeated and len(answer.items) > 1):
            raise ReleaseError(f"{response.DESCRIPTOR.full_name} has no place for {len(answer.items)} records")
        terms = TermsOf(grant, scope.recipient, slot.record)
        parts: list[bytes] = []
        released: list[tuple[Shape, Keys, tuple[str, int]]] = []
        for item in answer.items:
            view = self._pointer(slot, item, grant) if item.as_pointer else self._view(slot, item, grant, scope, terms)
            parts += (slot.outer_tag, view.framed if slot.wrapper is None else self._wrapped(slot, item, view, grant))
            # A pointer tells no version, and the receipt's salt would open the ledger's commitment to one.
            released.append((view.shape, view.keys, (item.record_id, 0 if item.as_pointer else item.version)))
            if item.wrapper and slot.wrapper is None:
                raise ReleaseError(f"{response.DESCRIPTOR.full_name} has no message around its records")
        parts.append(envelope)
        return Released(b"".join(parts), self._shapes.groups(released))

    def _envelope(self, kind: type[Message], data: bytes, slot: str, grant: Grant) -> bytes:
        """The unmarked part of an answer, built afresh: its classes are those of `grant.answer_classes`."""
        if not data:
            return b""
        source = _parse(kind, data)
        if slot and any(field.name == slot for field, _ in source.ListFields()):
            raise ReleaseError(f"{kind.DESCRIPTOR.full_name}.{slot} is filled by the release stage alone")
        view = View(tuple((name, FULL) for name in sorted(grant.answer_classes)))
        fresh = kind()
        self.plans.plan(_type_of(kind), view).project(source, fresh, None)
        return fresh.SerializeToString()

    def _wrapped(self, slot: Slot, item: StoredItem, view: ReleasedView, grant: Grant) -> bytes:
        assert slot.wrapper is not None
        around = self._envelope(slot.wrapper, item.wrapper, slot.wrapped_field, grant)
        return framed(around + slot.inner_tag + view.framed)

    def _view(self, slot: Slot, item: StoredItem, grant: Grant, scope: Scope, terms: TermsOf) -> ReleasedView:
        names = self.pseudonyms if scope.stated else None
        vector = self._decisions.vector(
            grant, slot.record, item.mark_set, item.portion_mark_sets, case_stated=names is not None
        )
        told = terms.of(item.originator)
        key = (item.record_id, item.version, vector.number, scope if vector.named else None, told)
        view = self.cache.get(key, item.payload)
        if view is None:
            view = self._project(slot, item, vector, names.namer(scope) if names and vector.named else None, told)
            self.cache.put(key, view)
        return view

    def _pointer(self, slot: Slot, item: StoredItem, grant: Grant) -> ReleasedView:
        """That the originator holds it: id, originator and TLP label, built afresh from the payload's header."""
        if item.mark_set < 0 or item.mark_set > grant.watermark or not grant.pointers >> item.mark_set & 1:
            raise ReleaseError(f"record {item.record_id}: the grant allows no pointer to it")
        header = _record(slot.record, item).header
        pointer = exchange_pb2.Pointer(record_id=item.record_id, originator=header.originator)
        if header.marks.HasField("tlp") and header.marks.tlp in marks_pb2.Tlp.values():
            pointer.tlp = header.marks.tlp
        if item.contact:
            pointer.contact = item.contact
        shape = self._shapes.pointer(slot.record)
        return self._disclosed(slot.pointer_tag, pointer, slot, item, shape, ())

    def _project(self, slot: Slot, item: StoredItem, vector: Vector, namer: Namer | None, terms: bytes) -> ReleasedView:
        record = slot.record
        source = _record(record, item)
        lists = [getattr(source, rule.name) for rule in record.portions]
        if sum(map(len, lists)) != len(vector.portions):
            raise ReleaseError(f"record {item.record_id}: portions and their mark sets differ in number")
        fresh = record.make()
        self._project_of(record, -1, vector.container)(source, fresh, namer)
        shown = _shown(record, lists, vector)
        for index, portion, decision in shown:
            place = getattr(fresh, record.portions[index].name).add()
            self._project_of(record, index, decision)(portion, place, namer)
        deviating = self._deviating(record, shown, vector.container)
        shape = self._shapes.shape(record, vector.container, (own for own, _ in deviating))
        keys = tuple(tuple(own) for _, own in deviating)
        return self._disclosed(slot.record_tag, fresh, slot, item, shape, keys, terms)

    def _deviating(
        self, record: RecordType, shown: list[tuple[int, Any, Decision]], container: Decision
    ) -> list[tuple[Deviations, list[str]]]:
        """Where portions get less than the record, with their keys: those of which the same is told together, in an
        order that follows from what is told, and not from whom this broker has served before."""
        kinds: dict[tuple[int, int], list[str] | None] = {}
        told: dict[tuple[tuple[str, ...], ...], tuple[Deviations, list[str]]] = {}
        for index, portion, decision in shown:
            kind = (index, decision.number)
            if kind not in kinds:
                own = self._shapes.deviations(record, container, index, decision)
                words = tuple((one.leaf.path, one.how, one.rule, one.reason) for one in own)
                kinds[kind] = told.setdefault(words, (own, []))[1] if own else None
            keys = kinds[kind]
            if keys is not None:
                keys.append(portion.key)
        return [told[words] for words in sorted(told)]

    def _project_of(self, record: RecordType, index: int, decision: Decision) -> Project:
        """The compiled plan of a portion field (-1: the record itself) under a decision."""
        key = (index, decision.number)
        found = self._projects.get(key)
        if found is None:
            if len(self._projects) >= _MOST_PROJECTS:
                self._projects.clear()
            message = record.message if index < 0 else record.portions[index].message_type
            found = self._projects[key] = self.plans.plan(message, decision.view).project
        return found

    @staticmethod
    def _disclosed(
        tag: bytes, content: Message, slot: Slot, item: StoredItem, shape: Shape, keys: Keys, terms: bytes = b""
    ) -> ReleasedView:
        # One serialised message after the other is both of them together (protobuf encoding, "Last One Wins").
        disclosure = framed(shape.message(keys) + terms)
        body = b"".join((tag, framed(content.SerializeToString()), slot.disclosure_tag, disclosure))
        return ReleasedView(item.payload, framed(body), shape, keys)


def _type_of(kind: type[Message]) -> Descriptor:
    return cast(Descriptor, kind.DESCRIPTOR)


def _parse(kind: type[Message], data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ReleaseError(f"stored bytes are no {kind.DESCRIPTOR.full_name}") from error


def _record(record: RecordType, item: StoredItem) -> Any:
    source = _parse(record.make, item.payload)
    if source.header.record_id != item.record_id:
        raise ReleaseError(f"record {item.record_id}: the payload is another record's")
    return source


def _shown(record: RecordType, lists: list[Any], vector: Vector) -> list[tuple[int, Any, Decision]]:
    """(portion field's index, portion, decision) of what is released, in the record's order."""
    found: list[tuple[int, Any, Decision]] = []
    ends: set[str] = set()
    hidden: set[str] = set()
    decisions = iter(vector.portions)
    for index, portions in enumerate(lists):
        for portion in portions:
            decision = next(decisions)
            if index == record.entities:
                (hidden if decision is None else ends).add(portion.key)
            if decision is not None:
                found.append((index, portion, decision))
    # A key that a hidden entity has too is no released end, whatever else bears it.
    ends -= hidden
    return [
        shown for shown in found if shown[0] != record.links or (shown[1].from_key in ends and shown[1].to_key in ends)
    ]
