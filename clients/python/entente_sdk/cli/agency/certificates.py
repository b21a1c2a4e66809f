"""`entente agency file|certificates`: certificates on file, and when they end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente.directory.v1 import enrolment_pb2
from entente_sdk.cli.agency.proposals import Id, Key
from entente_sdk.cli.command import command
from entente_sdk.cli.session import STYLES, Session, as_document, print_table, say_receipt, with_receipt
from entente_sdk.cli.values import value_text
from entente_sdk.errors import ConfigurationError

Certificate = Annotated[Path, typer.Argument(metavar="CERTIFICATE.pem", help="With those above it, if there are any.")]
Within = Annotated[int | None, typer.Option(help="Only those that end within so many days.", min=0, max=366)]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, "file")
    def file(session: Session, proposal: Id, certificate: Certificate, idempotency_key: Key = None) -> None:
        """Put the certificate that was issued for an approved agency on file, before you hand it over."""
        try:
            pem = certificate.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{certificate} cannot be read as PEM: {error}") from error
        with session.connect() as entente:
            answer = entente.enrolment.file_certificate(
                proposal, pem, idempotency_key=idempotency_key, justification=session.justification
            )

        def table() -> None:
            one = answer.message.certificate
            print_table(
                (), [("on file", one.spiffe_id), ("until", value_text(one.expire_time)), ("sha256", one.thumbprint)]
            )
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)

    @command(app, "certificates")
    def certificates(session: Session, within_days: Within = None) -> None:
        """List the certificates that the broker knows of, those that end first before the others."""
        with session.connect() as entente:
            found = list(
                entente.enrolment.list_certificates(within_days=within_days, justification=session.justification)
            )

        def table() -> None:
            print_table(("ends", "within", "name", "agency", "sha256"), [_line(one) for one in found])

        session.show([as_document(one) for one in found], table)


def _line(one: enrolment_pb2.CertificateOnFile) -> tuple[str | tuple[str, str], ...]:
    within = (f"{one.days_left} days", STYLES["withheld"]) if one.days_left else "-"
    return (value_text(one.expire_time), within, one.spiffe_id, one.agency or "the broker's own", one.thumbprint)
