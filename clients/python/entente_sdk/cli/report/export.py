"""`entente report export`: every report that fits a search, as this caller may see it, into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente_sdk.cli.command import command
from entente_sdk.cli.report.search import (
    Account,
    Name,
    Operation,
    Originator,
    PageSize,
    Phone,
    Plate,
    Retracted,
    Since,
    Text,
    Until,
)
from entente_sdk.cli.session import Session, say
from entente_sdk.queries import ReportQuery

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file to make: JSON lines.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with FILE.part, which was cut off.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "export")
    def export(
        session: Session,
        file: File,
        text: Text = None,
        name: Name = None,
        phone: Phone = None,
        plate: Plate = None,
        account: Account = None,
        originator: Originator = None,
        operation: Operation = None,
        since: Since = None,
        until: Until = None,
        include_retracted: Retracted = False,
        page_size: PageSize = None,
        resume: Resume = False,
    ) -> None:
        """Write all reports that fit into FILE, each with what was withheld and why, and the pages' receipts."""
        query = ReportQuery(
            text=text,
            name=name,
            phone=phone,
            plate=plate,
            account=account,
            originator=originator,
            operation=operation,
            since=since,
            until=until,
            include_retracted=include_retracted,
        )
        with session.connect() as entente:
            made = entente.reports.export(
                file, query, page_size=page_size, resume=resume, justification=session.justification
            )

        def table() -> None:
            say(f"{made.reports} reports from {made.pages} pages in {made.path}; entente receipt verify checks it.")

        session.show({"file": str(made.path), "reports": made.reports, "pages": made.pages}, table)
