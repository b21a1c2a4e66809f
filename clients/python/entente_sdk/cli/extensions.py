"""Commands that other packages bring, found by the entry point group `entente.commands`.

They are loaded when they are called, not when help is shown; what is missing then is said in words.
An entry point is a Typer application, or a function whose parameters Typer understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from rich.text import Text

from entente_sdk.cli.command import expected_errors
from entente_sdk.cli.session import console
from entente_sdk.cli.text import safe

GROUP = "entente.commands"
# Of the broker's part: named also where it is not installed, so that the answer is what to install.
BROKER_COMMANDS = {"serve": "Run a broker (needs the broker extra)."}
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    """Add every command found, and the broker's in any case."""
    add_group(app, GROUP, BROKER_COMMANDS)


def add_group(app: typer.Typer, group: str, ours: Mapping[str, str], prefix: str = "") -> None:
    """Add every command of a group of entry points, and ours (name -> help) in any case. `prefix`: the words before."""
    found = {point.name: point for point in entry_points(group=group)}
    for name in sorted(found.keys() | ours.keys()):
        point = found.get(name)
        _add(app, name, point, prefix, ours.get(name, f"Brought by {_origin(point)}."))


def _add(app: typer.Typer, name: str, point: EntryPoint | None, prefix: str, help_: str) -> None:
    @app.command(name, context_settings=dict(_PASS_ON), help=help_)
    def run(context: typer.Context) -> None:
        with expected_errors():
            application = _application(load(prefix + name, point))
            application(args=context.args, prog_name=f"entente {prefix}{name}", standalone_mode=True)


def load(name: str, point: EntryPoint | None) -> Any:
    """What the entry point names. Ends the command with status 2 and words where it cannot be loaded."""
    if point is None:
        raise _missing(name, "it is not installed")
    try:
        return point.load()
    except ImportError as error:
        raise _missing(name, str(error)) from None


def _application(loaded: Any) -> typer.Typer:
    if isinstance(loaded, typer.Typer):
        return loaded
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(loaded)
    return application


def _missing(name: str, cause: str) -> typer.Exit:
    words = f"`entente {name}` needs the broker's packages: pip install 'entente[broker]' ({cause})"
    console(stderr=True).print(Text(safe(words), style="bold red"), soft_wrap=True)
    return typer.Exit(2)


def _origin(point: EntryPoint | None) -> str:
    return point.dist.name if point is not None and point.dist is not None else "another package"
