"""`entente receipt verify`: check kept evidence, or an export, again, offline."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated

import typer

from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, print_table, say
from entente_sdk.errors import ConfigurationError, ReceiptError
from entente_sdk.export import is_export, verify_export
from entente_tlog.errors import ReceiptError as TlogReceiptError
from entente_tlog.errors import TlogError
from entente_tlog.receipt import LogKey, VerifiedReceipt, verify_receipt

File = Annotated[Path, typer.Argument(metavar="FILE", help="What `report get --evidence` or `report export` wrote.")]
Key = Annotated[str | None, typer.Option("--key", metavar="VKEY", help="The log's public key. Default: the profile's.")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="Receipts: the proof that an answer is on the ledger.")
    parent.add_typer(app, name="receipt")

    # With a callback, a group of one command stays a group.
    @app.callback()
    def group() -> None:
        pass

    @command(app, "verify")
    def verify(session: Session, file: File, key: Key = None) -> None:
        """Verify a kept request and response, or all pages of an export, against the log's public key, offline."""
        keys = (key,) if key else session.settings.values["log_key"].value
        if file.is_file() and is_export(file):
            _show_export(session, file, keys or ())
            return
        verified = verify_evidence(file, keys or ())
        entry = {
            "exchange_id": str(verified.leaf.get("exchange_id", "")),
            "method": str(verified.leaf.get("method", "")),
            "time": str(verified.leaf.get("time_utc", "")),
            "index": verified.index,
            "origin": verified.origin,
            "size": verified.size,
        }

        def table() -> None:
            print_table((), [(name, str(value)) for name, value in entry.items()])
            say("Verified: this very answer to this very request is on the ledger.", "green")

        session.show(entry, table)


def _show_export(session: Session, file: Path, keys: tuple[str, ...]) -> None:
    held = verify_export(file, trusted_keys(keys))

    def table() -> None:
        say(f"Verified: {held.reports} reports from {held.pages} pages, each page on the ledger.", "green")

    session.show({"file": str(file), "reports": held.reports, "pages": held.pages}, table)


def trusted_keys(keys: tuple[str, ...]) -> list[LogKey]:
    """Raises ConfigurationError where there is none, or one that cannot be used."""
    if not keys:
        raise ConfigurationError("give the log's public key: --key, or log_key in the profile", reason="USAGE")
    try:
        return [LogKey.parse(text) for text in keys]
    except (ValueError, TlogError) as error:
        raise ConfigurationError(f"the key cannot be used: {error}", reason="USAGE") from error


def verify_evidence(file: Path, keys: tuple[str, ...]) -> VerifiedReceipt:
    """Raises ReceiptError, or ConfigurationError for a file or key that cannot be used."""
    trusted = trusted_keys(keys)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        request, response = (base64.b64decode(content[name], validate=True) for name in ("request", "response"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"the evidence cannot be used: {error}", reason="USAGE") from error
    try:
        return verify_receipt(request=request, response=response, keys=trusted)
    except TlogReceiptError as error:
        raise ReceiptError(f"RECEIPT_{error.reason.upper()}", f"the receipt does not hold: {error.message}") from error
