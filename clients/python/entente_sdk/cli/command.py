"""How a command is registered: the common options are added, and expected errors become words and an exit code.

| code | meaning |
|---|---|
| 0 | done |
| 2 | usage or configuration |
| 3 | identity: certificate, token or TLS handshake |
| 4 | denied, or not found |
| 5 | the request is wrong |
| 6 | no answer: unavailable, or a defect in the broker |
| 7 | receipt or ledger does not verify |
| 130 | interrupted |
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from entente_sdk.cli.session import Session, console
from entente_sdk.cli.text import safe
from entente_sdk.errors import (
    ConfigurationError,
    DecisionError,
    EntenteError,
    HandshakeError,
    IdentityError,
    ReceiptError,
    RequestError,
    UnavailableError,
)
from entente_sdk.profile import OUTPUTS
from entente_sdk.settings import CONFIG_VARIABLE, load_settings

NO_ANSWER = 6
EXIT_CODES: tuple[tuple[type[EntenteError], int], ...] = (
    (ConfigurationError, 2),
    (IdentityError, 3),
    (HandshakeError, 3),
    (DecisionError, 4),
    (RequestError, 5),
    (UnavailableError, NO_ANSWER),
    (ReceiptError, 7),
)
LEDGER_DAMAGED = 7
_PANEL = "Common options"

_OUTPUT = typer.Option("--output", "-o", metavar="|".join(OUTPUTS), help="Form of output.", rich_help_panel=_PANEL)
_PROFILE = typer.Option("--profile", metavar="NAME", help="Profile of the configuration.", rich_help_panel=_PANEL)
_PURPOSE = typer.Option("--purpose", metavar="PURPOSE", help="What for.", rich_help_panel=_PANEL)
_CASE = typer.Option("--case", metavar="REFERENCE", help="The case that it serves.", rich_help_panel=_PANEL)
_BASIS = typer.Option(
    "--basis",
    metavar="CODE",
    help="Its legal basis, as `entente agreement bases` lists them; any other text counts as none.",
    rich_help_panel=_PANEL,
)
_REASON = typer.Option("--reason", metavar="TEXT", help="Why, in your words; kept sealed.", rich_help_panel=_PANEL)
COMMON: dict[str, Any] = {
    "output": Annotated[str | None, _OUTPUT],
    "profile": Annotated[str | None, _PROFILE],
    "purpose": Annotated[str | None, _PURPOSE],
    "case": Annotated[str | None, _CASE],
    "basis": Annotated[str | None, _BASIS],
    "reason": Annotated[str | None, _REASON],
}
# Option -> (setting that it overrides, as it is written).
_OVERRIDES = {
    "output": ("output", "--output"),
    "purpose": ("purpose", "--purpose"),
    "case": ("case_reference", "--case"),
    "basis": ("legal_basis", "--basis"),
}


def command(
    app: typer.Typer,
    name: str,
    *,
    own: tuple[str, ...] = (),
    unconfigured: Callable[[Session, ConfigurationError], None] | None = None,
) -> Callable[[Callable[..., None]], None]:
    """Register `function(session, ...)`.

    Args:
        app: where.
        name: of the command.
        own: common options that the function has under a meaning of its own.
        unconfigured: called, with a session without settings, where the configuration cannot be read; without it the
            command ends there.
    """

    def register(function: Callable[..., None]) -> None:
        common = [option for option in COMMON if option not in own]

        def run(**given: Any) -> None:
            chosen = {option: given.pop(option) for option in common}
            with expected_errors():
                try:
                    session = _session(chosen)
                except ConfigurationError as error:
                    if unconfigured is None:
                        raise
                    unconfigured(_bare_session(chosen), error)
                else:
                    function(session, **given)

        signature = inspect.signature(function, eval_str=True)
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in list(signature.parameters.values())[1:]
        ]
        parameters += [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=COMMON[option])
            for option in common
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__doc__ = function.__doc__
        app.command(name)(run)

    return register


@contextmanager
def expected_errors() -> Iterator[None]:
    """An EntenteError is printed, with what to do, and ends the command with its exit code."""
    try:
        yield
    except EntenteError as error:
        explain(error)
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def exit_code(error: EntenteError) -> int:
    """Of the first class that fits."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def explain(error: EntenteError) -> None:
    """Message, reason, fields, exchange id and what to do, on stderr."""
    out = console(stderr=True)
    for number, line in enumerate(error.diagnostics().split("\n")):
        out.print(Text(safe(line), style="bold red" if number == 0 else ""), soft_wrap=True)


def _session(chosen: dict[str, str | None]) -> Session:
    overrides = {
        setting: (value, written)
        for option, (setting, written) in _OVERRIDES.items()
        if (value := chosen.get(option)) is not None
    }
    return Session(load_settings(chosen.get("profile"), overrides=overrides), chosen.get("reason"))


def _bare_session(chosen: dict[str, str | None]) -> Session:
    """With the form of output alone. Raises ConfigurationError where that is what is wrong."""
    output = chosen.get("output")
    overrides = {"output": (output, "--output")} if output is not None else {}
    return Session(load_settings(overrides=overrides, environ={CONFIG_VARIABLE: os.devnull}))
