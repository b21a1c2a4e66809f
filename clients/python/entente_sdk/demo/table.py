"""The demo's tables: who saw what of which field, who was told of what, and who is on the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from entente_sdk.cli.text import safe
from entente_sdk.demo.fields import Cell, Leaf, View
from entente_sdk.rules import rule_text

FIELD_WIDTH = 22
CELL_WIDTH = 15
NARROW_WIDTH = 7
_STYLES = {"value": "", "generalised": "cyan", "withheld": "yellow", "hidden": "dim", "refused": "dim"}
_BREAKABLE = re.compile(r"(?<=[._/\]])(?=.)")


@dataclass(frozen=True)
class Section:
    """One record in the table: its fields as its originator has them, and each party's view of it."""

    title: str
    leaves: Sequence[Leaf]
    views: Mapping[str, View]

    def cells(self, leaf: Leaf) -> list[Cell]:
        """In the parties' order."""
        return [view.cell(leaf) for view in self.views.values()]


def field_table(sections: Sequence[Section], headings: Sequence[tuple[str, str]]) -> Table:
    """Rows are fields, columns parties; `headings` are (party, purpose), the last one narrow."""
    table = _plain("Who sees what")
    table.add_column("field", width=FIELD_WIDTH)
    for number, (party, purpose) in enumerate(headings, 1):
        width = NARROW_WIDTH if number == len(headings) else CELL_WIDTH
        heading = Text(party).append("\n").append(fitted(purpose, width), style="dim")
        table.add_column(heading, width=width, overflow="fold")
    for section in sections:
        table.add_row(Text(section.title, style="bold"), *["" for _ in headings], end_section=True)
        for number, leaf in enumerate(section.leaves, 1):
            last = number == len(section.leaves)
            cells = [_text(cell) for cell in section.cells(leaf)]
            table.add_row(Text(fitted(leaf.label, FIELD_WIDTH)), *cells, end_section=last)
    return table


def legend(sections: Sequence[Section]) -> Table:
    """The words of every rule in the table, and what its signs mean."""
    rules: dict[str, str] = {}
    for section in sections:
        for leaf in section.leaves:
            for cell in section.cells(leaf):
                if cell.rule:
                    rules.setdefault(cell.rule, cell.reason)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="yellow", no_wrap=True)
    table.add_column(overflow="fold")
    for rule, reason in rules.items():
        table.add_row(rule, Text(rule_text(rule, reason)))
    table.add_row("-", "No such record, or no such part of it: hidden and missing are one answer, without a rule.")
    table.add_row("generalised", "In a coarser form, because of the rule named; in full it would be withheld.")
    table.add_row("refused", "The call was refused: no role of an auditor reads reports.")
    return table


def told_table(rows: Sequence[tuple[str, Sequence[bool]]], parties: Sequence[str]) -> Table:
    """Which change reached which watcher."""
    table = _plain("Who was told")
    table.add_column("change", overflow="fold")
    for party in parties:
        table.add_column(party)
    for change, told in rows:
        table.add_row(change, *[Text("told") if one else Text("-", style="dim") for one in told])
    return table


def entry_table(title: str, last: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Entries of the ledger; `last` are the headings of its last columns."""
    table = _plain(title)
    for heading in ("entry", "time", "who", "agency", "purpose", "what", *last):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell)) for cell in row))
    return table


def fitted(text: str, width: int) -> str:
    """The text with line breaks after `.`, `_`, `/` and `]` where a word is wider than its column."""
    lines: list[str] = []
    for word in text.split(" "):
        parts = _BREAKABLE.split(word) if len(word) > width else [word]
        line = f"{lines.pop()} " if lines and len(lines[-1]) + 1 + len(parts[0]) <= width else ""
        for part in parts:
            if line and len(line) + len(part) > width:
                lines.append(line)
                line = ""
            line += part
        lines.append(line)
    return "\n".join(lines)


def _text(cell: Cell) -> Text:
    if cell.kind == "hidden":
        written = "-"
    elif cell.kind == "refused":
        written = "refused"
    elif cell.kind == "withheld":
        written = f"withheld: {cell.rule or 'no rule named'}"
    elif cell.kind == "generalised":
        written = f"{cell.text} (generalised: {cell.rule or 'no rule named'})"
    else:
        written = cell.text
    return Text(fitted(safe(written), CELL_WIDTH), style=_STYLES[cell.kind])


def _plain(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
