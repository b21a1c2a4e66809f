"""`entente whoami`: who the broker takes the caller for, what the caller may do, and what ends soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import typer

from entente.common.v1 import exchange_pb2
from entente.directory.v1 import directory_service_pb2 as wire
from entente_sdk._material import read_material
from entente_sdk.cli.command import command
from entente_sdk.cli.session import STYLES, Session, print_table, say, say_receipt, with_receipt
from entente_sdk.cli.values import enum_name, value_text
from entente_sdk.expiry import span, warning_days
from entente_sdk.profile import Profile

# Beyond it the broker refuses tokens of an issuer whose clock is ahead.
CLOCK_TOLERANCE_SECONDS = 5.0
APPOINTMENT = "ask the broker's registrars for an appointment; a role in the token alone is not enough"


@dataclass(frozen=True, slots=True)
class Clocks:
    """This machine's clock when the answer came, and how far it is ahead of the broker's; None: not told."""

    now: float
    ahead: float | None


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "whoami")
    def whoami(session: Session) -> None:
        """Show who the broker takes you for, what you may do, and what ends soon."""
        profile = session.settings.profile()
        with session.connect() as entente:
            answer = entente.directory.who_am_i()
        me, clocks = answer.message, _clocks(answer.message)
        warnings = list(_warnings(profile, me, clocks))

        def table() -> None:
            print_table((), _who(me, clocks))
            lines = _capabilities(me)
            if lines:
                print_table(("may call", "", "for"), lines)
            for warning in warnings:
                say(f"Warning: {warning}", "yellow")
            say_receipt(answer.receipt)

        client = {"clock_ahead_seconds": clocks.ahead, "warnings": warnings}
        session.show({**with_receipt(answer), "client": client}, table)


def _clocks(me: wire.WhoAmIResponse) -> Clocks:
    now = time.time()
    return Clocks(now, round(now - me.broker_time.ToNanoseconds() / 1e9, 3) if me.HasField("broker_time") else None)


def _who(me: wire.WhoAmIResponse, clocks: Clocks) -> list[tuple[str, str | tuple[str, str]]]:
    lines: list[tuple[str, str | tuple[str, str]]] = [
        ("agency", me.agency),
        ("workload", me.workload or "-"),
        ("user", me.user or "-"),
        ("roles", ", ".join(me.roles) or "none"),
        ("clearance", me.clearance or "none"),
        ("purposes", _purposes(me.purposes)),
        ("compartments", ", ".join(me.compartments) or "none"),
        ("partners", ", ".join(me.partners) or "none"),
    ]
    if me.unappointed_roles:
        lines.insert(4, ("do not count", (f"{', '.join(me.unappointed_roles)}: {APPOINTMENT}", STYLES["withheld"])))
    if me.HasField("certificate_expire_time"):
        left = me.certificate_expire_time.ToSeconds() - (clocks.now - (clocks.ahead or 0.0))
        lines.append(("certificate until", f"{value_text(me.certificate_expire_time)} ({span(left)})"))
    if me.HasField("expire_time"):
        left = me.expire_time.ToSeconds() - (clocks.now - (clocks.ahead or 0.0))
        lines.append(("valid until", f"{value_text(me.expire_time)} ({span(left)})"))
    if clocks.ahead is not None:
        side = "ahead of" if clocks.ahead > 0 else "behind"
        lines.append(("clock", f"{abs(clocks.ahead):.1f} s {side} the broker's"))
    return lines


def _capabilities(me: wire.WhoAmIResponse) -> list[tuple[str, str | tuple[str, str], str]]:
    return [
        (may.method.rpartition("/")[2], "yes", _purposes(may.purposes))
        if may.allowed
        else (may.method.rpartition("/")[2], ("no", STYLES["withheld"]), f"refused by {may.rule or '-'}")
        for may in me.capabilities
    ]


def _warnings(profile: Profile, me: wire.WhoAmIResponse, clocks: Clocks) -> Iterator[str]:
    if me.HasField("certificate_expire_time") and profile.certificate is not None:
        material = read_material(profile)
        left = me.certificate_expire_time.ToSeconds() - (clocks.now - (clocks.ahead or 0.0))
        days = warning_days(left, material.not_after - material.not_before)
        if days is not None:
            renew = "renew_command has not renewed it yet" if profile.renew_command else "renew it"
            yield f"the certificate ends within {days} day{'s' if days > 1 else ''} (in {span(left)}): {renew}"
    for role in me.unappointed_roles:
        yield f"the role {role} of your token does not count here: {APPOINTMENT}"
    if clocks.ahead is not None and abs(clocks.ahead) > CLOCK_TOLERANCE_SECONDS:
        side = "ahead of" if clocks.ahead > 0 else "behind"
        yield f"this machine's clock is {span(clocks.ahead)} {side} the broker's: set it by NTP"


def _purposes(numbers: object) -> str:
    found = [enum_name(exchange_pb2.Purpose.DESCRIPTOR, int(number)) for number in numbers]  # type: ignore[attr-defined]
    return ", ".join(found) or "none"
