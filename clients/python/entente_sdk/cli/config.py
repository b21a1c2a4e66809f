"""`entente config explain|path`: what is set, and where it came from. Asks no broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, print_table, say
from entente_sdk.settings import NOT_SET, Setting, config_path


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="The configuration, and where each value came from.")
    parent.add_typer(app, name="config")

    @command(app, "explain")
    def explain(session: Session) -> None:
        """Show each setting, its value and its origin."""
        settings = [session.settings.profile_name, *session.settings.values.values()]
        if session.reason:
            settings.append(Setting("reason", session.reason, "command line (--reason)"))
        document = {one.name: {"value": _plain(one.value), "from": one.origin} for one in settings}

        def table() -> None:
            lines = [(one.name, "-" if one.value is None else _text(one.value), one.origin) for one in settings]
            print_table(("setting", "value", "from"), lines)
            if session.settings.unknown_variables:
                say(f"Ignored, not known here: {', '.join(session.settings.unknown_variables)}", "yellow")
            missing = [
                one.name for one in settings if one.origin == NOT_SET and one.name in ("endpoint", "ca", "log_key")
            ]
            if missing:
                say(f"Not set, but needed: {', '.join(missing)}", "yellow")

        session.show(document, table)

    @app.command("path")
    def path() -> None:
        """Print where the configuration file is, or would be."""
        sys.stdout.write(f"{config_path()}\n")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
