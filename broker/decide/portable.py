"""The subset of Rego that every engine reads alike; a module outside it is not let in, wherever it comes from.

Guarantees: no builtin that one engine lacks, that depends on anything outside, or in whose details engines differ; no
clock; no `p[k] contains v`, which is `{}` in one engine and undefined in the other; every boolean fact of the callers
and of the method has a default, so that it is false and not undefined.
Does not: compile anything (`examination.py`), or know names (`broker/authoring/checks.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

FORBIDDEN = {
    r"\bsprintf\b": "sprintf differs between engines",
    r"\btime\.": "no clock in policy: the broker filters what is in force",
    r"\b(?:http|net|crypto|io\.jwt|opa\.runtime|rand|uuid)\b": "nothing from outside",
    r'\$["`]': "no template strings",
    r"\brego\.metadata\b|^# METADATA": "no metadata",
    r"^\s*\w+\[[^\]]*\]\s+contains\b": "p[k] contains v is undefined in one engine where nothing contributes",
    r"\bregex\.|\bglob\.|\bjson\.(?:filter|patch)|\bwalk\(|\bgraph\.": "engines differ in details",
    r"\bnot\s+every\b|\bprint\(|\btrace\(": "engines differ in details",
}
_COMMENT = re.compile(r"(?m)^\s*#(?! METADATA).*$")
_BOOLEAN_RULE = re.compile(r"^([a-z_]+) if \b", re.MULTILINE)


def code_of(text: str) -> str:
    """A module without the comments that stand on lines of their own."""
    return _COMMENT.sub("", text)


def unportable(modules: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One line for each place in these modules (name, text) that is outside the subset."""
    for name, text in modules:
        code = code_of(text)
        for pattern, why in FORBIDDEN.items():
            for found in re.finditer(pattern, code, re.MULTILINE):
                yield f"{name}: {found.group(0).strip()}: {why}"
        for rule in sorted(set(_BOOLEAN_RULE.findall(code))):
            if f"default {rule} := false" not in code:
                yield f"{name}: {rule} has no default of false"
