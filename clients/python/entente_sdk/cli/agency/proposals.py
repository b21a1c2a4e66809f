"""`entente agency propose|proposals|proposal|request|approve|reject`: one registrar proposes, another approves."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from entente.directory.v1 import directory_pb2, enrolment_pb2
from entente_sdk.agreements.reading import agreement_id
from entente_sdk.answers import Answer
from entente_sdk.cli.command import command
from entente_sdk.cli.session import STYLES, Session, as_document, print_table, say, say_receipt, with_receipt
from entente_sdk.cli.values import value_text, words
from entente_sdk.cli.whatif import show_change
from entente_sdk.errors import ConfigurationError
from entente_sdk.joining.answers import read_request
from entente_sdk.joining.fingerprint import grouped, typed

Request = Annotated[Path, typer.Argument(metavar="join-request.json", help="What the agency sent.")]
Fingerprint = Annotated[str, typer.Option(help="Of its key, as the agency read it back to YOU; spaces do no harm.")]
Heard = Annotated[str | None, typer.Option("--fingerprint", help="Of an agency's key, as it read it back to YOU.")]
Id = Annotated[str, typer.Argument(metavar="PROPOSAL", help="32 hexadecimal digits.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask once more.")]
Key = Annotated[str | None, typer.Option(help="A UUID: the same key with the same request is the same call.")]


class State(StrEnum):
    """Where a proposal stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "lapsed"


