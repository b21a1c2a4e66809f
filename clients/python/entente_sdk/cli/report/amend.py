"""`entente report amend`: change one's own report; what the mask does not name stays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente.report.v1 import report_pb2
from entente_sdk._sync.client import Entente
from entente_sdk.cli.command import command
from entente_sdk.cli.report.rendering import RecordId, show_written
from entente_sdk.cli.report.submit import read
from entente_sdk.cli.session import Session
from entente_sdk.errors import PreconditionError
from entente_sdk.justification import Justification

File = Annotated[Path, typer.Argument(metavar="FILE|-", help="YAML or JSON with the new values; - reads stdin.")]
Mask = Annotated[
    str | None,
    typer.Option(metavar="PATHS", help="Which fields, with commas: title,header.marks. Default: the file's."),
]
Etag = Annotated[str | None, typer.Option(help="Of the version to start from. Default: the latest's, fetched first.")]
Key = Annotated[str | None, typer.Option(help="A UUID: the same key with the same change is the same call.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "amend")
    def amend(
        session: Session,
        record_id: RecordId,
        file: File,
        mask: Mask = None,
        etag: Etag = None,
        idempotency_key: Key = None,
    ) -> None:
        """Change your own report: only the fields that the mask names."""
        report = read(file)
        why = session.justification
        with session.connect() as entente:
            answer = entente.reports.amend(
                record_id,
                report,
                etag=etag or latest_etag(entente, record_id, why),
                paths=[path.strip() for path in mask.split(",")] if mask else paths_of(report),
                idempotency_key=idempotency_key,
                justification=why,
            )
        show_written(session, "Amended", answer)


def latest_etag(entente: Entente, record_id: str, why: Justification) -> str:
    """The latest version's etag. Raises NotFoundError, or PreconditionError where it is not released."""
    header = entente.reports.get(record_id, justification=why).message.report.report.header
    if not header.etag:
        raise PreconditionError("ETAG_STALE", "the report's etag is not released to you; give --etag")
    return header.etag


def paths_of(report: report_pb2.Report) -> list[str]:
    """The fields that a report holds, those of its header one by one."""
    paths = [field.name for field, _ in report.ListFields() if field.name != "header"]
    return [f"header.{field.name}" for field, _ in report.header.ListFields()] + paths
