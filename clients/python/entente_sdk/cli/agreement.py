"""`entente agreement draft|check|sign|propose|list|show|withdraw|bases`: from a draft to what ends streams."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from entente.directory.v1 import agreement_pb2, enrolment_pb2
from entente_agreement import AgreementError, SignedDocument, contradictions
from entente_agreement.signing import Signer, missing
from entente_sdk.agreements.drafting import invalid, read, template
from entente_sdk.agreements.reading import lines, signatures
from entente_sdk.agreements.words import known_words, legal_bases
from entente_sdk.cli.agency.proposals import Key, show_proposal
from entente_sdk.cli.command import command
from entente_sdk.cli.files import write
from entente_sdk.cli.session import Session, as_document, print_table, say, say_receipt, with_receipt
from entente_sdk.cli.values import value_text, words
from entente_sdk.cli.whatif import show_change
from entente_sdk.errors import ConfigurationError
from entente_sdk.profile import Profile

File = Annotated[Path, typer.Argument(metavar="FILE", help="A draft (.yaml), or what was signed so far (.json).")]
New = Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The draft; it must not exist yet.")]
Party = Annotated[list[str], typer.Option("--party", help="An agency, as trust-domain/agency; once for each.")]
Id = Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its id.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Where to write it. Default: ID.json beside a draft, else FILE.")
]
Save = Annotated[Path | None, typer.Option("--save", help="Write what its parties signed to this file.")]
Reason = Annotated[str, typer.Option("--reason", help="In words, for the other parties.")]

WRONG = 5


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="Agreements: draft, check and sign here; propose, see and end there.")
    parent.add_typer(app, name="agreement")

    @command(app, "draft")
    def draft(_session: Session, file: New, party: Party = []) -> None:  # noqa: B006 - typer's way of "none"
        """Write a draft to be filled in, with all that may be said in its comments."""
        if file.exists():
            raise ConfigurationError(f"{file} exists already; it is never overwritten", reason="AGREEMENT_INVALID")
        write(file, template(file.stem.lower(), party))
        say(f"Wrote {file}. Fill it in, then: entente agreement check {file}")

    @command(app, "check")
    def check(session: Session, file: File) -> None:
        """Say in words what an agreement says, what contradicts itself in it, and who has signed it."""
        signed = read(file)
        wrong = contradictions(signed.document, known_words(signed.document))
        who, broken = _who(session, signed)

        def table() -> None:
            print_table((), [*lines(signed.document), *((f"  {party}", how) for party, how in who)])
            for one in (*wrong, *broken):
                say(str(one), "bold red")

        document = {
            **signed.document.members(),
            "signatures": dict(who),
            "wrong": [str(one) for one in (*wrong, *broken)],
        }
        session.show(document, table)
        if wrong or broken:
            raise typer.Exit(WRONG)

    @command(app, "sign")
    def sign(session: Session, file: File, out: Out = None) -> None:
        """Sign an agreement with the key of this profile's certificate. Read it with `check` before."""
        signed = read(file)
        if wrong := contradictions(signed.document, known_words(signed.document)):
            raise invalid(file, wrong[0])
        try:
            made = _signer(session.settings.profile()).sign(signed, int(time.time()))
        except AgreementError as error:
            raise invalid(file, error) from None
        target = out or (file.with_suffix(".json") if not signed.signatures and file.suffix != ".json" else file)
        write(target, made.text())
        say(f"Signed. Wrote {target}.")
        still = missing(made)
        say(f"Still to sign: {', '.join(still)}." if still else "All parties have signed: send it to the registrars.")

    @command(app, "propose")
    def propose(session: Session, file: File, idempotency_key: Key = None) -> None:
        """As a registrar, propose that what all parties have signed comes into force."""
        signed = read(file).text()
        concluded = enrolment_pb2.AgreementConclusion(document=signed)
        show_change(session, enrolment_pb2.RegistryChange(conclude_agreement=concluded))
        with session.connect() as entente:
            answer = entente.agreements.propose(
                signed, idempotency_key=idempotency_key, justification=session.justification
            )
        show_proposal(session, answer)
        if session.output == "table":
            say("Nothing of it is in force. Another registrar reads it and approves it within 14 days:")
            say(f"    entente agreement proposal {answer.message.proposal.proposal_id}")
            say(f"    entente agency approve {answer.message.proposal.proposal_id}")

    @command(app, "proposal")
    def proposal(session: Session, proposal: Annotated[str, typer.Argument(metavar="PROPOSAL")]) -> None:
        """As a registrar, read the agreement that a proposal would bring into force."""
        with session.connect() as entente:
            answer = entente.enrolment.get_proposal(proposal, justification=session.justification)
        change = answer.message.proposal.change
        if not change.HasField("conclude_agreement"):
            raise ConfigurationError("this proposal is about no agreement: `entente agency proposal`", reason="USAGE")
        try:
            signed = SignedDocument.parse(change.conclude_agreement.document)
        except AgreementError as error:
            raise ConfigurationError(f"what is proposed: {error}", reason="AGREEMENT_INVALID") from None
        who, broken = _who(session, signed)

        def table() -> None:
            print_table((), [*lines(signed.document), *((f"  {party}", how) for party, how in who)])
            for one in broken:
                say(str(one), "bold red")
            say_receipt(answer.receipt)

        session.show({**signed.document.members(), "signatures": dict(who)}, table)

    @command(app, "list")
    def list_(session: Session) -> None:
        """List the agreements of your agency; as a registrar, all."""
        with session.connect() as entente:
            found = list(entente.agreements.list(justification=session.justification))

        def table() -> None:
            print_table(("id", "state", "until", "parties", "title"), [_line(one) for one in found])

        session.show([as_document(one) for one in found], table)

    @command(app, "show")
    def show(session: Session, agreement: Id, save: Save = None) -> None:
        """Show an agreement of your agency: all that it says, and whether it is in force."""
        with session.connect() as entente:
            answer = entente.agreements.get(agreement, justification=session.justification)
        one = answer.message.agreement
        if save is not None:
            write(save, one.document)

        def table() -> None:
            print_table((), [*lines(SignedDocument.parse(one.document).document), *_standing(one)])
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)

    @command(app, "withdraw", own=("reason",))
    def withdraw(session: Session, agreement: Id, reason: Reason, idempotency_key: Key = None) -> None:
        """End an agreement now, for all of its parties. It does not come back: another one is signed anew."""
        with session.connect() as entente:
            answer = entente.agreements.withdraw(
                agreement, reason=reason, idempotency_key=idempotency_key, justification=session.justification
            )

        def table() -> None:
            print_table((), [("agreement", agreement), *_standing(answer.message.agreement)])
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)

    @command(app, "bases")
    def bases(session: Session) -> None:
        """List the register of legal bases: the codes that agreements name and requests state.

        A request that states another text is taken as stating none.
        """
        register_ = legal_bases()
        if not register_:
            raise ConfigurationError("no policies are installed here; ask the network's registrars for the register")

        def table() -> None:
            rows = [(code, one["country"] or "any", one["text"]) for code, one in sorted(register_.items())]
            print_table(("code", "country", "what it is"), rows)

        session.show(register_, table)


