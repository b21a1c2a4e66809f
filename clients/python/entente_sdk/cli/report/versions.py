"""`entente report versions`: what happened to a report."""

from __future__ import annotations

import typer

from entente.report.v1 import report_pb2
from entente_sdk.cli.command import command
from entente_sdk.cli.report.rendering import RecordId, list_line
from entente_sdk.cli.session import Session, as_document, print_table
from entente_sdk.cli.values import words


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "versions")
    def versions(session: Session, record_id: RecordId) -> None:
        """List a report's versions, newest first, as far as you may see each."""
        with session.connect() as entente:
            found = list(entente.reports.list_versions(record_id, justification=session.justification))

        def table() -> None:
            lines = [(words(report_pb2.ChangeKind.DESCRIPTOR, one.kind), *list_line(one.report)[2:]) for one in found]
            print_table(("change", "version", "updated", "title", "disclosure"), lines)

        session.show([as_document(one) for one in found], table)
