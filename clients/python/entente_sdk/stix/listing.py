"""The row-by-row list as a file: CSV for a spreadsheet, or JSON lines for a program.

MUST: no text of a bundle becomes a formula when a spreadsheet opens the CSV (OWASP, CSV injection); what is so guarded
starts with an apostrophe. JSON lines hold the exact strings.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from entente_sdk.errors import ConfigurationError
from entente_sdk.stix.rows import COLUMNS, Row

SUFFIXES = (".csv", ".jsonl")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def check_path(path: Path) -> None:
    """Raises ConfigurationError before anything is imported, rather than after."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--report writes {' or '.join(SUFFIXES)}, not {path.name!r}", reason="REPORT_FILE")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--report: there is no folder {path.parent}", reason="REPORT_FILE")


def write_rows(path: Path, listed: Iterable[tuple[str, Row]]) -> None:
    """Write (bundle, row) pairs in the form that the file's name asks for. Raises ConfigurationError."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows([guarded(cell) for cell in cells(name, row)] for name, row in listed)
            else:
                file.writelines(json.dumps(document(name, row), ensure_ascii=True) + "\n" for name, row in listed)
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(f"--report: {path} cannot be written: {error}", reason="REPORT_FILE") from error


def cells(name: str, row: Row) -> tuple[str, ...]:
    """A row in the order of COLUMNS."""
    return (name, row.stix_id, row.type, row.name, row.outcome.value, row.detail, row.record_id)


def document(name: str, row: Row) -> dict[str, str]:
    """A row as JSON."""
    return dict(zip(COLUMNS, cells(name, row), strict=True))


def guarded(cell: str) -> str:
    """The cell, as text and nothing else to a spreadsheet."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell
