"""One report as one visitor got it, held against what was sent and against what the visitor may see of it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from google.protobuf.message import Message

from broker.domain.grant import FULL, PART, PSEUDONYM, WITHHELD
from broker.handle.report.rules import BROKER_SET
from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import report_pb2
from entente_tlog.commitment import record_commitment, text_commitment
from entente_tlog.receipt import parse_receipt, split_receipt
from tests.support.tainted import PORTIONS, SCHEMA, Leaf, Sight, Tainted, at, level, set_leaves
from tests.support.visitors import Heard

# What the broker writes over: its own fields, and the keys of portions.
REWRITTEN = {f"header.{name}" for name in BROKER_SET} - {"header.retraction_reason"}
REKEYED = {"links.from_key", "links.to_key"} | {f"{name}.key" for name in PORTIONS}

Place = tuple[str, int]
Statuses = dict[str, str]


@dataclass(frozen=True)
class Look:
    """A Get that was answered with a report."""

    exhibit: Tainted
    heard: Heard
    sight: Sight

    @cached_property
    def disclosed(self) -> report_pb2.DisclosedReport:
        reply: Any = self.heard.rule.response_type.FromString(self.heard.replies[0])
        found: report_pb2.DisclosedReport = reply.report
        return found

    def granted(self) -> Hashable:
        """All that decides what may be seen."""
        grant = self.sight.grant
        return None if grant is None else (self.sight.agency, grant.rows, tuple(sorted(grant.classes.items(), key=str)))

    def expected(self) -> list[Place]:
        """The record and those of its portions that may be seen, in order."""
        return [place for place in self.exhibit.places() if self.sight.levels(self.exhibit, place) is not None]

    def pairs(self) -> Iterator[tuple[Place, Message, Message]]:
        """(place, as it was sent, as it came) of each portion that came, the record itself first."""
        yield ("", 0), self.exhibit.report, self.disclosed.report
        for name in PORTIONS:
            places = [place for place in self.expected() if place[0] == name]
            came = getattr(self.disclosed.report, name)
            assert len(came) == len(places), f"{len(came)} {name} came of {len(places)}"
            for place, one in zip(places, came, strict=True):
                yield place, self.exhibit.message(place), one

    def faults(self) -> list[str]:
        """What is there and should not be, or is not and should; and what the disclosure says wrongly."""
        found: list[str] = []
        for place, sent, came in self.pairs():
            levels = self.sight.levels(self.exhibit, place) or {}
            said = self.statuses(getattr(came, "key", ""))
            paths = set_leaves(sent), set_leaves(came)
            for leaf, due in _due(place[0], tuple(levels.items())):
                found += _value_faults(leaf, due, (place[0], sent, came), *paths)
                if said[leaf.path] != due:
                    found.append(f"{leaf.path}: disclosed as {said[leaf.path]!r}, and is {due!r}")
        return found

    def statuses(self, key: str = "") -> Statuses:
        """What the disclosure says of each schema path: of one portion, or (no key) in general."""
        return {**self._general, **{path: how for how, path, portions in self._listed if key in portions}}

    @cached_property
    def _general(self) -> Statuses:
        listed = {path: how for how, path, portions in self._listed if not portions}
        return {**dict.fromkeys(SCHEMA, FULL), **listed}

    @cached_property
    def _listed(self) -> list[tuple[str, str, frozenset[str]]]:
        """(how, path, keys) of everything that the disclosure lists."""
        disclosure = self.disclosed.disclosure
        found = [(WITHHELD, one.path, frozenset(one.portions)) for one in disclosure.withheld]
        return found + [(_form(one), one.path, frozenset(one.portions)) for one in disclosure.generalised]

    def ledger_faults(self) -> list[str]:
        """Where the entry in the receipt says something else than the wire (audit invariant 12)."""
        receipt = parse_receipt(split_receipt(self.heard.replies[0])[1])
        (said,) = json.loads(receipt.leaf)["disclosures"]
        disclosure = self.disclosed.disclosure

        def keys(one: Any) -> list[list[str]]:
            return (
                [[text_commitment(receipt.salt, "portion", key)[:22] for key in one.portions]] if one.portions else []
            )

        withheld = [
            [
                one.path,
                _short(access_pb2.FieldClass, one.field_class, "FIELD_CLASS_"),
                one.rule,
                _short(exchange_pb2.WithheldReason, one.reason, "WITHHELD_REASON_"),
                *keys(one),
            ]
            for one in disclosure.withheld
        ]
        transformed = [
            [one.path, _short(access_pb2.Generalisation, one.generalisation, "GENERALISATION_"), *keys(one)]
            for one in disclosure.generalised
        ]
        wire = {
            "level": _short(exchange_pb2.DisclosureLevel, disclosure.level, "DISCLOSURE_LEVEL_").lower(),
            "records": [record_commitment(receipt.salt, self.exhibit.record_id, self.exhibit.version)],
            "released": sorted(path for path, how in self.statuses().items() if how == FULL),
            "withheld": withheld,
            "transformed": transformed,
        }
        said["released"].sort()
        return [
            f"{name}: {said[name]} on the ledger, {wire[name]} on the wire" for name in wire if said[name] != wire[name]
        ]


@cache
def _leaves_at(name: str) -> tuple[Leaf, ...]:
    """The schema paths that lie in the record itself (no name) or in portions of a name."""
    prefix = f"{name}."
    if name:
        return tuple(leaf for path, leaf in SCHEMA.items() if path.startswith(prefix))
    return tuple(leaf for path, leaf in SCHEMA.items() if path.partition(".")[0] not in PORTIONS)


@cache
def _due(name: str, levels: tuple[tuple[str, str], ...]) -> tuple[tuple[Leaf, str], ...]:
    """What is to become of each of these paths where classes are released like this."""
    return tuple((leaf, level(leaf, dict(levels))) for leaf in _leaves_at(name))


def _value_faults(
    leaf: Leaf, due: str, pair: tuple[str, Message, Message], sent_paths: set[str], came_paths: set[str]
) -> Iterator[str]:
    portion, sent, came = pair
    path = leaf.path.removeprefix(f"{portion}.") if portion else leaf.path
    had, has = path in sent_paths or leaf.path in REWRITTEN, path in came_paths
    if has != (had and due != WITHHELD):
        yield f"{leaf.path}: {'came' if has else 'did not come'}, and is {due or 'withheld'}"
    elif has and leaf.path not in REWRITTEN | REKEYED and (at(came, path) == at(sent, path)) != (due == FULL):
        yield f"{leaf.path}: came {'as it was sent' if due != FULL else 'changed'}, and is {due}"


def _form(one: exchange_pb2.GeneralisedField) -> str:
    return PSEUDONYM if one.generalisation == access_pb2.GENERALISATION_PSEUDONYM else PART


def _short(enum: Any, number: int, prefix: str) -> str:
    return str(enum.Name(number)).removeprefix(prefix)


def present(disclosed: report_pb2.DisclosedReport) -> set[str]:
    """Every schema path that is set anywhere in a report."""
    found = set_leaves(disclosed.report)
    for name in PORTIONS:
        for portion in getattr(disclosed.report, name):
            found |= set_leaves(portion, f"{name}.")
    return found


def missing(one: Tainted, sight: Sight, came: set[str]) -> set[str]:
    """Schema paths that are set somewhere in a report as the broker keeps it, and that did not come from there."""
    found: set[str] = set()
    for place in one.places():
        kept = set_leaves(one.message(place), f"{place[0]}.") if place[0] else set_leaves(one.report) | REWRITTEN
        found |= kept if sight.levels(one, place) is None else kept - came
    return found


def by_record(exhibits: list[Tainted]) -> Mapping[str, Tainted]:
    """The latest version of each record."""
    return {one.record_id: one for one in exhibits}
