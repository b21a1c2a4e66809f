"""From entries of the ledger to one explanation. Pure: no store, no clock.

Reads of an entry what `MUST` 2 of the service allows, whatever else is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import orjson

from broker.handle import names
from broker.handle.times import timestamp
from entente.access.v1 import access_pb2
from entente.audit.v1 import explanation_service_pb2 as wire
from entente.common.v1 import exchange_pb2

# Paths of one rule, or of one form, in some portions or in all.
_Paths = tuple[tuple[tuple[str, ...], bool, tuple[str, ...]], ...]
# (level, released, withheld, in another form) of records that were treated alike.
_Alike = tuple[str, tuple[str, ...], _Paths, _Paths]


class Found(Protocol):
    """An entry, as the reader finds it."""

    @property
    def row(self) -> Any: ...
    def parsed(self) -> dict[str, Any]: ...


class Teller:
    """Takes one exchange's entries in, oldest first, and tells it."""

    def __init__(self, rules_of: Callable[[str], Mapping[str, Any] | None]) -> None:
        self._rules_of = rules_of
        self._made = wire.Explanation()
        self._alike: dict[_Alike, int] = {}
        self._named: dict[str, str] = {}
        self._refused_by = ""

    def add(self, item: Found, detail: Mapping[str, Any]) -> None:
        """One more entry, with its sealed detail (empty where it does not open, or not for this reader)."""
        row, leaf, made = item.row, item.parsed(), self._made
        if not made.exchange_id:
            made.exchange_id = row.exchange_id
            made.method = row.method.removeprefix("/")
            made.time.CopyFrom(timestamp(row.time_us))
        actor = leaf.get("actor", {})
        _put(made, "agency", actor.get("agency"))
        _put(made, "user", actor.get("user"))
        made.stated_roles[:] = actor.get("roles", ())
        if purpose := names.purpose(row.purpose):
            made.purpose = purpose
        # A later entry says how it went on: the intent of a write comes before its release, a stream's end last.
        made.outcome = row.outcome
        _put(made, "reason", row.reason or None)
        self._policy(leaf.get("policy"), detail)
        for group in _groups(leaf, detail):
            self._group(group)

    def told(self, *, shortened: bool) -> wire.Explanation:
        """The explanation."""
        made = self._made
        for (level, released, withheld, coarser), records in self._alike.items():
            one = made.releases.add(records=records, released=released)
            one.level = exchange_pb2.DisclosureLevel.Value(f"DISCLOSURE_LEVEL_{level.upper()}")
            for (rule, reason), in_some, paths in withheld:
                one.withheld.add(rule=rule, reason=names.reason(reason), paths=paths, in_some=in_some or None)
            for (form,), in_some, paths in coarser:
                one.coarser.add(form=_form(form), paths=paths, in_some=in_some or None)
        for name in sorted(self._named):
            made.rules.append(self._rule(name))
        if self._refused_by:
            made.refused_by.CopyFrom(self._rule(self._refused_by))
        if shortened:
            made.shortened = True
        return made

    def _policy(self, policy: Mapping[str, Any] | None, detail: Mapping[str, Any]) -> None:
        if policy is None:
            return
        under = self._made.decided_under
        under.engine, under.revision = policy["engine"], policy["bundle"]
        under.directory_revision, under.decision_id = policy["data"], policy["decision_id"]
        self._refused_by = str(detail.get("rule", ""))
        if self._refused_by:
            self._named[self._refused_by] = under.revision
        if "policy_input" in detail:
            asked = orjson.loads(detail["policy_input"])
            self._made.counted_roles[:] = asked["method"]["roles"]
            self._made.agreement_ids[:] = [one["id"] for one in (asked["grant"] or {}).get("agreements", ())]

    def _group(self, group: Mapping[str, Any]) -> None:
        withheld = _by((tuple(one[2:4]), one) for one in group["withheld"])
        coarser = _by(((one[1],), one) for one in group["transformed"])
        alike: _Alike = (group["level"], tuple(group["released"]), withheld, coarser)
        self._alike[alike] = self._alike.get(alike, 0) + len(group["records"])
        for (rule, _), _, _ in withheld:
            self._named[rule] = self._made.decided_under.revision

    def _rule(self, name: str) -> wire.RuleTold:
        told = wire.RuleTold(rule=name)
        text = (self._rules_of(self._named[name]) or {}).get(name)
        if text is not None:
            told.reason, told.text, told.remedy = names.reason(text.reason), text.text, text.remedy
        return told


def _groups(leaf: Mapping[str, Any], detail: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The disclosures; where the leaf only commits to their fields, as the sealed detail has them."""
    groups: list[Mapping[str, Any]] = leaf.get("disclosures", [])
    if any("released" not in group for group in groups):
        return [group for group in detail.get("disclosures", ()) if "released" in group]
    return groups


def _by(named: Iterable[tuple[tuple[str, ...], list[Any]]]) -> _Paths:
    """Paths together that have the same name; those of some portions apart from those of all."""
    found: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for name, one in named:
        found.setdefault((name, isinstance(one[-1], list)), []).append(one[0])
    return tuple((name, in_some, tuple(dict.fromkeys(paths))) for (name, in_some), paths in found.items())


def _form(name: str) -> access_pb2.Generalisation.ValueType:
    found = dict(access_pb2.Generalisation.items()).get(f"GENERALISATION_{name}", 0)
    return access_pb2.Generalisation.ValueType(found)


def _put(made: wire.Explanation, field: str, value: str | None) -> None:
    if value:
        setattr(made, field, value)
