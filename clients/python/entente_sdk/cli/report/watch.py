"""`entente report watch`: follow changes, and go on from where one stopped.

A batch is printed, then its cursor is kept, then it is acknowledged: what was acknowledged has been printed, and what
was printed but not kept comes again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from entente.report.v1 import report_pb2
from entente.report.v1 import report_service_pb2 as wire
from entente_sdk._sync.subscription import Batch
from entente_sdk.cli.command import command
from entente_sdk.cli.report.rendering import list_line
from entente_sdk.cli.session import Session, as_document, print_table, receipt_document, say
from entente_sdk.cli.values import words
from entente_sdk.errors import ConfigurationError

CursorFile = Annotated[Path | None, typer.Option(help="Resume from it, and keep the place in it.")]
FromNow = Annotated[bool, typer.Option("--from-now", help="Skip what is there already.")]
Count = Annotated[int | None, typer.Option(min=1, help="Stop after the batch that brings so many changes.")]
Originator = Annotated[str | None, typer.Option(metavar="TRUST_DOMAIN/AGENCY", help="Only of this originator.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "watch")
    def watch(
        session: Session,
        cursor_file: CursorFile = None,
        from_now: FromNow = False,
        count: Count = None,
        originator: Originator = None,
    ) -> None:
        """Follow changes as they happen; Ctrl-C stops."""
        cursor = read_cursor(cursor_file)
        seen = 0
        with (
            session.connect() as entente,
            entente.reports.subscribe(
                cursor=cursor,
                from_now=from_now and cursor is None,
                originator=originator,
                justification=session.justification,
            ) as subscription,
        ):
            for batch in subscription:
                for change in batch.changes:
                    show_change(session, change, batch)
                keep_cursor(cursor_file, batch.cursor)
                batch.acknowledge()
                seen += len(batch.changes)
                if count is not None and seen >= count:
                    return
                if batch.up_to_date and not batch.changes and sys.stderr.isatty() and session.output == "table":
                    say("Up to date; waiting for changes.", "dim")


def show_change(session: Session, change: wire.ReportChange, batch: Batch) -> None:
    """One change, in the chosen form."""
    kind = words(report_pb2.ChangeKind.DESCRIPTOR, change.kind)
    document = {**as_document(change), "receipt": receipt_document(batch.answer.receipt)}
    session.show_next(document, lambda: print_table((), [(kind, *list_line(change.report))]))


def read_cursor(path: Path | None) -> str | None:
    """The kept place, if there is one. Raises ConfigurationError."""
    try:
        return (path.read_text(encoding="utf-8").strip() or None) if path is not None else None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the cursor file cannot be read: {error}", reason="USAGE") from error


def keep_cursor(path: Path | None, cursor: str) -> None:
    """Replace the kept place in one step. Raises ConfigurationError."""
    if path is None or not cursor:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(cursor + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise ConfigurationError(f"the cursor file cannot be written: {error}", reason="USAGE") from error
