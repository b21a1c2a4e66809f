"""`entente demo`: five parties exchange reports, each sees its own fields, and an auditor proves who saw what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entente_sdk.cli.command import expected_errors

Keep = Annotated[
    Path | None, typer.Option("--keep", metavar="DIR", help="Leave everything in DIR, a new folder, to go on by hand.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("demo")
    def demo(keep: Keep = None) -> None:
        """Show it: five parties, one broker, one table of who sees what. Needs the broker extra, and no set-up."""
        with expected_errors():
            # The development authority and gRPC are loaded for this command alone.
            from entente_sdk.demo.play import play

            play(keep)
