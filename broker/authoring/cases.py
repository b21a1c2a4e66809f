"""The cases of `policies/cases`: who asks for what of which portion, and what they get. Data that a lawyer reviews.

A folder holds `cast.yaml` (agencies, agreements, people, the ordinary portion, today) and a file for each theme: a
title, an introduction, and cases. A case names a person and a purpose, and says what differs from the cast: `person`,
`agency`, `agreements`, `marks`. A case may carry twins under `unless`: the same scene with one fact changed, and what
comes then.

Guarantees: whatever a case says is read, or the file is refused with the case named: an unknown key, person, class,
rule or mark is never passed over. Does not say whether a case holds: `case_run` asks an engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from broker.authoring.case_scene import CaseError, Cast, Scene
from broker.decide.vocabulary import DECIDED_CLASSES, names
from entente.access.v1 import access_pb2

SCENE_KEYS = frozenset(
    "who person agency agreements purpose legal_basis authorised states_case date marks calls exempt".split()
)
OUTCOME_KEYS = frozenset("full part pseudonym withheld hidden pointer silent allowed refused".split())
PERMISSIONS = frozenset(names(access_pb2.Permission))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case expects. A class that it does not mention may come out any way.

    Args:
        levels: class -> (`full`, `part`, `pseudonym` or `withheld`; the rule that refused more, empty for `full`).
        hidden: the rule that hides the portion; empty: it is seen.
        pointer, silent: whether, of a hidden portion, a pointer is given or its originator is told.
        refused: the rule that refuses the call; `allowed`: the classes of the answer's unmarked parts.
    """

    levels: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    hidden: str = ""
    pointer: bool = False
    silent: bool = False
    refused: str = ""
    allowed: frozenset[str] | None = None

    def rules(self) -> set[str]:
        """The rules that refuse something here."""
        return {rule for _, rule in self.levels.values()} | {self.hidden, self.refused} - {""}


@dataclass(frozen=True, slots=True)
class Case:
    """One case, with its twins. A twin has none of its own."""

    title: str
    scene: Scene
    outcome: Outcome
    twins: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Theme:
    """The cases of one file."""

    name: str
    title: str
    introduction: str
    cases: tuple[Case, ...]

    def all_cases(self) -> Iterator[Case]:
        """Every case and every twin, in reading order."""
        for case in self.cases:
            yield case
            yield from case.twins


@dataclass(frozen=True, slots=True)
class CaseBook:
    """All themes, in the order of their files' names."""

    cast: Cast
    themes: tuple[Theme, ...]

    def all_cases(self) -> Iterator[Case]:
        for theme in self.themes:
            yield from theme.all_cases()


def load_cases(folder: Path, rules: frozenset[str]) -> CaseBook:
    """Read a folder of cases against the rules that exist.

    Raises CaseError with the file, the case and what is wrong with it.
    """
    cast = Cast.read(_document(folder / "cast.yaml"))
    paths = [path for path in sorted(folder.glob("*.yaml")) if path.name != "cast.yaml"]
    themes = tuple(_theme(path, cast, rules) for path in paths)
    titles = [case.title for theme in themes for case in theme.all_cases()]
    if twice := {title for title in titles if titles.count(title) > 1}:
        raise CaseError(f"{folder}: two cases have the title {sorted(twice)[0]!r}")
    return CaseBook(cast, themes)


def _theme(path: Path, cast: Cast, rules: frozenset[str]) -> Theme:
    document = _document(path)
    if document.keys() != {"title", "introduction", "cases"}:
        raise CaseError(f"{path.name}: holds a title, an introduction and cases, and nothing else")
    cases = tuple(_case(path, one, {}, cast, rules) for one in document["cases"])
    return Theme(path.stem, document["title"], " ".join(document["introduction"].split()), cases)


def _case(path: Path, raw: dict[str, Any], base: dict[str, Any], cast: Cast, rules: frozenset[str]) -> Case:
    title = raw.get("case")
    if not isinstance(title, str):
        raise CaseError(f"{path.name}: a case has no title (case: ...)")
    try:
        if unknown := raw.keys() - SCENE_KEYS - OUTCOME_KEYS - ({"case"} if base else {"case", "unless"}):
            raise CaseError(f"unknown key {sorted(unknown)[0]!r}")
        told = _joined(base, {key: value for key, value in raw.items() if key in SCENE_KEYS})
        if told.get("calls", "SELF") not in PERMISSIONS:
            raise CaseError(f"calls {told['calls']!r}, which is no permission")
        scene = cast.scene(told)
        outcome = _outcome({key: value for key, value in raw.items() if key in OUTCOME_KEYS}, rules)
        if (outcome.allowed is None and not outcome.refused) == bool(scene.calls):
            raise CaseError("a case that calls a method is allowed or refused; any other says what is seen")
    except CaseError as error:
        raise CaseError(f"{path.name}: {title!r}: {error}") from None
    return Case(title, scene, outcome, tuple(_case(path, one, told, cast, rules) for one in raw.get("unless", ())))


def _joined(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A twin's scene: its case's, with what the twin says in place, fact by fact."""
    joined = dict(base)
    for key, value in change.items():
        both = isinstance(joined.get(key), dict) and isinstance(value, dict)
        joined[key] = _joined(joined[key], value) if both else value
    return joined


def _outcome(raw: dict[str, Any], rules: frozenset[str]) -> Outcome:
    levels = dict.fromkeys(raw.get("full", ()), ("full", ""))
    for level in ("part", "pseudonym", "withheld"):
        for name, rule in raw.get(level, {}).items():
            if levels.setdefault(name, (level, rule)) != (level, rule):
                raise CaseError(f"{name} comes out in two ways")
    if unknown := levels.keys() - set(DECIDED_CLASSES):
        raise CaseError(f"{sorted(unknown)[0]!r} is no class that policy decides on")
    allowed = frozenset(raw["allowed"]) if "allowed" in raw else None
    outcome = Outcome(
        levels,
        raw.get("hidden", ""),
        raw.get("pointer", False),
        raw.get("silent", False),
        raw.get("refused", ""),
        allowed,
    )
    if unknown := outcome.rules() - rules - {""}:
        raise CaseError(f"rule {sorted(unknown)[0]!r} does not exist")
    if not outcome.hidden and (outcome.pointer or outcome.silent):
        raise CaseError("a pointer, and that somebody looked, are told of a portion that is hidden")
    if bool(outcome.hidden) == bool(levels) and not outcome.refused and allowed is None:
        raise CaseError("says either which rule hides the portion, or what of it is seen")
    return outcome


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CaseError(f"{path.name}: cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise CaseError(f"{path.name}: is not in the form of the other files in this folder")
    return document
