"""`entente import stix`: groups and campaigns of STIX bundles as reports."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from entente.common.v1 import marks_pb2
from entente_sdk._async.client import AsyncEntente
from entente_sdk.cli.command import command, explain
from entente_sdk.cli.command import exit_code as code_of
from entente_sdk.cli.session import Session, console, print_table, say
from entente_sdk.cli.values import enum_name
from entente_sdk.errors import ConfigurationError, EntenteError
from entente_sdk.retries import RetryPolicy
from entente_sdk.stix.bundle import find_bundles, read_bundle
from entente_sdk.stix.importer import Imported, Importer, OnRow
from entente_sdk.stix.listing import check_path, document, write_rows
from entente_sdk.stix.mapping import Mapping, Sharing, map_bundle
from entente_sdk.stix.rows import Outcome, Row, counts

SOME_FAILED = 5
# A broker that restarts is waited for: about half a minute.
PATIENT = RetryPolicy(attempts=12, first_wait_seconds=0.2)
CALL_SECONDS = 60.0
_SHOWN = 20

_CLASSIFICATIONS = ("OFFICIAL", "SECRET", "TOP_SECRET")
_LABELS = ("CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED")

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="STIX 2.0 or 2.1 bundles, or folders of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the mapping; write nothing, ask no broker.")]
Compare = Annotated[bool, typer.Option("--compare", help="With --dry-run: compare with what the broker holds.")]
Level = Annotated[str, typer.Option("--classification", metavar="|".join(_CLASSIFICATIONS), help="Of each report.")]
Label = Annotated[
    str, typer.Option("--tlp", metavar="|".join(_LABELS), help="Of each report; a stricter one in the bundle holds.")
]
Licence = Annotated[Path | None, typer.Option("--licence", help="A text file to go with each report, as a line.")]
ListFile = Annotated[Path | None, typer.Option("--report", help="Write what became of each object: .csv or .jsonl.")]


@dataclass(slots=True)
class _Run:
    """What is shown at the end, as far as it went."""

    written: bool
    bundles: list[tuple[str, list[Row]]] = field(default_factory=list)
    stopped: EntenteError | None = None
    untouched: int = 0

    @property
    def rows(self) -> list[Row]:
        return [row for _, rows in self.bundles for row in rows]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="Bring in what other systems hold.")
    parent.add_typer(app, name="import")

    @app.callback()
    def group() -> None:
        """Bring in what other systems hold."""

    @command(app, "stix")
    def stix(
        session: Session,
        paths: Paths,
        dry_run: DryRun = False,
        compare: Compare = False,
        classification: Level = "OFFICIAL",
        tlp: Label = "CLEAR",
        licence: Licence = None,
        report: ListFile = None,
    ) -> None:
        """Import groups and campaigns of STIX bundles as reports. Repeating it changes nothing; cut off, it resumes."""
        if compare and not dry_run:
            raise ConfigurationError("--compare goes with --dry-run", reason="USAGE")
        if report is not None:
            check_path(report)
        sharing = Sharing(_level(classification), _label(tlp), _text_of(licence))
        run = _Run(written=not dry_run)
        try:
            mappings = [map_bundle(read_bundle(path), sharing) for path in find_bundles(paths)]
            if dry_run and not compare:
                run.bundles += [(one.bundle.name, one.preview()) for one in mappings]
            else:
                _import_all(session, mappings, run)
        finally:
            if report is not None:
                write_rows(report, ((name, row) for name, rows in run.bundles for row in rows))
        session.show(_document(run, sharing), lambda: _table(run, sharing, report))
        if run.stopped is not None:
            explain(run.stopped)
            raise typer.Exit(code_of(run.stopped))
        if any(row.outcome is Outcome.FAILED for row in run.rows):
            raise typer.Exit(SOME_FAILED)


def _import_all(session: Session, mappings: list[Mapping], run: _Run) -> None:
    total = sum(len(one.reports) for one in mappings)
    with _progress(total, "importing" if run.written else "comparing") as on_row:
        asyncio.run(_import_each(session, mappings, run, on_row))


async def _import_each(session: Session, mappings: list[Mapping], run: _Run, on_row: OnRow) -> None:
    why = session.justification
    async with AsyncEntente(session.settings.profile(), retry=PATIENT, seconds=CALL_SECONDS) as client:
        importer = Importer(client, why, write=run.written, on_row=on_row)
        for mapping in mappings:
            if run.stopped is not None:
                run.untouched += len(mapping.reports)
                continue
            done = Imported()
            try:
                done = await importer.run(mapping, done)
            finally:
                run.bundles.append((mapping.bundle.name, [*done.rows, *mapping.rows]))
            run.stopped, run.untouched = done.stopped, run.untouched + done.untouched


@contextmanager
def _progress(total: int, what: str) -> Iterator[OnRow]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda _: bar.advance(task)


def _level(name: str) -> marks_pb2.Classification.ValueType:
    return marks_pb2.Classification.Value(f"CLASSIFICATION_{_one_of(name, _CLASSIFICATIONS, '--classification')}")


def _label(name: str) -> marks_pb2.Tlp.ValueType:
    return marks_pb2.Tlp.Value(f"TLP_{_one_of(name, _LABELS, '--tlp')}")


def _one_of(given: str, known: tuple[str, ...], option: str) -> str:
    name = given.strip().upper().replace("-", "_").replace("+", "_").replace(" ", "_")
    if name not in known:
        raise ConfigurationError(f"{option} is one of {', '.join(known)}, not {given!r}", reason="USAGE")
    return name


def _text_of(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--licence: {path} cannot be read: {error}", reason="USAGE") from error


def _marks(sharing: Sharing) -> str:
    level = enum_name(marks_pb2.Classification.DESCRIPTOR, sharing.classification)
    return f"{level}, handling P, TLP:{enum_name(marks_pb2.Tlp.DESCRIPTOR, sharing.tlp)}"


def _document(run: _Run, sharing: Sharing) -> dict[str, Any]:
    return {
        "written": run.written,
        "marks": _marks(sharing),
        "counts": counts(run.rows),
        "untouched": run.untouched,
        "stopped": None if run.stopped is None else run.stopped.reason,
        "rows": [document(name, row) for name, rows in run.bundles for row in rows],
    }


def _table(run: _Run, sharing: Sharing, report: Path | None) -> None:
    names = [outcome.value for outcome in Outcome if any(row.outcome is outcome for row in run.rows)]
    lines = []
    for name, rows in run.bundles:
        found = counts(rows)
        lines.append((Path(name).name, *(str(found.get(one, 0)) for one in names)))
    if lines:
        print_table(("bundle", *names), lines)
    _list_reports(run)
    _list_reasons(run, Outcome.NOT_MAPPED)
    _list_rows(run, Outcome.ABSENT)
    _list_rows(run, Outcome.FAILED, "bold red")
    say(f"Marks: {_marks(sharing)}; a stricter TLP label in a bundle holds.", "dim")
    if report is not None:
        say(f"Row by row: {report}", "dim")
    elif any(row.outcome is Outcome.NOT_MAPPED for row in run.rows):
        say("Row by row: give --report FILE, or -o json.", "dim")
    if not run.written:
        say("Nothing was written.", "bold")
    if run.stopped is not None:
        say(f"Stopped: {run.untouched} reports were not reached. Run the same command again: it resumes.", "bold red")


def _list_reports(run: _Run) -> None:
    """Of a dry run, each report and what would become of it, if anything would; of an import, nothing."""
    dull = (Outcome.UNCHANGED, Outcome.LINE, Outcome.LINK, Outcome.NOT_MAPPED, Outcome.ABSENT, Outcome.FAILED)
    found = [row for row in run.rows if row.outcome not in dull]
    if not run.written and found:
        print_table(
            ("type", "name", "becomes", "detail", "stix id"),
            [(row.type, row.name, row.outcome.value, row.detail, row.stix_id) for row in found],
        )


def _list_reasons(run: _Run, outcome: Outcome) -> None:
    found = Counter((row.type, row.detail) for row in run.rows if row.outcome is outcome)
    if found:
        lines = [(str(count), kind, detail) for (kind, detail), count in found.most_common()]
        print_table((outcome.value, "type", "why"), lines)


def _list_rows(run: _Run, outcome: Outcome, style: str = "yellow") -> None:
    found = [row for row in run.rows if row.outcome is outcome]
    for row in found[:_SHOWN]:
        say(f"{outcome.value}: {row.stix_id} {row.name}: {row.detail}", style)
    if len(found) > _SHOWN:
        say(f"... and {len(found) - _SHOWN} more {outcome.value}", style)
