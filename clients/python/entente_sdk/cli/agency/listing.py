"""`entente agency list|get`: who is on the network."""

from __future__ import annotations

from typing import Annotated

import typer

from entente.directory.v1 import directory_pb2
from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, as_document, print_table, say_receipt, with_receipt
from entente_sdk.cli.values import shown, words

Name = Annotated[str, typer.Argument(metavar="TRUST_DOMAIN/AGENCY", help="Such as police.example/northshire.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, "list")
    def list_(session: Session) -> None:
        """List all agencies, by name."""
        with session.connect() as entente:
            agencies = list(entente.directory.list_agencies(justification=session.justification))

        def table() -> None:
            print_table(("name", "called", "country", "level", "part of"), [_line(agency) for agency in agencies])

        session.show([as_document(agency) for agency in agencies], table)

    @command(app, "get")
    def get(session: Session, name: Name) -> None:
        """Show one agency, and whom to ask there."""
        with session.connect() as entente:
            answer = entente.directory.get_agency(name, justification=session.justification)

        def table() -> None:
            fields = answer.message.agency.ListFields()
            print_table((), [(field.name, shown(field, value)) for field, value in fields])
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)


def _line(agency: directory_pb2.Agency) -> tuple[str, ...]:
    level = words(directory_pb2.AgencyLevel.DESCRIPTOR, agency.level) if agency.HasField("level") else "-"
    return (agency.name, agency.display_name or "-", agency.country or "-", level, agency.parent or "-")
