"""`entente report retract`: withdraw one's own report."""

from __future__ import annotations

from typing import Annotated

import typer

from entente_sdk.cli.command import command
from entente_sdk.cli.report.amend import Etag, Key, latest_etag
from entente_sdk.cli.report.rendering import RecordId, show_written
from entente_sdk.cli.session import Session

Reason = Annotated[str, typer.Option("--reason", help="Why it is withdrawn, for those who relied on it.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "retract", own=("reason",))
    def retract(
        session: Session, record_id: RecordId, reason: Reason, etag: Etag = None, idempotency_key: Key = None
    ) -> None:
        """Withdraw your own report: its content is no longer released, and subscribers are told."""
        why = session.justification
        with session.connect() as entente:
            answer = entente.reports.retract(
                record_id,
                etag=etag or latest_etag(entente, record_id, why),
                reason=reason,
                idempotency_key=idempotency_key,
                justification=why,
            )
        show_written(session, "Retracted", answer)