def _who(session: Session, signed: SignedDocument) -> tuple[list[tuple[str, str]], list[AgreementError]]:
    """Who has signed, and what is wrong with it; certificates are held against the profile's authority."""
    ca = session.settings.values["ca"].value
    try:
        return signatures(signed, Path(ca).read_bytes() if ca else b""), []
    except OSError as error:
        raise ConfigurationError(f"ca {ca} cannot be read: {error.strerror}") from error
    except AgreementError as error:
        return [], [error]


def _signer(profile: Profile) -> Signer:
    if profile.certificate is None or profile.key is None:
        raise ConfigurationError("set certificate and key in the profile: an agency signs with its own")
    try:
        return Signer.load(profile.certificate.read_bytes(), profile.key.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from error


def _line(one: agreement_pb2.AgreementOnFile) -> tuple[str, ...]:
    said = one.agreement
    return (said.agreement_id, _state(one), value_text(said.valid_until), "\n".join(said.parties), said.title)


def _standing(one: agreement_pb2.AgreementOnFile) -> list[tuple[str, str]]:
    found = [("state", _state(one))]
    if one.HasField("withdrawer"):
        by = f"{one.withdrawer.user} of {one.withdrawer.agency}, {value_text(one.withdraw_time)}"
        found += [("withdrawn by", by), ("because", one.withdraw_reason)]
    return found


def _state(one: agreement_pb2.AgreementOnFile) -> str:
    return words(agreement_pb2.AgreementState.DESCRIPTOR, one.state)