Only = Annotated[State | None, typer.Option("--state", help="Only those.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, "check")
    def check(session: Session, request: Request) -> None:
        """Show what an agency asks for, and have the broker test its issuer. Its key is for the agency to read out."""
        asked = read_request(request)
        with session.connect() as entente:
            answer = entente.enrolment.test_issuer(asked.issuer, justification=session.justification)
        found = answer.message

        def table() -> None:
            usable = "its keys can be used" if found.usable else (found.problem, STYLES["withheld"])
            print_table((), [("what", f"enrol agency {asked.agency.name}"), *_enrolment(asked), ("tested", usable)])
            say_receipt(answer.receipt)

        session.show({"agency": as_document(asked.agency), **with_receipt(answer)}, table)
        if not found.usable:
            raise typer.Exit(5)

    @command(app, "propose")
    def propose(session: Session, request: Request, fingerprint: Fingerprint, idempotency_key: Key = None) -> None:
        """Propose an agency's enrolment, once it has read its key's fingerprint back to you."""
        change = enrolment_pb2.RegistryChange(enrol_agency=read_request(request))
        show_proposed(session, change, typed(fingerprint), idempotency_key)

    @command(app, "proposals")
    def proposals(session: Session, state: Only = None) -> None:
        """List proposals, newest first."""
        wanted = None if state is None else enrolment_pb2.ProposalState.Value(f"PROPOSAL_STATE_{state.name}")
        with session.connect() as entente:
            found = list(entente.enrolment.list_proposals(state=wanted, justification=session.justification))

        def table() -> None:
            print_table(("id", "state", "what", "proposed by", "on"), [_line(one) for one in found])

        session.show([as_document(one) for one in found], table)

    @command(app, "proposal")
    def proposal(session: Session, proposal: Id) -> None:
        """Show one proposal, all of it."""
        with session.connect() as entente:
            show_proposal(session, entente.enrolment.get_proposal(proposal, justification=session.justification))

    @command(app, "request")
    def request_(session: Session, proposal: Id) -> None:
        """Print the certificate request of a proposal: sign what was approved, not what came by mail."""
        with session.connect() as entente:
            answer = entente.enrolment.get_proposal(proposal, justification=session.justification)
        one = answer.message.proposal
        if one.state != enrolment_pb2.PROPOSAL_STATE_APPROVED or not one.change.HasField("enrol_agency"):
            raise ConfigurationError("only an approved enrolment has a request to be signed", reason="STEP_MISSING")
        sys.stdout.write(one.change.enrol_agency.certificate_request)

    @command(app, "approve")
    def approve(
        session: Session, proposal: Id, heard: Heard = None, idempotency_key: Key = None, yes: Yes = False
    ) -> None:
        """Approve what somebody else proposed: it is in force. Of policies and agreements you are shown what they
        change."""
        if session.output == "table":
            with session.connect() as entente:
                found = entente.enrolment.get_proposal(proposal, justification=session.justification)
            change = found.message.proposal.change
            if show_change(session, change) and not yes and sys.stdin.isatty():
                typer.confirm(f"Approve: {what(change)}?", abort=True)
        with session.connect() as entente:
            answer = entente.enrolment.approve(
                proposal,
                key_fingerprint=typed(heard) if heard else None,
                idempotency_key=idempotency_key,
                justification=session.justification,
            )
        show_proposal(session, answer)

    @command(app, "reject")
    def reject(session: Session, proposal: Id, idempotency_key: Key = None) -> None:
        """Reject a proposal, your own too."""
        with session.connect() as entente:
            answer = entente.enrolment.reject(
                proposal, idempotency_key=idempotency_key, justification=session.justification
            )
        show_proposal(session, answer)


def show_proposed(
    session: Session, change: enrolment_pb2.RegistryChange, fingerprint: str | None, key: str | None
) -> None:
    """Propose a change, once it was shown what it would do, and say what comes next."""
    show_change(session, change)
    with session.connect() as entente:
        answer = entente.enrolment.propose(
            change, key_fingerprint=fingerprint, idempotency_key=key, justification=session.justification
        )
    show_proposal(session, answer)
    if session.output == "table":
        say("Nothing of it is in force. Another registrar approves it within 14 days:")
        say(
            f"    entente agency approve {answer.message.proposal.proposal_id}"
            + (" --fingerprint ..." * bool(fingerprint))
        )


def show_proposal(session: Session, answer: Answer[Any]) -> None:
    """A proposal and its receipt."""
    one: enrolment_pb2.Proposal = answer.message.proposal

    def table() -> None:
        lines = [("proposal", one.proposal_id), ("what", what(one.change)), ("state", _state(one))]
        lines.append(("proposed by", _who(one.proposer, value_text(one.propose_time))))
        if one.HasField("decide_time"):
            lines.append((f"{_state(one)} by", _who(one.decider, value_text(one.decide_time))))
        if one.change.HasField("enrol_agency"):
            lines += _enrolment(one.change.enrol_agency)
        if one.key_fingerprint:
            lines.append(("key", "\n".join(grouped(one.key_fingerprint))))
        if one.HasField("certificate"):
            lines.append(("certificate until", value_text(one.certificate.expire_time)))
        print_table((), lines)
        say_receipt(answer.receipt)

    session.show(with_receipt(answer), table)


def _enrolment(asked: enrolment_pb2.AgencyEnrolment) -> list[tuple[str, str]]:
    agency, issuer = asked.agency, asked.issuer
    level = words(directory_pb2.AgencyLevel.DESCRIPTOR, agency.level)
    return [
        ("called", agency.display_name),
        ("country, level", f"{agency.country}, {level}"),
        ("contact", agency.contact),
        ("issuer", issuer.url),
        ("its keys", issuer.jwks_uri or "in the request"),
    ]


def what(change: enrolment_pb2.RegistryChange) -> str:
    """A change in a line."""
    match change.WhichOneof("change"):
        case "enrol_agency":
            return f"enrol agency {change.enrol_agency.agency.name}"
        case "register_issuer":
            return f"issuer {change.register_issuer.url} of {change.register_issuer.agency}"
        case "appoint":
            return f"appoint {_appointment(change.appoint)}"
        case "dismiss":
            return f"dismiss {_appointment(change.dismiss)}"
        case "restore":
            return f"lift revocation {change.restore.revocation_id}"
        case "conclude_agreement":
            return f"conclude agreement {agreement_id(change.conclude_agreement.document)}"
        case "adopt_policy":
            return f"adopt another policy: {change.adopt_policy.note}"
    return "something that this version does not know"


def _line(one: enrolment_pb2.Proposal) -> tuple[str, ...]:
    return (one.proposal_id, _state(one), what(one.change), one.proposer.user, value_text(one.propose_time))


def _state(one: enrolment_pb2.Proposal) -> str:
    return words(enrolment_pb2.ProposalState.DESCRIPTOR, one.state)


def _appointment(one: enrolment_pb2.Appointment) -> str:
    return f"{one.person.user} of {one.person.agency} as {one.role}"


def _who(person: enrolment_pb2.Person, when: str) -> str:
    return f"{person.user} of {person.agency}, {when}"
