"""`entente revoke certificate|user|token|issuer|agency` and `entente revocations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente.directory.v1 import revocation_service_pb2 as wire
from entente_sdk import targets
from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, as_document, print_table, say, say_receipt, with_receipt
from entente_sdk.cli.values import value_text

Reason = Annotated[str, typer.Option("--reason", help="In words, for those who will ask.")]
Key = Annotated[str | None, typer.Option(help="A UUID: the same key with the same target is the same call.")]
Certificate = Annotated[str, typer.Argument(metavar="FILE|SHA256", help="A file in PEM, or its SHA-256.")]
Agency = Annotated[str, typer.Argument(metavar="TRUST_DOMAIN/AGENCY", help="Such as police.example/northshire.")]
User = Annotated[str, typer.Argument(metavar="USER", help="As the agency's issuer names them (`sub`).")]
Issuer = Annotated[str, typer.Argument(metavar="ISSUER", help="The exact `iss` of its tokens.")]
TokenId = Annotated[str, typer.Argument(metavar="JTI", help="The token's `jti`; the audit log has it.")]


def register(parent: typer.Typer) -> None:
    """Add the group, and the list beside it."""
    app = typer.Typer(
        no_args_is_help=True, help="Revoke at once, and everywhere. Lifting it takes two registrars: a proposal."
    )
    parent.add_typer(app, name="revoke")

    @command(app, "certificate", own=("reason",))
    def certificate(session: Session, certificate: Certificate, reason: Reason, idempotency_key: Key = None) -> None:
        """Revoke a certificate: one whose key was lost, or an authority's with all below it."""
        path = Path(certificate)
        given = path.read_bytes() if path.is_file() else certificate
        _revoke(session, targets.certificate(given), reason, idempotency_key)

    @command(app, "user", own=("reason",))
    def user(session: Session, agency: Agency, user: User, reason: Reason, idempotency_key: Key = None) -> None:
        """Revoke a person's rights on the network, whatever token names them."""
        _revoke(session, targets.user(agency, user), reason, idempotency_key)

    @command(app, "token", own=("reason",))
    def token(session: Session, issuer: Issuer, token_id: TokenId, reason: Reason, idempotency_key: Key = None) -> None:
        """Revoke one token; the person's next one counts again."""
        _revoke(session, targets.token(issuer, token_id), reason, idempotency_key)

    @command(app, "issuer", own=("reason",))
    def issuer(session: Session, issuer: Issuer, reason: Reason, idempotency_key: Key = None) -> None:
        """Revoke an issuer, and with it every token that it made."""
        _revoke(session, targets.issuer(issuer), reason, idempotency_key)

    @command(app, "agency", own=("reason",))
    def agency(session: Session, agency: Agency, reason: Reason, idempotency_key: Key = None) -> None:
        """Lock a whole agency: nothing of it is served until two registrars lift it."""
        _revoke(session, targets.agency(agency), reason, idempotency_key)

    @command(parent, "revocations")
    def revocations(session: Session) -> None:
        """List what is revoked now, newest first."""
        with session.connect() as entente:
            found = list(entente.revocations.list(justification=session.justification))

        def table() -> None:
            print_table(("id", "what", "since", "by", "why"), [_line(one) for one in found])

        session.show([as_document(one) for one in found], table)


def _revoke(session: Session, target: wire.RevocationTarget, reason: str, key: str | None) -> None:
    with session.connect() as entente:
        answer = entente.revocations.revoke(
            target, reason=reason, idempotency_key=key, justification=session.justification
        )

    def table() -> None:
        made = answer.message.revocation
        say(f"Revoked: {_what(made.target)}")
        print_table((), [("revocation", made.revocation_id), ("since", value_text(made.revoke_time))])
        say_receipt(answer.receipt)

    session.show(with_receipt(answer), table)


def _line(one: wire.Revocation) -> tuple[str, ...]:
    by = f"{one.revoker.user} of {one.revoker.agency}"
    return (one.revocation_id, _what(one.target), value_text(one.revoke_time), by, one.reason)


def _what(target: wire.RevocationTarget) -> str:
    kind = target.WhichOneof("target") or "nothing"
    if kind == "user":
        return f"user {target.user.user} of {target.user.agency}"
    if kind == "token":
        return f"token {target.token.token_id} of {target.token.issuer}"
    return f"{kind} {getattr(target, kind, '')}"
