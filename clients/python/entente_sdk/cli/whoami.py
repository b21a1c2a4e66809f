"""`entente whoami`: who the broker takes the caller for, and what the caller may do."""

from __future__ import annotations

import typer

from entente.common.v1 import exchange_pb2
from entente_sdk.cli.command import command
from entente_sdk.cli.session import STYLES, Session, print_table, say_receipt, with_receipt
from entente_sdk.cli.values import enum_name, value_text


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "whoami")
    def whoami(session: Session) -> None:
        """Show who the broker takes you for, and what you may do."""
        with session.connect() as entente:
            answer = entente.directory.who_am_i()
        me = answer.message

        def table() -> None:
            print_table(
                (),
                [
                    ("agency", me.agency),
                    ("workload", me.workload or "-"),
                    ("user", me.user or "-"),
                    ("roles", ", ".join(me.roles) or "none"),
                    ("clearance", me.clearance or "none"),
                    ("purposes", _purposes(me.purposes)),
                    ("compartments", ", ".join(me.compartments) or "none"),
                    ("partners", ", ".join(me.partners) or "none"),
                    ("valid until", value_text(me.expire_time) if me.HasField("expire_time") else "-"),
                ],
            )
            lines = [
                (may.method.rpartition("/")[2], "yes", _purposes(may.purposes))
                if may.allowed
                else (may.method.rpartition("/")[2], ("no", STYLES["withheld"]), f"refused by {may.rule or '-'}")
                for may in me.capabilities
            ]
            if lines:
                print_table(("may call", "", "for"), lines)
            say_receipt(answer.receipt)

        session.show(with_receipt(answer), table)


def _purposes(numbers: object) -> str:
    found = [enum_name(exchange_pb2.Purpose.DESCRIPTOR, int(number)) for number in numbers]  # type: ignore[attr-defined]
    return ", ".join(found) or "none"
