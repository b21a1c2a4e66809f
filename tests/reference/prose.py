"""The tables of docs/policy.md, read as they stand: whoever changes a row changes what the reference decides.

A phrase that the reference does not know is an error, so that the prose cannot drift away from it unnoticed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

POLICY = Path(__file__).resolve().parents[2] / "docs" / "policy.md"


@cache
def table(first_heading: str, second_heading: str) -> tuple[dict[str, str], ...]:
    """The rows of the table whose first two columns have these headings, by heading."""
    lines = POLICY.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if _cells(line)[:2] == [first_heading, second_heading]]
    assert len(starts) == 1, f"docs/policy.md has {len(starts)} tables that begin {first_heading} | {second_heading}"
    headings = _cells(lines[starts[0]])
    rows = []
    for line in lines[starts[0] + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(headings, _cells(line), strict=True)))
    return tuple(rows)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


@cache
def purposes(trait: str) -> frozenset[str]:
    """The purposes that the table gives a trait, such as "investigative"."""
    return frozenset(row["purpose"] for row in table("purpose", "operational") if row[trait] == "yes")


@cache
def _roles() -> dict[str, dict[str, str]]:
    """Each role by name, with the permissions of "the same" written out."""
    found: dict[str, dict[str, str]] = {}
    permissions = ""
    for row in table("role", "permissions"):
        permissions = permissions if row["permissions"] == "the same" else row["permissions"]
        for name in re.findall(r"[a-z_]+", row["role"].split("(")[0]):
            found[name] = {**row, "permissions": permissions}
    return found


def roles_with(permission: str) -> frozenset[str]:
    """The roles that have a permission."""
    return frozenset(name for name, row in _roles().items() if re.search(rf"\b{permission}\b", row["permissions"]))


def roles_besides(trait: str) -> frozenset[str]:
    """The roles of which the table says this besides, such as "weighs provenance"."""
    return frozenset(name for name, row in _roles().items() if row["besides"] == trait)


def purposes_of(role: str) -> frozenset[str]:
    """The purposes that a role serves."""
    said = _roles()[role]["purposes"]
    return purposes("operational") if said == "all operational ones" else frozenset({said})


@cache
def column(field_class: str, heading: str) -> tuple[str, ...]:
    """The conditions under which a class is released so, in order; none: not at all. `("always",)` is no condition."""
    (row,) = (row for row in table("class", "in full") if f"`{field_class}`" in row["class"].split(", "))
    said = row[heading]
    if said.startswith("as `"):
        return column(said.removeprefix("as `").removesuffix("`"), heading)
    phrases = [re.sub(r" \(`[a-z_]+`\)$", "", phrase.strip()) for phrase in said.split(";")]
    return tuple(phrase for phrase in phrases if phrase and not phrase.startswith("never"))


@cache
def classes() -> tuple[str, ...]:
    """Every class of which the prose says who sees it."""
    return tuple(name for row in table("class", "in full") for name in re.findall(r"`([A-Z_]+)`", row["class"]))


def never(field_class: str) -> str:
    """The rule by which a class never goes to others; "" where it may."""
    (row,) = (row for row in table("class", "in full") if f"`{field_class}`" in row["class"].split(", "))
    found = re.fullmatch(r"never \(`([a-z_]+)`\)", row["in full"])
    return found[1] if found else ""


@cache
def rule_of_condition(condition: str) -> str:
    """The rule of a handling condition, such as A1."""
    (row,) = (row for row in table("condition", "rule") if row["condition"].split()[0] == condition)
    return row["rule"].strip("`")
