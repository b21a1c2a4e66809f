"""Everything that fits a search, as the caller may see it, page by page into a file.

It asks what a search asks, through the same method: an export sees no more than a search does, and each of its pages
is an exchange on the ledger.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from entente_sdk import _runtime_async
from entente_sdk._async.calls import AsyncCalls
from entente_sdk._methods import SEARCH
from entente_sdk.export import Exported, ExportFile
from entente_sdk.justification import Justification
from entente_sdk.queries import ReportQuery


async def export_reports(
    calls: AsyncCalls,
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
    file = await _runtime_async.blocking(lambda: ExportFile.open(path, resume=resume))
    try:
        file.require_same_query(first)
        while (request := file.progress.next(first)) is not None:
            request.justification.CopyFrom(why)
            answer = await calls.unary(SEARCH, request)
            await _runtime_async.blocking(partial(file.add, answer.request, answer.raw))
        return await _runtime_async.blocking(file.finish)
    finally:
        file.close()
