"""Amend: what a caller sends is merged into what is stored, as far as that caller can read it.

MUSTs:
1. What the caller cannot read stays, and cannot be written: fields withheld or only coarsened, portions not shown.
   Whether a field may be written follows from schema and grant, never from whether it is set.
2. A key of a portion that the caller cannot see is treated like any unknown key: a new portion with a fresh key.
3. A portion of which the caller cannot read everything cannot be removed, nor change its kind.
Paths at fault are UPDATE_MASK_INVALID; keys and links' ends at fault REQUEST_INVALID.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from broker.domain.errors import RequestError
from broker.domain.grant import FULL, Grant
from broker.handle.report.access import ENVELOPE, classes_of, classes_within, field_class, is_frame
from broker.handle.report.rules import fresh_key, invalid, refuse_repeated_keys, rewire
from broker.handle.report.translate import PORTIONS, Portion, portions
from entente.common.v1 import record_pb2
from entente.report.v1 import report_pb2

_REPORT = report_pb2.Report.DESCRIPTOR.fields_by_name
_HEADER = record_pb2.RecordHeader.DESCRIPTOR.fields_by_name
AMENDABLE: Mapping[str, FieldDescriptor] = {
    **{name: one for name, one in _REPORT.items() if name != "header"},
    **{f"header.{n}": _HEADER[n] for n in ("marks", "review_date", "external_references", "derived_from")},
}
_UNREADABLE = "you cannot read it, so you cannot write it; leave it out"


@dataclass(frozen=True, slots=True)
class Stored:
    """The latest version, and how its caller sees it."""

    report: report_pb2.Report
    mark_set: int
    portion_mark_sets: tuple[int, ...]
    grant: Grant

    def levels(self, portion: int) -> dict[str, str]:
        """How each class is released on a portion."""
        return dict(self.grant.view(portion, self.mark_set).levels)


@dataclass(slots=True)
class Merged:
    """The amended report, and which of its portions were sent: (path in the request, field, portion)."""

    report: report_pb2.Report
    sent: list[tuple[str, str, Portion]] = field(default_factory=list)


def merge(stored: Stored, sent: report_pb2.Report, paths: Iterable[str]) -> Merged:
    """The stored report with the sent values of these paths. Neither argument is changed."""
    wanted = _checked(stored, list(paths))
    merged = Merged(report_pb2.Report())
    merged.report.CopyFrom(stored.report)
    for path in wanted:
        if path.startswith("header."):
            replace_field(merged.report.header, sent.header, AMENDABLE[path])
        elif path not in PORTIONS:
            replace_field(merged.report, sent, AMENDABLE[path])
    given = report_pb2.Report()
    for name in PORTIONS:
        if name in wanted:
            getattr(given, name).extend(getattr(sent, name))
    refuse_repeated_keys(given)
    _Portions(stored, given, merged).merge([name for name in PORTIONS if name in wanted])
    return merged


def _checked(stored: Stored, paths: list[str]) -> list[str]:
    levels = stored.levels(stored.mark_set)
    faults = [] if paths else [("update_mask", "name at least one path")]
    for index, path in enumerate(paths):
        at = f"update_mask.paths[{index}]"
        if path not in AMENDABLE:
            faults.append((at, "there is no such path that can be amended"))
        elif not all(levels.get(name) == FULL for name in classes_of(AMENDABLE[path])):
            faults.append((at, _UNREADABLE))
    _refuse(faults)
    return list(dict.fromkeys(paths))


class _Portions:
    """The merge of the portions: one use."""

    def __init__(self, stored: Stored, given: report_pb2.Report, merged: Merged) -> None:
        self._stored, self._given, self._merged = stored, given, merged
        self._faults: list[tuple[str, str]] = []
        self._marks = {
            (name, portion.key): number
            for (name, _, portion), number in zip(portions(stored.report), stored.portion_mark_sets, strict=True)
        }
        self._taken = {key for _, key in self._marks}

    def merge(self, names: list[str]) -> None:
        """Entities before links, whose ends they are."""
        renamed = {key: key for key in self._seen("entities")}
        if "lines" in names:
            self._list("lines")
        if "entities" in names:
            renamed = self._list("entities")
        if "links" in names:
            rewire(self._given.links, renamed)
            self._list("links")
        elif "entities" in names:
            self._refuse_dangling(set(renamed.values()))
        _refuse(self._faults)

    def _list(self, name: str) -> dict[str, str]:
        """Merge one field of portions; returns the key that each sent key has become."""
        seen = self._seen(name)
        kept: list[Any] = [portion for portion in getattr(self._stored.report, name) if portion.key not in seen]
        result: list[Any] = []
        renamed: dict[str, str] = {}
        for index, given in enumerate(getattr(self._given, name)):
            path = f"report.{name}[{index}]"
            portion = type(given)()
            if given.key in seen:
                portion.CopyFrom(seen[given.key])
                self._into(portion, given, self._levels(name, given.key), path)
            else:
                portion.CopyFrom(given)
                portion.key = fresh_key(self._taken)
            renamed[given.key] = portion.key
            result.append(portion)
        for key in seen.keys() - renamed.keys():
            if not _readable(self._levels(name, key), classes_within(seen[key].DESCRIPTOR)):
                self._faults.append((f"report.{name}", "one that would go holds what you cannot read; keep it"))
        target = getattr(self._merged.report, name)
        del target[:]
        target.extend(result + kept)
        self._merged.sent += [(f"report.{name}[{index}]", name, target[index]) for index in range(len(result))]
        return renamed

    def _seen(self, name: str) -> dict[str, Any]:
        """The stored portions of a field that are released to the caller, by key. A link is only with both its ends."""
        grant, container = self._stored.grant, self._stored.mark_set
        found: dict[str, Any] = {
            portion.key: portion
            for portion in getattr(self._stored.report, name)
            if grant.sees(self._marks[name, portion.key], container)
        }
        if name == "links":
            ends = self._seen("entities")
            found = {key: link for key, link in found.items() if link.from_key in ends and link.to_key in ends}
        return found

    def _levels(self, name: str, key: str) -> dict[str, str]:
        return self._stored.levels(self._marks[name, key])

    def _refuse_dangling(self, entities: set[str]) -> None:
        for link in self._seen("links").values():
            if not {link.from_key, link.to_key} <= entities:
                invalid([("report.entities", "a link still names one that would go; amend the links too")])

    def _into(self, merged: Message, given: Message, levels: Mapping[str, str], path: str) -> None:
        """Write what was given into what is stored, as far as it can be read."""
        for oneof in merged.DESCRIPTOR.oneofs:
            before = merged.WhichOneof(oneof.name)
            if len(oneof.fields) > 1 and before is not None and before != given.WhichOneof(oneof.name):
                if not _readable(levels, classes_of(merged.DESCRIPTOR.fields_by_name[before])):
                    self._faults.append((f"{path}.{before}", "it holds what you cannot read; its kind cannot change"))
                    return
                merged.ClearField(before)
        one: Any  # the stubs know two descriptors where there is one
        for one in merged.DESCRIPTOR.fields:
            if one.name != "key":
                self._field(merged, given, one, levels, f"{path}.{one.name}")

    def _field(
        self, merged: Message, given: Message, one: FieldDescriptor, levels: Mapping[str, str], path: str
    ) -> None:
        if is_frame(one):
            if merged.HasField(one.name) or given.HasField(one.name):
                inner = getattr(merged, one.name)
                self._into(inner, getattr(given, one.name), levels, path)
                if not given.HasField(one.name) and inner.ByteSize() == 0:
                    merged.ClearField(one.name)
                elif given.HasField(one.name):
                    inner.SetInParent()
        elif _readable(levels, {field_class(one)} - {ENVELOPE}):
            replace_field(merged, given, one)
        elif _is_set(given, one):
            self._faults.append((path, _UNREADABLE))


def replace_field(target: Message, source: Message, one: FieldDescriptor) -> None:
    """Give `target` the field as `source` has it, absence included."""
    target.ClearField(one.name)
    if one.is_repeated:
        getattr(target, one.name).extend(getattr(source, one.name))
    elif source.HasField(one.name):
        if one.message_type is None:
            setattr(target, one.name, getattr(source, one.name))
        else:
            getattr(target, one.name).CopyFrom(getattr(source, one.name))


def _is_set(message: Message, one: FieldDescriptor) -> bool:
    return bool(getattr(message, one.name)) if one.is_repeated else message.HasField(one.name)


def _readable(levels: Mapping[str, str], classes: Iterable[str]) -> bool:
    return all(levels.get(name) == FULL for name in classes)


def _refuse(faults: list[tuple[str, str]]) -> None:
    if faults:
        raise RequestError(
            "UPDATE_MASK_INVALID", "these paths cannot be amended by you; leave them out", fields=tuple(faults)
        )
