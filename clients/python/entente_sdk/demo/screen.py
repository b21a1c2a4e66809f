"""What the demo prints: steps, results and tables, the same on a terminal and in a pipe, without colours there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from entente_sdk.cli.text import safe
from entente_sdk.demo.checks import step_named

PIPE_WIDTH = 100
WIDEST = 140


class Screen:
    """Prints to the present stdout."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=False, width=_width())
        self._steps = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step's heading; an error within names the step."""
        if self._steps:
            self.console.print()
        self._steps += 1
        self.console.print(f"[bold]{self._steps}. {escape(title)}[/bold]")
        with step_named(title):
            yield

    def says(self, text: str) -> None:
        """What happens."""
        self._line("   ", text, "")

    def granted(self, text: str) -> None:
        """An answer that was given."""
        self._line(" + ", text, "green")

    def denied(self, text: str) -> None:
        """An answer that was refused."""
        self._line(" x ", text, "yellow")

    def told(self, text: str) -> None:
        """What reached a watcher."""
        self._line(" > ", text, "cyan")

    def table(self, table: Table) -> None:
        """A table, with air around it."""
        self.console.print()
        self.console.print(table)

    def note(self, text: str) -> None:
        """Small print."""
        self._line("   ", text, "dim")

    def command(self, text: str) -> None:
        """Something to run, on one line so that it can be copied."""
        self.console.print(Text(f"   {safe(text)}", style="bold"), soft_wrap=True)

    def _line(self, sign: str, text: str, style: str) -> None:
        grid = Table.grid(padding=0)
        grid.add_column(width=len(sign), style=style)
        grid.add_column(overflow="fold")
        grid.add_row(sign, Text(safe(text), style=style if style == "dim" else ""))
        self.console.print(Padding(grid, 0, expand=False))


def _width() -> int:
    if not sys.stdout.isatty():
        return PIPE_WIDTH
    return min(Console().width, WIDEST)
