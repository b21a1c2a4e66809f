"""`entente explain EXCHANGE`: what was decided, by which rules, and what may be done about it, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from entente.audit.v1 import explanation_service_pb2 as wire
from entente.common.v1 import exchange_pb2
from entente_sdk.advice import advice_for
from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, say, say_receipt, with_receipt
from entente_sdk.cli.values import enum_name, form_text, value_text, words

Exchange = Annotated[str, typer.Argument(metavar="EXCHANGE", help="As an error, a receipt or the audit log names it.")]

OUTCOMES = {
    "allowed": "It was allowed.",
    "denied": "It was refused.",
    "aborted": "The caller went away before it was answered.",
    "indeterminate": "It is not known how it ended: nobody saw the end of it.",
}
_NOTHING_TOLD = "A field is listed as withheld whether anything is in it or not; what was hidden whole is not listed."
_NO_TEXT = "The broker has not kept the text of that revision's rules."

Line = tuple[str, str]


def register(parent: typer.Typer) -> None:
    """Add the command."""

    @command(parent, "explain")
    def explain(session: Session, exchange: Exchange) -> None:
        """Say why an exchange of yours ended as it did; auditors ask about those in their scope."""
        with session.connect() as entente:
            answer = entente.explanations.explain(exchange, justification=session.justification)

        def table() -> None:
            for text, style in sentences(answer.message.explanation):
                say(text, style)
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)


def sentences(told: wire.Explanation) -> Iterator[Line]:
    """The explanation, line by line, each with its style. Not yet escaped."""
    who = f"{told.user} of {told.agency}" if told.user else told.agency or "The broker itself"
    purpose = f" for {enum_name(exchange_pb2.Purpose.DESCRIPTOR, told.purpose)}" if told.HasField("purpose") else ""
    yield f"{who} called {told.method}{purpose}, {value_text(told.time)}.", "bold"
    yield from _standing(told)
    yield from _outcome(told)
    rules = {one.rule: one for one in told.rules}
    for release in told.releases:
        yield "", ""
        yield from _release(release, rules)
    if told.releases:
        yield "", ""
        yield _NOTHING_TOLD, "dim"
    if told.shortened:
        yield "It has more entries than were read: what a long stream released later is not told here.", "yellow"


def _standing(told: wire.Explanation) -> Iterator[Line]:
    if told.counted_roles:
        yield f"Roles that counted: {', '.join(told.counted_roles)}.", ""
    elif told.stated_roles:
        yield f"Roles stated: {', '.join(told.stated_roles)}.", ""
    if told.agreement_ids:
        yield f"Agreements that were in force: {', '.join(told.agreement_ids)}.", ""
    if told.HasField("decided_under"):
        under = told.decided_under
        yield (
            f"Decided by policy {under.revision[:16]} ({under.engine}) on revision {under.directory_revision} of the "
            f"directory, decision {under.decision_id}.",
            "",
        )


def _outcome(told: wire.Explanation) -> Iterator[Line]:
    yield OUTCOMES.get(told.outcome, f"It ended as {told.outcome}."), "" if told.outcome == "allowed" else "yellow"
    if not told.reason:
        return
    if told.HasField("refused_by"):
        yield f"Refused as {told.reason}, by the rule {told.refused_by.rule}:", ""
        yield from _rule(told.refused_by)
    else:
        yield f"The reason was {told.reason}.", ""
        yield f"    What may be done: {advice_for(told.reason, 'ask the operator, and quote the exchange.')}", "dim"


def _release(release: wire.ReleaseTold, rules: dict[str, wire.RuleTold]) -> Iterator[Line]:
    count = f"{release.records} record{'s' * (release.records != 1)}"
    if release.level == exchange_pb2.DISCLOSURE_LEVEL_POINTER:
        yield f"{count}: only that the originator holds something. Ask it, and quote the record's id.", "bold"
        return
    level = words(exchange_pb2.DisclosureLevel.DESCRIPTOR, release.level)
    fields = f"{len(release.released)} field{'s' * (len(release.released) != 1)} released as they are"
    yield f"{count}, {level}: {fields}.", "bold"
    for one in release.coarser:
        form = form_text(one.form)
        yield f"  In another form ({form}){_some(one.in_some)}: {', '.join(one.paths)}", "cyan"
    for withheld in release.withheld:
        reason = words(exchange_pb2.WithheldReason.DESCRIPTOR, withheld.reason)
        rule = withheld.rule or "no rule named"
        yield f"  Withheld by {rule} ({reason}){_some(withheld.in_some)}: {', '.join(withheld.paths)}", "yellow"
        yield from _rule(rules.get(withheld.rule, wire.RuleTold()))


def _rule(rule: wire.RuleTold) -> Iterator[Line]:
    if not rule.HasField("text"):
        yield f"    {_NO_TEXT}", "dim"
        return
    yield f"    {rule.text}", "dim"
    yield f"    What may be done: {rule.remedy}", "dim"


def _some(in_some: bool) -> str:
    return " in some portions" if in_some else ""
