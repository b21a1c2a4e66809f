"""`entente rule [NAME]`: what a rule of policy says, and what to do about it.

The texts are those of the policies installed here; a broker may run others, whose authors explain them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, print_table
from entente_sdk.errors import ConfigurationError
from entente_sdk.rules import rules

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="As named beside a withheld field. Default: all.")]


def register(parent: typer.Typer) -> None:
    """Add the command."""

    @command(parent, "rule")
    def rule(session: Session, name: Name = None) -> None:
        """Say a rule of policy in words."""
        known = rules()
        if name is not None and name not in known:
            raise ConfigurationError(f"no rule {name!r} in the policies installed here; `entente rule` lists them")
        chosen = {name: known[name]} if name is not None else known

        def table() -> None:
            lines = [(each, text["text"], text["remedy"]) for each, text in sorted(chosen.items())]
            print_table(("rule", "says", "what to do"), lines)

        session.show(chosen, table)
