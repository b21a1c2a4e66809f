"""`entente agency`: who is on the network, and how a new one comes to it."""

from __future__ import annotations

import typer

from entente_sdk.cli.agency import certificates, join, listing, proposals


def register(parent: typer.Typer) -> None:
    """Add the group."""
    app = typer.Typer(no_args_is_help=True, help="Who is on the network, and how a new agency comes to it.")
    parent.add_typer(app, name="agency")
    for module in (listing, join, proposals, certificates):
        module.register(app)
