"""Every `entente` command that a document shows is one that there is, with the options that it is shown with.

That the commands do what the guides say is shown by the guides' own tests, over a live broker; this one asks no broker.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from entente_sdk.cli import application
from tests.support.live import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_LINE = re.compile(r"^(?:    (?:\$ )?|)(entente [a-z].*)$", re.MULTILINE)
INLINE = re.compile(r"`(entente [a-z][^`]*)`")


def shown(text: str) -> Iterator[str]:
    """The commands of a document: lines of its blocks, and what stands between backticks in its text."""
    joined = text.replace("\\\n", " ")
    yield from (line.partition("  #")[0].strip() for line in COMMAND_LINE.findall(joined))
    yield from (" ".join(words.split()) for words in INLINE.findall(joined))


def every_command() -> dict[str, set[str]]:
    """`report get` -> its options. Groups are in it too, with none of their own."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        found[name] = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for child, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {child}".strip())

    walk(typer.main.get_command(application()), "")
    for group, before in (("entente.commands", ""), ("entente.commands.policy", "policy ")):
        for point in entry_points(group=group):
            brought = typer.Typer()
            brought.command()(point.load())
            walk(typer.main.get_command(brought), before + point.name)
    return found


COMMANDS = every_command()


def wrong(line: str) -> str:
    """What is wrong with a command; empty: nothing."""
    words = shlex.split(line.replace("...", ""))[1:]
    name = ""
    while words and not words[0].startswith("-"):
        below = [f"{name} {one}".strip() for one in words[0].split("|")]
        if any(one not in COMMANDS for one in below):
            break
        # Of several commands that are named together, the rest of the line is about none in particular.
        name, words = below[0], words[1:]
    if not name or (words and any(other.startswith(f"{name} ") for other in COMMANDS)):
        return f"no command: {line}"
    missing = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} - COMMANDS[name] - {"--help"}
    return f"{sorted(missing)} of {line}" if missing else ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_is_there(document: Path) -> None:
    assert [problem for line in shown(document.read_text("utf-8")) if (problem := wrong(line))] == []


@pytest.mark.parametrize(
    "line", ["entente reprot get ID", "entente report", "entente report get ID --evidense x", "entente"]
)
def test_a_slip_is_found(line: str) -> None:
    assert wrong(line) or line == "entente report"


def test_there_is_something_to_look_at() -> None:
    assert sum(1 for document in DOCUMENTS for _ in shown(document.read_text("utf-8"))) > 100
    assert list(shown("text `entente report\nget ID` and\n\n    entente hits --watch  # as they come\n")) == [
        "entente hits --watch",
        "entente report get ID",
    ]
