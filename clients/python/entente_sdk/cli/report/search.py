"""`entente report search`: reports by text, entity, originator and time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from entente_sdk.cli.command import command
from entente_sdk.cli.report.rendering import print_list
from entente_sdk.cli.session import Session, as_document, receipt_document, say
from entente_sdk.cli.times import moment
from entente_sdk.queries import ReportQuery

Text = Annotated[str | None, typer.Option(help="Words in a title, tear-line or line.")]
Name = Annotated[str | None, typer.Option(help="A person's or organisation's name or alias.")]
Phone = Annotated[str | None, typer.Option(help="A phone number.")]
Plate = Annotated[str | None, typer.Option(help="A vehicle's plate.")]
Account = Annotated[str | None, typer.Option(help="An account.")]
Originator = Annotated[str | None, typer.Option(metavar="TRUST_DOMAIN/AGENCY", help="Whose report.")]
Operation = Annotated[str | None, typer.Option(help="Reports of this operation.")]
Since = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="TIME", help="Accepted at or after; UTC if bare.")
]
Until = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="Accepted before.")]
Retracted = Annotated[bool, typer.Option("--include-retracted", help="Also retracted ones, without content.")]
All = Annotated[bool, typer.Option("--all", help="All pages, not only the first.")]
PageSize = Annotated[int | None, typer.Option(min=1, max=1000, help="Reports on a page; default 100.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "search")
    def search(
        session: Session,
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
        all_pages: All = False,
        page_size: PageSize = None,
    ) -> None:
        """Find reports, newest first. A condition on a field that is hidden from you matches nothing."""
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
            found = entente.reports.search(query, page_size=page_size, justification=session.justification)
            pages = list(found.pages()) if all_pages else [found.first()]
        reports = [report for page in pages for report in page.message.reports]
        more = bool(pages[-1].message.next_page_token)

        def table() -> None:
            print_list(reports)
            say(
                f"{len(reports)} found{'; there are more: --all' if more else ''}. Receipts verified: {len(pages)}.",
                "dim",
            )

        document = {
            "reports": [as_document(report) for report in reports],
            "more": more,
            "receipts": [receipt_document(page.receipt) for page in pages],
        }
        session.show(document, table)
