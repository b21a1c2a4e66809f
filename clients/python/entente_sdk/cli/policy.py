"""`entente policy show|propose`, and what the broker's packages bring for authors: `check`, `test`, `build`, `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente.directory.v1 import enrolment_pb2
from entente.policy.v1 import policy_service_pb2 as wire
from entente_sdk.cli import extensions
from entente_sdk.cli.agency.proposals import Key, show_proposed
from entente_sdk.cli.command import NO_ANSWER, command
from entente_sdk.cli.files import read_bundle, write
from entente_sdk.cli.session import STYLES, Session, print_table, say_receipt, with_receipt
from entente_sdk.cli.values import value_text, words

GROUP = "entente.commands.policy"
AUTHORING = {
    "check": "Check a folder of policies: names, literals, the portable subset, and OPA's own checks.",
    "test": "Run a folder's tests and cases, on the embedded engine and on OPA.",
    "build": "Make a signed bundle of a folder of policies.",
    "diff": "Tell in words what another policy would open or close.",
}

Bundle = Annotated[Path, typer.Argument(metavar="bundle.tar.gz", help="As `entente policy build` made it.")]
Note = Annotated[str, typer.Option(help="What it changes, and why: for the second registrar, and for the record.")]
Revision = Annotated[str | None, typer.Option(help="Of one that was in force; absent: the one in force.")]
Output = Annotated[Path | None, typer.Option("--bundle", help="Write the bundle into this file too.")]


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    app = typer.Typer(no_args_is_help=True, help="The policy: show, propose, and for authors check, test, build, diff.")
    parent.add_typer(app, name="policy")

    @command(app, "show")
    def show(session: Session, revision: Revision = None, bundle: Output = None) -> None:
        """Show the policy in force, or one that was: its revision, since when, by whom, and how its engine does."""
        with session.connect() as entente:
            answer = entente.policy.get(
                revision=revision, with_bundle=bundle is not None, justification=session.justification
            )
        found = answer.message.policy
        if bundle is not None:
            write(bundle, found.bundle)
            answer.message.policy.ClearField("bundle")

        def table() -> None:
            print_table((), _lines(found))
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)
        if found.health == wire.ENGINE_HEALTH_UNAVAILABLE:
            raise typer.Exit(NO_ANSWER)

    @command(app, "propose")
    def propose(session: Session, bundle: Bundle, note: Note, idempotency_key: Key = None) -> None:
        """Propose another policy. Approved by another registrar, it is in force for everybody within a second."""
        adoption = enrolment_pb2.PolicyAdoption(bundle=read_bundle(bundle), note=note)
        show_proposed(session, enrolment_pb2.RegistryChange(adopt_policy=adoption), None, idempotency_key)

    extensions.add_group(app, GROUP, AUTHORING, prefix="policy ")


def _lines(found: wire.Policy) -> list[tuple[str, str | tuple[str, str]]]:
    lines: list[tuple[str, str | tuple[str, str]]] = [
        ("revision", found.revision),
        ("epoch", str(found.epoch)),
        ("since", value_text(found.since)),
        ("in force", "yes" if found.in_force else "no"),
        ("origin", words(wire.PolicyOrigin.DESCRIPTOR, found.origin)),
    ]
    for label, person in (("proposed by", found.proposer), ("approved by", found.approver)):
        if person.user:
            lines.append((label, f"{person.user} of {person.agency}"))
    lines += [(label, text) for label, text in (("proposal", found.proposal_id), ("note", found.note)) if text]
    if found.in_force:
        health = words(wire.EngineHealth.DESCRIPTOR, found.health)
        styled = health if found.health == wire.ENGINE_HEALTH_READY else (health, STYLES["withheld"])
        lines += [("engine", found.engine), ("it is", styled)]
    return lines
