"""`entente appoint|dismiss`, `entente restore`, `entente issuer`: proposals of changes, for another to approve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente.directory.v1 import enrolment_pb2
from entente_sdk.cli.agency.proposals import Key, show_proposed
from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, print_table, say, say_receipt, with_receipt
from entente_sdk.errors import ConfigurationError

Agency = Annotated[str, typer.Argument(metavar="TRUST_DOMAIN/AGENCY", help="Such as police.example/northshire.")]
User = Annotated[str, typer.Argument(metavar="USER", help="As the agency's issuer names them (`sub`).")]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="auditor, inspector or registrar.")]
Revocation = Annotated[str, typer.Argument(metavar="REVOCATION", help="As `entente revocations` lists it.")]
Url = Annotated[str, typer.Argument(metavar="ISSUER", help="The exact `iss` of its tokens.")]
Uri = Annotated[str | None, typer.Option(help="Where it publishes its keys: an https URL.")]
Jwks = Annotated[Path | None, typer.Option(help="A file with its keys, where the broker cannot fetch them.")]


def register(parent: typer.Typer) -> None:
    """Add the commands."""

    @command(parent, "appoint")
    def appoint(session: Session, agency: Agency, user: User, role: Role, idempotency_key: Key = None) -> None:
        """Propose that a person gets a role which counts by appointment alone."""
        change = enrolment_pb2.RegistryChange(appoint=_appointment(agency, user, role))
        show_proposed(session, change, None, idempotency_key)

    @command(parent, "dismiss")
    def dismiss(session: Session, agency: Agency, user: User, role: Role, idempotency_key: Key = None) -> None:
        """Propose that an appointment ends. (At once: `entente revoke user`.)"""
        change = enrolment_pb2.RegistryChange(dismiss=_appointment(agency, user, role))
        show_proposed(session, change, None, idempotency_key)

    @command(parent, "restore")
    def restore(session: Session, revocation: Revocation, idempotency_key: Key = None) -> None:
        """Propose that a revocation is lifted: an agency unlocked, a person let in again."""
        change = enrolment_pb2.RegistryChange(restore=enrolment_pb2.Restoration(revocation_id=revocation))
        show_proposed(session, change, None, idempotency_key)

    app = typer.Typer(no_args_is_help=True, help="Issuers of tokens: register another, or other keys; test one live.")
    parent.add_typer(app, name="issuer")

    @command(app, "register")
    def register_(
        session: Session,
        agency: Agency,
        issuer: Url,
        jwks_uri: Uri = None,
        jwks: Jwks = None,
        idempotency_key: Key = None,
    ) -> None:
        """Propose another issuer of an agency, or other keys of one."""
        change = enrolment_pb2.RegistryChange(register_issuer=registration(agency, issuer, jwks_uri, jwks))
        show_proposed(session, change, None, idempotency_key)

    @command(app, "test")
    def test(session: Session, agency: Agency, issuer: Url, jwks_uri: Uri = None, jwks: Jwks = None) -> None:
        """Have the broker fetch an issuer's keys now, and read them as strictly as for a token."""
        asked = registration(agency, issuer, jwks_uri, jwks)
        with session.connect() as entente:
            answer = entente.enrolment.test_issuer(asked, justification=session.justification)

        def table() -> None:
            found = answer.message
            keys = ", ".join(found.key_ids) or "none"
            print_table((), [("usable", "yes" if found.usable else ("no", "bold red")), ("keys", keys)])
            if found.problem:
                say(found.problem, "yellow")
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)
        if not answer.message.usable:
            raise typer.Exit(5)


def registration(agency: str, issuer: str, jwks_uri: str | None, jwks: Path | None) -> enrolment_pb2.IssuerRegistration:
    """An issuer with its keys or their place. Raises ConfigurationError."""
    if (jwks_uri is None) == (jwks is None):
        raise ConfigurationError("give either --jwks-uri or --jwks", reason="USAGE")
    made = enrolment_pb2.IssuerRegistration(agency=agency, url=issuer)
    if jwks_uri is not None:
        made.jwks_uri = jwks_uri
    elif jwks is not None:
        try:
            made.jwks = jwks.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{jwks} cannot be read: {error}") from error
    return made


def _appointment(agency: str, user: str, role: str) -> enrolment_pb2.Appointment:
    return enrolment_pb2.Appointment(person=enrolment_pb2.Person(agency=agency, user=user), role=role)
