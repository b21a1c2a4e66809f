"""`entente report`: submit, preview, get, search, export, amend, retract, versions, watch: a module each."""

from __future__ import annotations

from importlib import import_module

import typer

MODULES = ("submit", "preview", "get", "search", "export", "amend", "retract", "versions", "watch")


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="Share, read and follow intelligence reports.")
    parent.add_typer(app, name="report")
    for name in MODULES:
        import_module(f"{__name__}.{name}").register(app)
