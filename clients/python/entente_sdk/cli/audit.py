"""`entente audit who-saw|search|checkpoint|verify`: who saw what, and the proof that nothing was altered."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from entente.audit.v1 import audit_pb2
from entente_sdk.cli.command import LEDGER_DAMAGED, command
from entente_sdk.cli.ledger import verify_ledger
from entente_sdk.cli.session import (
    STYLES,
    Session,
    as_document,
    print_table,
    receipt_document,
    say,
    say_receipt,
    with_receipt,
)
from entente_sdk.cli.times import moment
from entente_sdk.cli.values import value_text
from entente_sdk.errors import ConfigurationError
from entente_sdk.queries import AuditQuery

Record = Annotated[str, typer.Argument(metavar="RECORD", help="The record's id.")]
Time = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="UTC if bare.")]
Text = Annotated[str | None, typer.Option()]
Reason = Annotated[str | None, typer.Option("--refusal", metavar="REASON", help="Refusals for this public reason.")]
ForPurpose = Annotated[str | None, typer.Option("--asked-for", metavar="PURPOSE", help="Exchanges for this purpose.")]
InCase = Annotated[str | None, typer.Option("--of-case", metavar="REFERENCE", help="Exchanges for this case.")]
All = Annotated[bool, typer.Option("--all", help="All pages, not only the first.")]
OfLog = Annotated[str | None, typer.Option("--log", metavar="ORIGIN", help="The log's name.")]
Ledger = Annotated[Path, typer.Argument(metavar="LEDGER_DIR", help="A ledger's directory, or a copy of it.")]
Key = Annotated[str | None, typer.Option("--key", metavar="VKEY", help="The log's public key. Default: the profile's.")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="Who saw what, with proof.")
    parent.add_typer(app, name="audit")
    _register_reading(app)
    _register_proofs(app)


def _register_reading(app: typer.Typer) -> None:
    @command(app, "who-saw")
    def who_saw(session: Session, record: Record) -> None:
        """Show every exchange that touched a record, oldest first."""
        with session.connect() as entente:
            entries = list(entente.audit.record_history(record, justification=session.justification))
        session.show([as_document(entry) for entry in entries], lambda: print_entries(entries))

    @command(app, "search")
    def search(
        session: Session,
        since: Time = None,
        until: Time = None,
        agency: Text = None,
        user: Text = None,
        method: Text = None,
        type_: Annotated[str | None, typer.Option("--type")] = None,
        outcome: Text = None,
        refusal: Reason = None,
        asked_for: ForPurpose = None,
        of_case: InCase = None,
        exchange: Text = None,
        record: Text = None,
        all_pages: All = False,
    ) -> None:
        """Find entries of the audit log, newest first. Reading it is itself on the log."""
        query = AuditQuery(
            since=since,
            until=until,
            agency=agency,
            user=user,
            method=method,
            type=type_,
            outcome=outcome,
            reason=refusal,
            purpose=asked_for,
            case_reference=of_case,
            exchange_id=exchange,
            record_id=record,
        )
        with session.connect() as entente:
            found = entente.audit.search(query, justification=session.justification)
            pages = list(found.pages()) if all_pages else [found.first()]
        entries = [entry for page in pages for entry in page.message.entries]
        more = bool(pages[-1].message.next_page_token)

        def table() -> None:
            print_entries(entries)
            covered = sum(one.size for one in pages[-1].message.log_sizes)
            say(f"{len(entries)} found in {covered} entries{'; there are more: --all' if more else ''}.", "dim")

        document = {
            "entries": [as_document(entry) for entry in entries],
            "more": more,
            "receipts": [receipt_document(page.receipt) for page in pages],
        }
        session.show(document, table)


def _register_proofs(app: typer.Typer) -> None:
    @command(app, "checkpoint")
    def checkpoint(session: Session, log: OfLog = None) -> None:
        """Print a log's latest signed checkpoint: of the worker that answers, unless one is named."""
        with session.connect() as entente:
            answer = entente.audit.checkpoint(log)

        def table() -> None:
            for line in answer.message.checkpoint.rstrip("\n").split("\n"):
                say(line)
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)

    @command(app, "verify")
    def verify(session: Session, ledger: Ledger, key: Key = None) -> None:
        """Rehash every entry of a ledger offline, and check it against the log's key. Ends with 7 if it is damaged."""
        keys = (key,) if key else session.settings.values["log_key"].value
        if not keys:
            raise ConfigurationError("give the log's public key: --key, or log_key in the profile", reason="USAGE")
        result = verify_ledger(ledger, keys)
        session.show(result.document, result.print_table)
        sys.stdout.flush()
        if not result.ok:
            raise typer.Exit(LEDGER_DAMAGED)


def print_entries(entries: list[audit_pb2.AuditEntry]) -> None:
    """Entries, a line each: when, who, what, how it ended, and what was released."""
    headings = ("entry", "time", "agency", "user", "method", "type", "outcome", "released", "withheld")
    # An index counts within its log: where there are several, each is named.
    several = len({entry.log for entry in entries}) > 1
    print_table(headings, [_line(entry, several) for entry in entries])


def _line(entry: audit_pb2.AuditEntry, several: bool) -> tuple[str | tuple[str, str], ...]:
    outcome = entry.outcome + (f" ({entry.reason})" if entry.reason else "")
    if entry.silent_hits:
        outcome += f", silent hit on {', '.join(entry.silent_hits)}"
    released = sorted({path for one in entry.disclosures for path in one.released})
    withheld = sorted({f"{item.path} ({item.rule})" for one in entry.disclosures for item in one.withheld})
    return (
        f"{entry.log} {entry.index}" if several else str(entry.index),
        value_text(entry.time) if entry.HasField("time") else "",
        entry.agency,
        entry.user,
        entry.method.rpartition("/")[2],
        entry.type,
        (outcome, STYLES["withheld"] if entry.outcome == "denied" else ""),
        f"{len(released)} fields" if released else "",
        (f"{len(withheld)} fields" if withheld else "", STYLES["withheld"]),
    )
