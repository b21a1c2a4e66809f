"""`entente doctor`: what works, what does not, why, and what to do. Ends with status 1 where something does not."""

from __future__ import annotations

from collections.abc import Iterable

import typer
from rich.text import Text

from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, console, say
from entente_sdk.cli.text import safe
from entente_sdk.doctor.finding import Finding, Verdict
from entente_sdk.errors import ConfigurationError

_STYLES: dict[Verdict, str] = {"OK": "green", "WARN": "yellow", "FAIL": "bold red", "SKIP": "dim"}
_STEP_WIDTH = 18


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "doctor", unconfigured=_unconfigured)
    def doctor(session: Session) -> None:
        """Look at configuration, network, TLS, clocks, token, policy and log key, one by one."""
        # Only here: it needs what most commands do not.
        from entente_sdk.doctor.examination import examine

        _report(session, examine(session.settings))


def _unconfigured(session: Session, error: ConfigurationError) -> None:
    from entente_sdk.doctor.examination import unreadable

    _report(session, unreadable(error))


def _report(session: Session, examination: Iterable[Finding]) -> None:
    """Each finding as soon as it is known, then the whole. Ends with status 1 where something failed."""
    findings: list[Finding] = []
    for finding in examination:
        findings.append(finding)
        if session.output == "table":
            _print(finding)
    broken = any(finding.verdict == "FAIL" for finding in findings)
    document = {"ok": not broken, "steps": [_document(finding) for finding in findings]}
    session.show(document, lambda: _conclude(findings))
    if broken:
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    out = console()
    line = Text(f"{finding.verdict:<5}", style=_STYLES[finding.verdict])
    line.append(f"{finding.step:<{_STEP_WIDTH}} ", style="bold")
    line.append(safe(finding.cause), style="dim" if finding.verdict == "SKIP" else "not bold")
    out.print(line, soft_wrap=True)
    if finding.fix:
        out.print(Text(f"{'':<{5 + _STEP_WIDTH}} What to do: {safe(finding.fix)}"), soft_wrap=True)


def _conclude(findings: list[Finding]) -> None:
    broken = [finding.step for finding in findings if finding.verdict == "FAIL"]
    warned = [finding.step for finding in findings if finding.verdict == "WARN"]
    if broken:
        say(f"Begin with the first of what fails: {broken[0]}.", "bold")
    else:
        say(f"It works; look at {', '.join(warned)}." if warned else "All is well.", "yellow" if warned else "green")


def _document(finding: Finding) -> dict[str, str]:
    return {"step": finding.step, "verdict": finding.verdict, "cause": finding.cause, "fix": finding.fix}
