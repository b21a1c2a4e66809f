"""`entente whatif`: what another policy or agreement would open or close, to whom, before anybody approves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.directory.v1 import enrolment_pb2
from entente.policy.v1 import simulation_service_pb2 as wire
from entente_sdk._sync.client import Entente
from entente_sdk.answers import Answer
from entente_sdk.cli.command import command
from entente_sdk.cli.files import agreement_text, read_bundle
from entente_sdk.cli.session import Session, print_table, say, say_receipt, with_receipt
from entente_sdk.cli.values import enum_name, words
from entente_sdk.errors import ConfigurationError, EntenteError

Policy = Annotated[Path | None, typer.Option(metavar="BUNDLE", help="Policies, as `entente policy build` makes them.")]
Agreement = Annotated[Path | None, typer.Option(metavar="FILE", help="An agreement: a draft, or signed.")]
Withdraw = Annotated[str | None, typer.Option(metavar="AGREEMENT", help="The end of an agreement, by its id.")]
Of = Annotated[str | None, typer.Option("--proposal", metavar="ID", help="What a proposal would change.")]
Days = Annotated[int | None, typer.Option(min=1, max=366, help="Replay the decisions of so many days. Default: 30.")]
Ids = Annotated[bool, typer.Option("--ids", help="Name some of the records.")]

# A simulation takes seconds where there is much to replay.
SECONDS = 60.0
SIMULATED = ("conclude_agreement", "adopt_policy")
LOST, GAINED = "red", "green"


def register(parent: typer.Typer) -> None:
    """Add the command."""

    @command(parent, "whatif")
    def whatif(
        session: Session,
        policy: Policy = None,
        agreement: Agreement = None,
        withdraw: Withdraw = None,
        proposal: Of = None,
        days: Days = None,
        ids: Ids = False,
    ) -> None:
        """Simulate a change: which agency would gain or lose what, on how many records. Nothing is changed."""
        if sum(one is not None for one in (policy, agreement, withdraw, proposal)) != 1:
            raise ConfigurationError("give one of --policy, --agreement, --withdraw and --proposal", reason="USAGE")
        with session.connect() as entente:
            if proposal is not None:
                found = entente.enrolment.get_proposal(proposal, justification=session.justification)
                answer = _simulate(session, entente, found.message.proposal.change, days)
            elif policy is not None:
                adopted = enrolment_pb2.PolicyAdoption(bundle=read_bundle(policy), note="simulated")
                answer = _simulate(session, entente, enrolment_pb2.RegistryChange(adopt_policy=adopted), days)
            else:
                draft = None if agreement is None else agreement_text(agreement)
                answer = entente.policy.simulate(
                    draft_agreement=draft,
                    withdraw_agreement=withdraw,
                    days=days,
                    justification=session.justification,
                    seconds=SECONDS,
                )
        show_simulation(session, answer, ids=ids)


def show_change(session: Session, change: enrolment_pb2.RegistryChange) -> bool:
    """What a change would do, for whoever is about to propose or approve it; whether there was anything to show.

    A change of another kind alters nothing that is released. What cannot be simulated is said, and keeps nobody from
    going on.
    """
    if change.WhichOneof("change") not in SIMULATED or session.output != "table":
        return False
    try:
        with session.connect() as entente:
            made = _simulate(session, entente, change, None).message.simulation
    except EntenteError as error:
        say(f"What it would change could not be simulated: {error.message}", "yellow")
        return True
    say("What it would change (`entente whatif` shows all of it):", "bold")
    for text, style in sentences(made):
        say(f"  {text}", style)
    say(f"  Digest: {made.digest}", "dim")
    return True


def _simulate(
    session: Session, entente: Entente, change: enrolment_pb2.RegistryChange, days: int | None
) -> Answer[wire.SimulateChangeResponse]:
    return entente.policy.simulate(change, days=days, justification=session.justification, seconds=SECONDS)


def show_simulation(session: Session, answer: Answer[wire.SimulateChangeResponse], *, ids: bool) -> None:
    """A simulation and its receipt."""
    made = answer.message.simulation

    def table() -> None:
        for text, style in sentences(made):
            say(text, style)
        if made.shifts:
            headings = ("agency", "for", "what", "now", "then", "records", *(("some of them",) * ids))
            print_table(headings, [_line(group, ids=ids) for group in alike(made.shifts)])
        if made.calls:
            print_table(("calls", "agency", "for", "roles", "then", "rule", "on record"), [*map(_call, made.calls)])
        say(f"Digest: {made.digest}", "dim")
        say_receipt(answer.receipt)

    session.show(with_receipt(answer), table)


def sentences(made: wire.Simulation) -> Iterator[tuple[str, str]]:
    """The simulation in short, line by line, each with its style."""
    if made.present_revision != made.candidate_revision:
        yield f"Policies {made.present_revision[:16]} -> {made.candidate_revision[:16]}", "bold"
    yield (
        f"{made.replayed} distinct decisions of {made.exchanges} exchanges replayed, {made.supposed} readers supposed, "
        f"{made.records} records looked at.",
        "",
    )
    if made.not_reproduced:
        yield (
            f"{made.not_reproduced} decisions on record are answered otherwise by the policy in force: stop, and tell "
            "the broker's operator.",
            "bold red",
        )
    if made.shortened:
        yield "There was more than one simulation looks at: what is missing here may change too.", "yellow"
    if not (made.shifts or made.calls):
        yield "Nobody would gain or lose anything.", "bold"
    gained, lost = (sorted({one.agency for one in made.shifts if (one.then > one.now) == up}) for up in (True, False))
    if gained:
        yield f"Would see more: {', '.join(gained)}", GAINED
    if lost:
        yield f"Would see less: {', '.join(lost)}", LOST
    refused = sum(one.calls for one in made.calls if not one.allowed_then)
    allowed = sum(one.calls for one in made.calls if one.allowed_then)
    if refused or allowed:
        yield f"Of the calls on record {refused} would be refused, and {allowed} allowed that were refused.", ""


def alike(shifts: Iterable[wire.AudienceShift]) -> list[list[wire.AudienceShift]]:
    """Shifts together that differ in their class alone: the record itself before its fields."""
    found: dict[bytes, list[wire.AudienceShift]] = {}
    for one in shifts:
        rest = wire.AudienceShift()
        rest.CopyFrom(one)
        rest.ClearField("field_class")
        found.setdefault(rest.SerializeToString(deterministic=True), []).append(one)
    return list(found.values())


def _line(group: list[wire.AudienceShift], *, ids: bool) -> list[str | tuple[str, str]]:
    one, form, names = group[0], wire.ReleaseForm.DESCRIPTOR, access_pb2.FieldClass.DESCRIPTOR
    what = ", ".join(words(names, each.field_class) if each.field_class else "the record" for each in group)
    then = (words(form, one.then), GAINED if one.then > one.now else LOST)
    agency = f"{one.agency} (supposed)" if one.supposed else one.agency
    line: list[str | tuple[str, str]] = [agency, _purpose(one.purpose), what, words(form, one.now), then]
    return [*line, str(one.records), *([", ".join(one.record_ids)] * ids)]


def _call(one: wire.CallShift) -> list[str | tuple[str, str]]:
    then = ("allowed", GAINED) if one.allowed_then else ("refused", LOST)
    method = one.method.rpartition("/")[2]
    return [method, one.agency, _purpose(one.purpose), ", ".join(one.roles), then, one.rule, str(one.calls)]


def _purpose(number: exchange_pb2.Purpose.ValueType) -> str:
    return enum_name(exchange_pb2.Purpose.DESCRIPTOR, number)
