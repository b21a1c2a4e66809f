"""A ledger's directory verified offline, as a document and as a table."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entente_sdk.cli.session import print_table, say
from entente_sdk.errors import ConfigurationError
from entente_tlog.errors import TlogError
from entente_tlog.note import Verifier
from entente_tlog.verify import VerificationReport, verify_directory


@dataclass(frozen=True, slots=True)
class LedgerResult:
    """What was found."""

    path: Path
    report: VerificationReport

    @property
    def ok(self) -> bool:
        """Every entry is the signed one."""
        return self.report.ok

    @property
    def document(self) -> dict[str, Any]:
        """For JSON and YAML."""
        report = self.report
        return {
            "ok": report.ok,
            "origin": report.origin,
            "size": report.size,
            "root": base64.b64encode(report.root).decode(),
            "entries_verified": report.entries_verified,
            "first_damaged": report.first_damaged,
            "problems": list(report.problems),
            "types": dict(sorted(report.types.items())),
            "indeterminate": list(report.indeterminate),
        }

    def print_table(self) -> None:
        """For people."""
        report = self.report
        lines = [
            ("ledger", report.origin or str(self.path)),
            ("entries", f"{report.entries_verified} of {report.size}"),
        ]
        lines += [(f"  {kind}", str(count)) for kind, count in sorted(report.types.items())]
        if report.indeterminate:
            lines.append(("without outcome", f"{len(report.indeterminate)}: to be treated as disclosed"))
        print_table((), lines)
        if report.ok:
            say("Verified: every entry hashes to the signed checkpoint.", "green")
            return
        for problem in report.problems:
            say(problem, "red")
        where = "" if report.first_damaged is None else f" The first damaged entry is {report.first_damaged}."
        say(f"NOT verified: the ledger was altered or is damaged.{where}", "bold red")


def verify_ledger(path: Path, keys: Sequence[str]) -> LedgerResult:
    """Verify with the key that bears the ledger's name. Raises ConfigurationError."""
    if not path.is_dir():
        raise ConfigurationError(f"{path} is not a ledger's directory", reason="USAGE")
    try:
        for key in keys:
            Verifier.parse(key)
    except (TlogError, ValueError) as error:
        raise ConfigurationError(f"not a log's public key (name+hash+base64): {error}", reason="USAGE") from error
    results = [LedgerResult(path, verify_directory(path, key)) for key in keys]
    return next((result for result in results if result.ok or result.report.size), results[0])
