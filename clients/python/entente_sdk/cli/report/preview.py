"""`entente report preview`: who would see what of a report, before it is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from entente.access.v1 import access_pb2
from entente.common.v1 import exchange_pb2
from entente.report.v1 import audience_service_pb2 as wire
from entente.report.v1 import report_pb2
from entente_sdk.answers import Answer
from entente_sdk.cli.command import command
from entente_sdk.cli.files import agreement_text
from entente_sdk.cli.report.submit import read
from entente_sdk.cli.session import Session, as_document, receipt_document, say, say_receipt
from entente_sdk.cli.values import enum_name, form_text, words
from entente_sdk.errors import ConfigurationError

File = Annotated[Path | None, typer.Argument(metavar="[FILE|-]", help="A draft, in YAML or JSON; - reads stdin.")]
Record = Annotated[str | None, typer.Option("--record", metavar="ID", help="A report of your own agency instead.")]
Agencies = Annotated[list[str] | None, typer.Option("--agency", help="Only this agency; repeat for several.")]
Purposes = Annotated[list[str] | None, typer.Option("--asked-for", metavar="PURPOSE", help="Only for this purpose.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="Of the readers. Default: officer.")]
Clearance = Annotated[str | None, typer.Option(help="Of the readers. Default: cleared for the report.")]
Authorised = Annotated[bool, typer.Option("--authorised", help="The readers name who authorised them.")]
Case = Annotated[bool, typer.Option("--case-stated", help="The readers state a case.")]
Draft = Annotated[Path | None, typer.Option(metavar="FILE", help="As if this agreement of yours were in force.")]
Basis = Annotated[str | None, typer.Option("--legal-basis", metavar="CODE", help="That the readers state.")]

STYLES = {
    wire.AUDIENCE_LEVEL_FULL: "green",
    wire.AUDIENCE_LEVEL_REDACTED: "cyan",
    wire.AUDIENCE_LEVEL_POINTER: "yellow",
    wire.AUDIENCE_LEVEL_SILENT: "yellow",
    wire.AUDIENCE_LEVEL_NONE: "red",
}
MEANS = {
    wire.AUDIENCE_LEVEL_FULL: "every field",
    wire.AUDIENCE_LEVEL_REDACTED: "some fields withheld, or in another form",
    wire.AUDIENCE_LEVEL_POINTER: "only that you hold something, and whom to ask",
    wire.AUDIENCE_LEVEL_SILENT: "nothing, and you are told that they looked",
    wire.AUDIENCE_LEVEL_NONE: "nothing",
}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "preview")
    def preview(
        session: Session,
        file: File = None,
        record: Record = None,
        agency: Agencies = None,
        asked_for: Purposes = None,
        role: Roles = None,
        clearance: Clearance = None,
        authorised: Authorised = False,
        case_stated: Case = False,
        legal_basis: Basis = None,
        agreement: Draft = None,
    ) -> None:
        """Show who would see what of a draft, by agency and purpose. Nothing is stored."""
        if (file is None) == (record is None):
            raise ConfigurationError("give either a FILE (or -), or --record ID", reason="USAGE")
        reader = wire.ReaderFacts(
            roles=role or (),
            clearance=clearance,
            authorised=authorised or None,
            case_stated=case_stated or None,
            legal_basis=legal_basis,
        )
        subject: report_pb2.Report | str = read(file) if file is not None else str(record)
        with session.connect() as entente:
            pages = list(
                entente.audience.preview(
                    subject,
                    agencies=agency or (),
                    purposes=_known(asked_for or ()),
                    reader=reader,
                    draft_agreement=None if agreement is None else agreement_text(agreement),
                    justification=session.justification,
                ).pages()
            )
        show_views(session, pages)


def show_views(session: Session, pages: list[Answer[wire.PreviewAudienceResponse]]) -> None:
    """The views of all pages: those who see the same together."""
    views = joined(view for page in pages for view in page.message.views)

    def table() -> None:
        for view in views:
            for text, style in sentences(view):
                say(text, style)
        say_receipt(pages[-1].receipt)

    receipts = [receipt_document(page.receipt) for page in pages]
    session.show({"views": [as_document(view) for view in views], "receipts": receipts}, table)


def joined(views: Iterable[wire.AudienceView]) -> list[wire.AudienceView]:
    """Views of several pages that say the same are one."""
    found: dict[bytes, wire.AudienceView] = {}
    for view in views:
        said = wire.AudienceView()
        said.CopyFrom(view)
        said.ClearField("onlookers")
        one = found.setdefault(said.SerializeToString(deterministic=True), said)
        one.onlookers.extend(view.onlookers)
    return sorted(found.values(), key=lambda view: (view.level, len(view.withheld)))


def sentences(view: wire.AudienceView) -> Iterator[tuple[str, str]]:
    """A view, line by line, each with its style. Not yet escaped."""
    level = words(wire.AudienceLevel.DESCRIPTOR, view.level)
    yield f"{level}: {MEANS.get(view.level, 'unknown to this version')}", f"bold {STYLES.get(view.level, '')}".strip()
    purposes: dict[str, list[str]] = {}
    for one in view.onlookers:
        name = enum_name(exchange_pb2.Purpose.DESCRIPTOR, one.purpose)
        purposes.setdefault(one.agency, []).append(name)
    for agency, names in purposes.items():
        yield f"  {agency}: {', '.join(names)}", ""
    if view.rule:
        yield f"    by the rule {view.rule} ({_kind(view.reason)})", "dim"
    for hidden in view.hidden:
        why = f"{hidden.rule}, {_kind(hidden.reason)}" if hidden.rule else "an end of it is hidden"
        yield f"    hidden: {hidden.field}[{hidden.key}] ({why})", "yellow"
    for (rule, portions), classes in _by_rule(view.withheld).items():
        yield f"    withheld by {rule}{_in(portions)}: {', '.join(classes)}", "yellow"
    forms: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for generalised in view.generalised:
        form = form_text(generalised.generalisation)
        forms.setdefault((form, generalised.rule, tuple(generalised.portions)), []).append(generalised.path)
    for (form, rule, portions), paths in forms.items():
        yield f"    in another form ({form}; {rule}){_in(portions)}: {', '.join(paths)}", "cyan"


def _by_rule(withheld: Iterable[exchange_pb2.WithheldField]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """(rule, portions) -> classes: a class has several fields, and which they are the schema says."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for one in withheld:
        name = words(access_pb2.FieldClass.DESCRIPTOR, one.field_class)
        found.setdefault((one.rule, tuple(one.portions)), {})[name] = None
    return {key: list(names) for key, names in found.items()}


def _kind(reason: exchange_pb2.WithheldReason.ValueType) -> str:
    return words(exchange_pb2.WithheldReason.DESCRIPTOR, reason)


def _in(portions: tuple[str, ...]) -> str:
    return f" in {', '.join(portions)}" if portions else ""


def _known(purposes: Iterable[str]) -> list[str]:
    """Raises ConfigurationError for a purpose that there is not."""
    names = [one.upper() for one in purposes]
    wrong = [one for one in names if f"PURPOSE_{one}" not in exchange_pb2.Purpose.keys()]  # noqa: SIM118 - no mapping
    if wrong:
        known = ", ".join(name.removeprefix("PURPOSE_") for name, number in exchange_pb2.Purpose.items() if number)
        raise ConfigurationError(f"no purpose {wrong[0]!r}; there are {known}", reason="USAGE")
    return names
