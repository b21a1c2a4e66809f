"""The cases as a page of Markdown: what a lawyer reads, made from the files that the engines are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from broker.authoring.case_scene import Cast, Scene
from broker.authoring.cases import Case, CaseBook, Theme

_WORDS = {
    "authorised": "names an authoriser",
    "states_case": "states a case",
    "exempt": "the method needs no purpose",
}
_HEAD = """\
# Policy in cases

Made by `scripts/render_cases.py` from `policies/cases/*.yaml`; change those. Every case is run on both engines. The
rules, in `code`, are explained in [policy.md](policy.md). A row that begins with *unless* is the case above it with the
one fact changed that it names. A class that a row does not mention may come out any way.
"""


def page(book: CaseBook) -> str:
    """All themes and the cast."""
    lines = [_HEAD]
    for theme in book.themes:
        lines += _theme(book.cast, theme)
    lines += _cast(book.cast)
    return "\n".join(lines) + "\n"


def _theme(cast: Cast, theme: Theme) -> Iterator[str]:
    yield f"## {theme.title}\n\n{theme.introduction}\n"
    yield "| case | who asks, for what | in particular | outcome |\n|---|---|---|---|"
    for case in theme.cases:
        plain = cast.scene({"who": case.scene.who})
        asks = f"{case.scene.who}, for {case.scene.facts['purpose']}{_called(case.scene)}"
        yield _row(case.title, asks, _particulars(case.scene, plain, leave_out={"purpose", "calls"}), _outcome(case))
        for twin in case.twins:
            yield _row(
                f"*unless* {twin.title}", "", _particulars(twin.scene, case.scene, leave_out=set()), _outcome(twin)
            )
    yield ""


def _called(scene: Scene) -> str:
    return f": {scene.calls}" if scene.calls else ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _particulars(scene: Scene, plain: Scene, leave_out: set[str]) -> str:
    """What a scene says otherwise than another, in words."""
    paths = sorted(scene.differences(plain) - leave_out)
    return "; ".join(_fact(path, scene.facts.get(path)) for path in paths)


def _fact(path: str, value: Any) -> str:
    kind, _, rest = path.partition(".")
    if path in _WORDS:
        return _WORDS[path] if value else f"no longer {_WORDS[path]}"
    if kind == "agreements":
        name, _, key = rest.partition(".")
        if key == "in_force":
            return f"the agreement *{name}* is {'in' if value else 'not in'} force"
        return f"the agreement *{name}*: {_words(key)} {_value(value)}"
    if kind == "agency":
        name, _, key = rest.rpartition(".")
        return f"{name}: {key} {_value(value)}"
    if kind == "marks" and rest == "releasable_to":
        return "no list of recipients" if value is None else f"recipients {_value(value)}"
    return f"{_words(rest or path)} {_value(value)}"


def _words(key: str) -> str:
    return "TLP" if key == "tlp" else key.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, dict):
        return ", ".join(
            f"{'all others' if key == '*' else key} {how}" for key, how in sorted(value.items(), reverse=True)
        )
    return value.isoformat() if isinstance(value, date) else str(value) or "not stated"


def _outcome(case: Case) -> str:
    expected = case.outcome
    if expected.refused:
        return f"**refused** by `{expected.refused}`"
    if expected.allowed is not None:
        return f"allowed: {', '.join(f'`{name}`' for name in sorted(expected.allowed))}"
    if expected.hidden:
        told = "; a pointer says whom to ask" if expected.pointer else ""
        return f"**hidden** by `{expected.hidden}`{told}{'; its originator is told' if expected.silent else ''}"
    said = {"full": "in full", "part": "coarsely", "pseudonym": "as pseudonyms", "withheld": "withheld"}
    return "; ".join(f"{words}: {_classes(case, level)}" for level, words in said.items() if _classes(case, level))


def _classes(case: Case, level: str) -> str:
    """The classes at this level, those of one rule together."""
    rules: dict[str, list[str]] = {}
    for name, (found, rule) in case.outcome.levels.items():
        if found == level:
            rules.setdefault(rule, []).append(name)
    return ", ".join(f"{', '.join(names)}{f' (`{rule}`)' if rule else ''}" for rule, names in rules.items())


def _cast(cast: Cast) -> Iterator[str]:
    yield f"## The cast\n\nToday is {cast.today.isoformat()}. The trust domain before the slash is the country.\n"
    yield "| agency | country | level | compartments |\n|---|---|---|---|"
    for name, agency in cast.agencies.items():
        yield _row(name, agency["country"], agency["level"], ", ".join(agency["compartments"]))
    yield "\n| agreement | parties | purposes | up to | records | classes | use | legal bases | assurances | in force |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, one in cast.agreements.items():
        lists = {
            key: ", ".join(one[key]) for key in ("parties", "purposes", "record_types", "legal_bases", "assurances")
        }
        in_force = f"{one['from']} up to {one['until']}"
        yield _row(
            name,
            lists["parties"],
            lists["purposes"],
            one["ceiling"],
            lists["record_types"],
            _value(one["classes"]),
            one["use"],
            lists["legal_bases"],
            lists["assurances"],
            in_force,
        )
    yield "\n| person | agency | roles | clearance | nationalities | purposes |\n|---|---|---|---|---|---|"
    for name, one in cast.people.items():
        lists = {key: ", ".join(one[key]) for key in ("roles", "nationalities", "purposes")}
        yield _row(name, one["agency"], lists["roles"], one["clearance"], lists["nationalities"], lists["purposes"])
    marks = ", ".join(f"{_words(key)} {value}" for key, value in cast.ordinary.items())
    yield f"\nThe ordinary portion: {marks}."
