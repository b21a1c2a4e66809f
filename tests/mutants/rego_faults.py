"""Faults in the shipped policies: in the Rego and in the data that it reads.

In Rego, on its tokens: `any_of` for `all_of` and back; a member of a list, a line of a rule's body or one of several
bodies left out; a literal that is another of the words that policy knows; a fact that is another, always true, or true
by default; a comparison that is another; what is released in full, in part and as a pseudonym, exchanged; `subset` for
`intersects`. In the data: a flag turned, a word left out of a list or put into one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.mutants.mutant import Mutant

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|[A-Za-z_][\w.]*|:=|==|!=|<=|>=|[-\[\](){},:;|<>&=]|\d+|\n|\s')
_OTHER_CALL = {
    "all_of": "any_of",
    "any_of": "all_of",
    "subset": "intersects",
    "intersects": "subset",
    "everything": "nothing",
    "nothing": "everything",
}
_OTHER_COMPARISON = {"<=": ("<", ">="), ">=": (">", "<="), "<": ("<=",), ">": (">=",), "==": ("!=",), "!=": ("==",)}
_OPEN, _CLOSE = {"[": "]", "(": ")", "{": "}"}, set("])}")
# Words that stand for one another: a literal becomes its neighbour.
FAMILIES = (
    ("OFFICIAL", "SECRET", "TOP_SECRET"),
    ("UNSPECIFIED", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED"),
    ("A1", "A2", "A3", "S1", "S2"),
    ("H0", "H1", "H2", "H3"),
    ("P", "C"),
    ("SOURCE_PROTECTED", "SANITISED", "TEAR_LINE"),
    ("REDACTED", "POINTER", "SILENT", "NONE"),
    ("LOCAL", "REGIONAL", "NATIONAL", "INTERNATIONAL"),
    ("FULL", "GENERALISE", "PSEUDONYM", "WITHHOLD"),
    ("full", "part", "pseudonym"),
    ("all", "any"),
    ("originator", "originator_domain"),
    ("fallback", "reach"),
    ("handling_conditions", "europol_handling"),
)
_NEIGHBOUR = {word: family[(k + 1) % len(family)] for family in FAMILIES for k, word in enumerate(family)}


_Span = tuple[int, int]
_Cut = Callable[..., Mutant]


@dataclass(frozen=True)
class _Token:
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def faults(path: str, text: str) -> Iterator[Mutant]:
    """Every fault of one policy file (`.rego` or `.json`), in the order of its text."""
    seen = {text}
    found = _data_faults(path, text) if path.endswith(".json") else _rego_faults(path, text)
    for one in found:
        if one.text not in seen:
            seen.add(one.text)
            yield one


def _rego_faults(path: str, text: str) -> Iterator[Mutant]:
    tokens = [_Token(found.group(), found.start()) for found in _TOKEN.finditer(text)]
    code = [token for token in tokens if not (token.text.isspace() or token.text.startswith("#"))]

    def cut(start: int, end: int, instead: str, said: str = "") -> Mutant:
        before = " ".join((said or text[start:end]).split())
        line = text.count("\n", 0, start) + 1
        changed = text[:start] + instead + text[end:]
        return Mutant(path, line, f"{_short(before)} -> {_short(instead) or '(gone)'}", changed)

    facts = sorted({token.text for token in code if token.text.startswith("caller.")})
    for position, token in enumerate(code):
        following = code[position + 1].text if position + 1 < len(code) else ""
        yield from _of_token(token, following, facts, cut)
    for opening, items in _lists(code):
        if opening.text == "[" and "|" not in text[opening.start : items[-1][1]]:
            yield from _less_one(items, text, cut)
        elif opening.text == "{":
            yield from _exchanged(items, text, cut)
    yield from (cut(start, end, "", said) for start, end, said in _bodies(text))


def _less_one(items: list[_Span], text: str, cut: _Cut) -> Iterator[Mutant]:
    """A list without one of its members, its comma with it."""
    for k, (start, end) in enumerate(items):
        last = k + 1 == len(items)
        until = end if last else items[k + 1][0]
        since = items[k - 1][1] if last and k else start
        yield cut(since, until, "", text[start:end])


def _exchanged(items: list[_Span], text: str, cut: _Cut) -> Iterator[Mutant]:
    """What an object releases in full, in part and as a pseudonym, one for another."""
    for (start, middle), (behind, end) in pairwise(items):
        one, other = (text[slice(*span)].partition(": ") for span in ((start, middle), (behind, end)))
        if one[0].strip('"') in ("full", "part") and one[2] != other[2]:
            said = f"{one[0]} <-> {other[0]}"
            yield cut(start, end, f"{one[0]}: {other[2]}{text[middle:behind]}{other[0]}: {one[2]}", said)


def _of_token(token: _Token, following: str, facts: list[str], cut: _Cut) -> Iterator[Mutant]:
    word = token.text
    if word.startswith('"') and following != ":" and (other := _NEIGHBOUR.get(word[1:-1])):
        yield cut(token.start, token.end, f'"{other}"')
    head, _, last = word.rpartition(".")
    if last in _OTHER_CALL and (head.endswith("trees") or not head) and following in ("(", ",", "}", "]", ""):
        yield cut(token.start, token.end, (f"{head}." if head else "") + _OTHER_CALL[last])
    for other in _OTHER_COMPARISON.get(word, ()):
        yield cut(token.start, token.end, other)
    if word in ("true", "false"):
        yield cut(token.start, token.end, "false" if word == "true" else "true")
    if word.startswith("caller.") and following in (")", ",") and len(facts) > 1:
        yield cut(token.start, token.end, facts[(facts.index(word) + 1) % len(facts)])
        yield cut(token.start, token.end, "true")
        yield cut(token.start, token.end, "false")


def _lists(code: list[_Token]) -> Iterator[tuple[_Token, list[_Span]]]:
    """(opening bracket, spans of what lies between its commas) of each pair of brackets that holds something."""
    stack: list[tuple[_Token, list[_Span], list[_Token]]] = []
    for token in code:
        if token.text in _OPEN:
            if stack:
                stack[-1][2].append(token)
            stack.append((token, [], []))
        elif token.text in _CLOSE and stack:
            opening, items, current = stack.pop()
            if current:
                items.append((current[0].start, current[-1].end))
            if stack:
                stack[-1][2].append(token)
            if items:
                yield opening, items
        elif token.text == "," and stack:
            opening, items, current = stack[-1]
            if current:
                items.append((current[0].start, current[-1].end))
                current.clear()
        elif stack:
            stack[-1][2].append(token)


def _bodies(text: str) -> Iterator[tuple[int, int, str]]:
    """Lines of rule bodies and comprehensions, and whole rules that are a condition."""
    position, depths = 0, [0]
    inside = False
    for line in text.splitlines(keepends=True):
        depth = len(line) - len(line.lstrip("\t"))
        stripped = line.strip()
        if inside and depth <= depths[-1]:
            inside = False
        if inside and depth == depths[-1] + 1 and not stripped.startswith(("#", "some ")):
            yield position, position + len(line), stripped
        if stripped.endswith((" if {", "|")):
            inside, depths = True, [*depths, depth]
        position += len(line)
    for found in re.finditer(r"^(\w+) if (?!\{)[^\n]+\n|^(\w+) if \{\n(?:\t[^\n]*\n)+\}\n", text, re.MULTILINE):
        yield found.start(), found.end(), f"rule {found.group(1) or found.group(2)}"


def _data_faults(path: str, text: str) -> Iterator[Mutant]:
    document = json.loads(text)

    def walk(node: object, where: str) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, bool):
                    node[key] = not value
                    yield f"{where}.{key}: {value} -> {not value}"
                    node[key] = value
                else:
                    yield from walk(value, f"{where}.{key}")
        elif isinstance(node, list):
            for word in list(node):
                at = node.index(word)
                node.remove(word)
                yield f"{where}: {word} -> (gone)"
                node.insert(at, word)

    for change in walk(document, ""):
        yield Mutant(path, 1, change.lstrip("."), json.dumps(document, indent=1))


def policy_texts(folder: Path) -> dict[str, str]:
    """What ships, by path from the repository's root: no tests, no naive decision, no sentences."""
    shipped = [path for path in sorted(folder.glob("*.rego")) if not path.name.endswith("_test.rego")]
    data = [path for path in sorted((folder / "data").glob("*.json")) if path.name != "rules.json"]
    return {
        str(path.relative_to(folder.parent)): path.read_text("utf-8")
        for path in (*shipped, *data)
        if path.name != "decision.rego"
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:87]}..."
