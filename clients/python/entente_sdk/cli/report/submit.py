"""`entente report submit`: share a report from a file, from stdin, or from options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from entente.report.v1 import report_pb2
from entente_sdk.cli.command import command
from entente_sdk.cli.report.rendering import show_written
from entente_sdk.cli.session import Session
from entente_sdk.errors import ConfigurationError
from entente_sdk.reports import load_report, parse_report, read_report

File = Annotated[Path | None, typer.Argument(metavar="[FILE|-]", help="YAML or JSON; - reads stdin.")]
Title = Annotated[str | None, typer.Option(help="What it is about, in a line.")]
TearLine = Annotated[str | None, typer.Option(help="The version cleared for wider release.")]
Lines = Annotated[list[str] | None, typer.Option("--line", help="A line of information; repeat for several.")]
Grade = Annotated[str | None, typer.Option(help="3x5x2 grade of the lines, such as 2B.")]
Classification = Annotated[str | None, typer.Option(help="OFFICIAL, SECRET or TOP_SECRET.")]
Handling = Annotated[str | None, typer.Option(help="P, or C with conditions, such as C:A1,S2.")]
Reach = Annotated[
    str | None,
    typer.Option(help="How far it goes at most: REDACTED, POINTER, SILENT or NONE. Default: as far as policy allows."),
]
Fallback = Annotated[
    str | None, typer.Option(help="What those who may not see it are told: POINTER, or SILENT. Default: nothing.")
]
Themes = Annotated[list[str] | None, typer.Option("--theme", help="A crime type or theme; repeat for several.")]
Key = Annotated[str | None, typer.Option(help="A UUID: the same key with the same report is the same call.")]

_SOURCES = {"1": "RELIABLE", "2": "UNTESTED", "3": "NOT_RELIABLE"}
_ASSESSMENTS = {
    "A": "KNOWN_DIRECTLY",
    "B": "CORROBORATED",
    "C": "KNOWN_INDIRECTLY",
    "D": "NOT_KNOWN",
    "E": "SUSPECTED_FALSE",
}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "submit")
    def submit(
        session: Session,
        file: File = None,
        title: Title = None,
        tear_line: TearLine = None,
        line: Lines = None,
        grade: Grade = None,
        classification: Classification = None,
        handling: Handling = None,
        reach: Reach = None,
        fallback: Fallback = None,
        theme: Themes = None,
        idempotency_key: Key = None,
    ) -> None:
        """Share a report: a FILE, or one made of --title, --line, --classification and --handling."""
        made: dict[str, Any] = {"title": title, "tear_line": tear_line, "themes": theme or None}
        made["lines"] = [graded(number, text, grade) for number, text in enumerate(line or (), 1)] or None
        if classification or handling or reach or fallback:
            made["header"] = {"marks": marks(classification, handling, reach, fallback)}
        given = {name: value for name, value in made.items() if value is not None}
        if (file is None) == (not given):
            raise ConfigurationError("give either a FILE (or -), or --title and the other options", reason="USAGE")
        report = read(file) if file is not None else from_options(given)
        with session.connect() as entente:
            answer = entente.reports.submit(
                report, idempotency_key=idempotency_key, justification=session.justification
            )
        show_written(session, "Submitted", answer)


def read(file: Path) -> report_pb2.Report:
    """A report from a file, or from stdin for `-`. Raises RequestError."""
    return read_report(sys.stdin.read()) if str(file) == "-" else load_report(file)


def from_options(given: dict[str, Any]) -> report_pb2.Report:
    """A report made of options: its restriction is part of it, so it must be stated. Raises ConfigurationError."""
    if "header" not in given:
        raise ConfigurationError("a report needs its marks: --classification and --handling", reason="USAGE")
    return parse_report(given)


def graded(number: int, text: str, grade: str | None) -> dict[str, Any]:
    """A line with its grade. Raises ConfigurationError."""
    source, assessment = (grade or "")[:1], (grade or "")[1:].upper()
    if source not in _SOURCES or assessment not in _ASSESSMENTS:
        raise ConfigurationError("--line needs --grade: source 1-3 and assessment A-E, such as 2B", reason="USAGE")
    scale = {"source": _SOURCES[source], "assessment": _ASSESSMENTS[assessment]}
    return {"key": f"line-{number}", "information": text, "grading": {"grading_3x5x2": scale}}


def marks(
    classification: str | None, handling: str | None, reach: str | None = None, fallback: str | None = None
) -> dict[str, Any]:
    """`C:A1,S2` is code C with conditions A1 and S2. Raises ConfigurationError."""
    if not (classification and handling):
        raise ConfigurationError("--classification and --handling go together", reason="USAGE")
    code, _, conditions = handling.partition(":")
    found: dict[str, Any] = {"classification": classification, "handling_code": code}
    found |= {name: value for name, value in (("reach", reach), ("fallback", fallback)) if value}
    if conditions:
        found["handling_conditions"] = conditions.split(",")
    return found
