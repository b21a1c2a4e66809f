"""Verifying an export, offline: with the log's public keys alone.

MUST accept only pages that are on the ledger, in an unbroken chain from the first to the last, of one query, and
exactly the reports that they hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from entente.report.v1 import report_service_pb2 as wire
from entente_sdk._methods import SEARCH
from entente_sdk.errors import ReceiptError
from entente_sdk.export.file import Exported
from entente_sdk.export.page import FORMAT, Page, continues, document, evidence, lines, query_of
from entente_tlog import errors as tlog
from entente_tlog.receipt import LogKey, verify_receipt


def is_export(path: Path) -> bool:
    """Whether a file begins like an export. Raises OSError."""
    with path.open("rb") as file:
        return file.read(10) == b'{"export":'


def verify_export(path: Path, keys: Iterable[LogKey]) -> Exported:
    """Check every page against the log's keys, and every report against its page, offline.

    Raises ReceiptError: a page is not on the ledger, or the file is not what the pages say.
    """
    trusted, pages, reports = tuple(keys), 0, 0
    pending: list[Any] = []
    last: Page | None = None
    first: wire.SearchReportsRequest | None = None
    try:
        with path.open("rb") as file:
            for number, (_, line) in enumerate(lines(file)):
                if number == 0:
                    _require(line == {"export": FORMAT}, "it does not begin as an export")
                elif "report" in line:
                    pending.append(line["report"])
                else:
                    page = _verified(line, trusted)
                    first = first or query_of(page.request)
                    _require(_follows(last, page, first), f"page {line['page']} does not follow the one before it")
                    _require(pending == [document(one) for one in page.answer.reports], "reports differ from a page")
                    last, pages, reports, pending = page, pages + 1, reports + len(pending), []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReceiptError("EXPORT_MALFORMED", f"{path} is not a whole export: {error}") from error
    _require(last is not None and not last.answer.next_page_token and not pending, "pages are missing at the end")
    return Exported(path, reports, pages)


def _verified(line: dict[str, Any], keys: tuple[LogKey, ...]) -> Page:
    request, response = evidence(line)
    try:
        leaf = verify_receipt(request=request, response=response, keys=keys).leaf
    except tlog.ReceiptError as error:
        raise ReceiptError(f"RECEIPT_{error.reason.upper()}", f"page {line['page']}: {error.message}") from error
    _require(leaf.get("method") == SEARCH.path and leaf.get("status") == "OK", "an entry of another exchange")
    return Page.of(request, response)


def _follows(last: Page | None, page: Page, first: wire.SearchReportsRequest) -> bool:
    """A page follows one whose token it carries; or it begins a round, of what has changed since."""
    token = "" if last is None else last.answer.next_page_token
    return page.request.page_token == token and continues(first, query_of(page.request))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ReceiptError("EXPORT_MALFORMED", f"the file does not hold: {what}")
