"""One deliberate fault: which file, what was changed, and the file's text with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`path` from the repository's root; `line` of the change in the shipped text; `change` as `before -> after`."""

    path: str
    line: int
    change: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"
