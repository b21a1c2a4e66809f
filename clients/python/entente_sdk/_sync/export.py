# Generated from `_async/` by scripts/unasync_sdk.py: do not edit.
"""Everything that fits a search, as the caller may see it, page by page into a file.

It asks what a search asks, through the same method: an export sees no more than a search does, and each of its pages
is an exchange on the ledger.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from entente_sdk import _runtime_sync
from entente_sdk._sync.calls import Calls
from entente_sdk._methods import SEARCH
from entente_sdk.export import Exported, ExportFile
from entente_sdk.justification import Justification
from entente_sdk.queries import ReportQuery


def export_reports(
    calls: Calls,
    path: Path,
    query: ReportQuery | None,
    *,
    page_size: int | None,
    resume: bool,
    justification: Justification | None,
) -> Exported:
    """See `export` of the reports."""
    first = (query or ReportQuery()).to_request()
    if page_size is not None:
        first.page_size = page_size
    why = calls.justification(justification).to_message()
    file = _runtime_sync.blocking(lambda: ExportFile.open(path, resume=resume))
    try:
        file.require_same_query(first)
        while (request := file.progress.next(first)) is not None:
            request.justification.CopyFrom(why)
            answer = calls.unary(SEARCH, request)
            _runtime_sync.blocking(partial(file.add, answer.request, answer.raw))
        return _runtime_sync.blocking(file.finish)
    finally:
        file.close()
