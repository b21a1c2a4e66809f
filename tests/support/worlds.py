"""Two worlds that differ only in what one observer may not see, and answers without what every answer has anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from broker.domain.grant import WITHHELD
from entente.report.v1 import report_pb2
from entente_tlog.receipt import parse_receipt, split_receipt
from tests.support.house import reason_of, refusal_details
from tests.support.looks import REWRITTEN
from tests.support.tainted import CLASSED, PORTIONS, Leaf, Sight, Tainted, filled, level
from tests.support.visitors import Heard

# What the broker draws at random: ids, etags, keys.
_DRAWN = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}")
# Entries name moments, commitments under fresh salts, and connections; what else they say is compared.
_ANEW = (
    "exchange_id time_utc boot_id monotonic_us address duration_us sealed request_hash response_hash actor bytes"
).split()


def disguised(one: Tainted, sight: Sight, seed: int) -> report_pb2.Report | None:
    """The report with everything that is hidden from the observer changed, taken away, or (None) not there at all."""
    if sight.levels(one, ("", 0)) is None and not sight.points_at(one):
        return None if seed % 2 else _marked_alike(filled(seed, one.report.header.marks), one.report)
    made = report_pb2.Report()
    made.CopyFrom(one.report)
    donor = filled(seed, one.report.header.marks)
    for place in one.places():
        name, index = place
        target: Any = getattr(made, name)[index] if name else made
        source = _alike(donor, name, target)
        levels = sight.levels(one, place)
        for number, leaf in enumerate(CLASSED.values()):
            hidden = levels is None or level(leaf, levels) == WITHHELD
            if hidden and _lies_in(leaf, name) and leaf.path not in REWRITTEN:
                _change(target, source, leaf, keep=bool(number + seed & 1))
    _drop_hidden(made, one, sight)
    if sight.points_at(one):
        _keep_pointed(made, one)
    return made


def _keep_pointed(made: report_pb2.Report, one: Tainted) -> None:
    """A search for one exact value is answered with a pointer to a record that holds it: so its originator chose. Only
    entities with marks of their own are nobody's business."""
    left = {entity.key: entity for entity in made.entities}
    left |= {entity.key: entity for entity in one.report.entities if not entity.HasField("marks")}
    entities = [left[entity.key] for entity in one.report.entities if entity.key in left]
    del made.entities[:]
    made.entities.extend(entities)


def _lies_in(leaf: Leaf, name: str) -> bool:
    first = leaf.path.partition(".")[0]
    return first == name if name else first not in PORTIONS


def _marked_alike(made: report_pb2.Report, like: report_pb2.Report) -> report_pb2.Report:
    made.header.marks.CopyFrom(like.header.marks)
    return made


def _alike(donor: report_pb2.Report, name: str, target: Any) -> Any:
    """What has other values for the same fields."""
    if not name:
        return donor
    found = list(getattr(donor, name))
    if name == "entities":
        found = [entity for entity in found if entity.WhichOneof("kind") == target.WhichOneof("kind")]
    return found[0]


def _change(target: Any, source: Any, leaf: Leaf, *, keep: bool) -> None:
    """Another value, or (not `keep`) none, where the schema allows none. A link turns round instead of its ends."""
    chain: list[FieldDescriptor] = [one for one in leaf.chain if one.containing_type is not None]
    chain = chain[1:] if chain[0].name in PORTIONS else chain
    for one in chain[:-1]:
        if one.containing_oneof is not None and len(one.containing_oneof.fields) > 1 and not target.HasField(one.name):
            return
        target, source = getattr(target, one.name), getattr(source, one.name)
    name = chain[-1].name
    if name == "marks":
        return
    if name == "from_key":
        target.from_key, target.to_key = target.to_key, target.from_key
    elif name == "type":
        target.type = target.type % 9 + 1
    elif name not in ("to_key", "grading"):
        target.ClearField(name)
        if keep:
            fresh = type(source)()
            fresh.CopyFrom(source)
            for other in fresh.DESCRIPTOR.fields:
                if other.name != name:
                    fresh.ClearField(other.name)
            target.MergeFrom(fresh)


def _drop_hidden(made: report_pb2.Report, one: Tainted, sight: Sight) -> None:
    """Take every other hidden portion away, with the links that named it."""
    for name in PORTIONS:
        kept = [
            portion
            for index, portion in enumerate(getattr(made, name))
            if index % 2 or sight.levels(one, (name, index)) is not None
        ]
        del getattr(made, name)[:]
        getattr(made, name).extend(kept)
    keys = {entity.key for entity in made.entities}
    links = [link for link in made.links if {link.from_key, link.to_key} <= keys]
    del made.links[:]
    made.links.extend(links)


@dataclass
class Transcript:
    """Answers as they would be if ids, keys, times and receipts were the same in every world."""

    drawn: dict[str, str] = field(default_factory=dict)
    said: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, question: str, heard: Heard) -> None:
        """One call: each message's bytes and what its entry says, or the refusal."""
        for reply in heard.replies:
            body, receipt = split_receipt(reply)
            message = heard.rule.response_type.FromString(body)
            self._settle(message)
            settled = message.SerializeToString(deterministic=True)
            self.said.append((question, str(settled), self._leaf(parse_receipt(receipt).leaf)))
        if heard.error is not None:
            found = [detail for detail in refusal_details(heard.error) if detail.DESCRIPTOR.name == "BadRequest"]
            leaf = next(one for one in refusal_details(heard.error) if one.DESCRIPTOR.name == "Receipt")
            said = (heard.error.code().name, heard.error.details() or "", reason_of(heard.error).reason)
            names = sorted(name for name, _ in heard.error.trailing_metadata())
            self.said.append((question, *said, str(found), str(names), self._leaf(leaf.leaf)))  # type: ignore[attr-defined]

    def _draw(self, text: str) -> str:
        if not _DRAWN.fullmatch(text):
            return text
        return self.drawn.setdefault(text, f"drawn {len(self.drawn):05d}")

    def _settle(self, message: Message) -> None:
        """In place: what is drawn gets a number in the order of its first appearance; times stand still."""
        for one, held in message.ListFields():
            if one.message_type is not None and one.message_type.full_name == "google.protobuf.Timestamp":
                held.Clear()
            elif one.message_type is not None:
                for inner in held if one.is_repeated else [held]:
                    self._settle(inner)
            elif one.name in ("next_page_token", "cursor"):
                setattr(message, one.name, f"sealed, {len(held)} long")
            elif one.type == FieldDescriptor.TYPE_STRING and one.is_repeated:
                held[:] = [self._draw(text) for text in held]
            elif one.type == FieldDescriptor.TYPE_STRING:
                setattr(message, one.name, self._draw(held))

    def _leaf(self, raw: bytes) -> str:
        leaf = json.loads(raw)
        for name in _ANEW:
            leaf.pop(name, None)
        leaf.get("policy", {}).pop("decision_id", None)
        leaf.pop("purpose", None)
        if "records" in leaf:
            leaf["records"] = len(leaf["records"])
        for group in leaf.get("disclosures", ()):
            group["records"] = len(group["records"])
            for listed in (*group["withheld"], *group["transformed"]):
                listed[:] = [len(part) if isinstance(part, list) else part for part in listed]
        return json.dumps(leaf, sort_keys=True)


def differences(one: Transcript, other: Transcript) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Where two transcripts part."""
    assert len(one.said) == len(other.said)
    for mine, yours in zip(one.said, other.said, strict=True):
        if mine != yours:
            yield mine, yours
