"""`entente report get`: one report, as this caller may see it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente.common.v1 import exchange_pb2
from entente_sdk.cli.command import command
from entente_sdk.cli.report.rendering import RecordId, print_report
from entente_sdk.cli.session import Session, as_document, receipt_document, say, say_receipt
from entente_sdk.errors import ConfigurationError

Version = Annotated[int | None, typer.Option(min=1, help="An earlier version; default: the latest.")]
Evidence = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep request and response for `entente receipt verify`.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "get")
    def get(session: Session, record_id: RecordId, version: Version = None, evidence: Evidence = None) -> None:
        """Show one report: what you may see of it, and what was withheld, why."""
        with session.connect() as entente:
            answer = entente.reports.get(record_id, version=version, justification=session.justification)
        if evidence is not None:
            _keep(evidence, answer.evidence())
        disclosed = answer.message.report

        def table() -> None:
            print_report(disclosed)
            if disclosed.disclosure.level != exchange_pb2.DISCLOSURE_LEVEL_FULL:
                say(f"Why, and what may be done about it: entente explain {answer.receipt.exchange_id}", "dim")
            say_receipt(answer.receipt)

        session.show({**as_document(disclosed), "receipt": receipt_document(answer.receipt)}, table)


def _keep(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(f"the evidence cannot be kept: {error}", reason="USAGE") from error
