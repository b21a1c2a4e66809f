"""The scene of a case: everything that a decision rests on, as the cast says it, but for what the case changes.

A scene is flat: `facts` names each fact by a path (`marks.tlp`, `agreements.haven.ceiling`, `person.clearance`), so
that two scenes are compared fact by fact. Handling code and conditions are one fact, as people write them: `C A1 S2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

from broker.decide.answers import enum_names
from broker.decide.question import Situation
from broker.decide.vocabulary import CLASS_TRANSFORMS, CLEARANCES, LEVELS, PURPOSES, UNSPECIFIED, USE_LIMITS
from broker.domain.caller import AgencyId, Caller
from broker.domain.directory import Agency, AgencyFacts, Agreement
from broker.domain.marks import MarkSet

PERSON_KEYS = frozenset("agency roles clearance nationalities purposes".split())
AGENCY_KEYS = frozenset("country level compartments".split())
AGREEMENT_KEYS = frozenset(
    "parties purposes ceiling record_types classes use legal_bases assurances from until in_force".split()
)
MARKS = frozenset(one.name for one in fields(MarkSet)) - {"handling_code", "handling_conditions"} | {"handling"}
CAST_KEYS = frozenset("agencies agreements people ordinary today".split())

Facts = dict[str, Any]


class CaseError(ValueError):
    """A case, or the cast, is not in the agreed form. Says where and what."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One person's request and the portion that it meets. `calls`: the permission of a method, instead of a portion."""

    who: str
    facts: Mapping[str, Any]
    calls: str = ""

    def about(self, prefix: str) -> Facts:
        """The facts under a path, without it."""
        start = f"{prefix}."
        return {path.removeprefix(start): value for path, value in self.facts.items() if path.startswith(start)}

    def differences(self, other: Scene) -> set[str]:
        """The paths at which two scenes differ."""
        paths = self.facts.keys() | other.facts.keys()
        return {path for path in paths if self.facts.get(path) != other.facts.get(path)}

    def now_us(self) -> int:
        return _microseconds(self.facts["date"])

    def mark_set(self) -> MarkSet:
        """The portion's marks."""
        code, *conditions = str(self.facts["marks.handling"]).split() or [""]
        marks = {key: value for key, value in self.about("marks").items() if key != "handling"}
        return MarkSet(**marks, handling_code=_said(code), handling_conditions=frozenset(conditions))

    def situation(self, roles: frozenset[str]) -> Situation:
        """The question's facts. `roles`: those that policy knows."""
        person = self.about("person")
        name = person["agency"]
        agency = self.about(f"agency.{name}")
        facts = AgencyFacts(
            Agency(name, name, agency["country"], agency["level"], compartments=agency["compartments"]),
            tuple(self._agreements(name)),
            1,
        )
        return Situation(
            _caller(person),
            facts,
            self.facts["purpose"],
            self.facts["authorised"],
            person["roles"] & roles,
            self.facts["legal_basis"],
            self.facts["states_case"],
        )

    def _agreements(self, party: str) -> list[Agreement]:
        held: dict[str, Facts] = {}
        for path, value in self.about("agreements").items():
            name, _, key = path.partition(".")
            held.setdefault(name, {})[key] = value
        return [_agreement(name, one) for name, one in held.items() if one["in_force"] and party in one["parties"]]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who appears in the cases, and the portion that they meet unless a case says otherwise."""

    agencies: Mapping[str, Facts]
    agreements: Mapping[str, Facts]
    people: Mapping[str, Facts]
    ordinary: Facts
    today: date

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Cast:
        """Raises CaseError where the cast is not in the agreed form."""
        if raw.keys() != CAST_KEYS:
            raise CaseError(f"cast.yaml: holds {', '.join(sorted(CAST_KEYS))}, and nothing else")
        agencies = {name: {"compartments": [], **one} for name, one in raw["agencies"].items()}
        people = {name: _known(f"person {name}", one, PERSON_KEYS) for name, one in raw["people"].items()}
        agreements = {name: AGREEMENT_DEFAULTS | one for name, one in raw["agreements"].items()}
        return cls(agencies, agreements, people, raw["ordinary"], raw["today"])

    def scene(self, told: dict[str, Any]) -> Scene:
        """The scene of a case that says these things. Raises CaseError."""
        who = str(told.get("who"))
        if who not in self.people:
            raise CaseError(f"{who!r} is nobody in the cast")
        person = {**self.people[who], **_known("person", told.get("person", {}), PERSON_KEYS)}
        facts: Facts = {
            "date": told.get("date", self.today),
            "purpose": told.get("purpose", UNSPECIFIED),
            "legal_basis": told.get("legal_basis", UNSPECIFIED),
            "authorised": told.get("authorised", False),
            "states_case": told.get("states_case", False),
            "exempt": told.get("exempt", False),
            "calls": told.get("calls", ""),
        }
        _put(facts, "person", person)
        changed = {person["agency"]: _known("agency", told.get("agency", {}), AGENCY_KEYS)}
        for name, agency in self.agencies.items():
            _put(facts, f"agency.{name}", {**agency, **changed.get(name, {})})
        agreements = _known("agreements", told.get("agreements", {}), self.agreements.keys())
        for name, agreement in self.agreements.items():
            change = _known(f"agreement {name}", agreements.get(name, {}), AGREEMENT_KEYS)
            _put(facts, f"agreements.{name}", {**agreement, **change})
        _put(facts, "marks", {**self.ordinary, **_known("marks", told.get("marks", {}), MARKS)})
        _check(facts)
        return Scene(who, facts, facts["calls"])


AGREEMENT_DEFAULTS: Facts = {
    "record_types": ["report"],
    "classes": {"*": "FULL"},
    "use": "EVIDENTIAL",
    "legal_bases": [],
    "assurances": [],
    "in_force": True,
}


def _put(facts: Facts, prefix: str, values: Facts) -> None:
    for key, value in values.items():
        facts[f"{prefix}.{key}"] = frozenset(value) if isinstance(value, list) else _said(value)


def _said(value: Any) -> Any:
    return "" if value == UNSPECIFIED else value


def _check(facts: Facts) -> None:
    """Raises CaseError where a word is none of those that policy knows: in a case it would be a slip."""
    _among("purpose", facts["purpose"], PURPOSES | {UNSPECIFIED})
    _among("clearance", facts["person.clearance"], CLEARANCES | {""})
    for path, value in facts.items():
        kind, _, key = path.rpartition(".")
        if kind == "marks" and key == "handling":
            code, *conditions = str(value).split() or [""]
            _among("handling", code, {"", "P", "C"})
            for one in conditions:
                _among("handling", one, enum_names("handling_conditions") or frozenset())
        elif kind == "marks" and (known := enum_names(key)) is not None:
            for one in value if isinstance(value, frozenset) else {value}:
                _among(key, one, known | {""})
        elif key == "level":
            _among(path, value, LEVELS | {""})
        elif key == "use":
            _among(path, value, USE_LIMITS)
        elif key == "classes" and kind.startswith("agreements."):
            for one in value.values():
                _among(path, one, frozenset(CLASS_TRANSFORMS))


def _among(what: str, value: Any, words: frozenset[str] | set[str]) -> None:
    if value not in words:
        raise CaseError(f"{what}: {value!r} is none of {', '.join(sorted(words - {''}))}")


def _known(what: str, values: Any, keys: Any) -> Facts:
    if not isinstance(values, dict):
        raise CaseError(f"{what}: holds keys and values")
    if unknown := values.keys() - set(keys):
        raise CaseError(f"{what}: unknown {sorted(unknown)[0]!r}")
    return values


def _agreement(name: str, one: Facts) -> Agreement:
    return Agreement(
        name,
        one["parties"],
        one["purposes"],
        one["ceiling"],
        _microseconds(one["from"]),
        _microseconds(one["until"]),
        one["record_types"],
        tuple(one["classes"].items()),
        one["use"],
        assurances=one["assurances"],
        legal_bases=one["legal_bases"],
    )


def _caller(person: Facts) -> Caller:
    return Caller(
        agency=AgencyId.parse(person["agency"]),
        workload="case",
        thumbprint=b"",
        serial="",
        user="case",
        roles=person["roles"],
        clearance=person["clearance"],
        nationalities=person["nationalities"],
        purposes=person["purposes"],
        issuer="case",
        token_id="case",  # noqa: S106 - no secret
        expires_at=0,
    )


def _microseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
