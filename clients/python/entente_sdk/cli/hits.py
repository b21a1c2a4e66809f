"""`entente hits`: who looked for what one's own agency holds silently, once or as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from entente.common.v1 import exchange_pb2
from entente.report.v1 import hit_service_pb2 as wire
from entente_sdk._sync.client import Entente
from entente_sdk.cli.command import command
from entente_sdk.cli.session import Session, as_document, print_table, receipt_document, say
from entente_sdk.cli.times import moment
from entente_sdk.cli.values import value_text, words

# Looks that another worker of the broker served come later than their time: so far back is asked again.
OVERLAP = timedelta(minutes=2)

Record = Annotated[str | None, typer.Option(metavar="ID", help="Only on this report.")]
Since = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="Looked at or after; UTC if bare.")]
All = Annotated[bool, typer.Option("--all", help="All pages, not only the first.")]
Watch = Annotated[bool, typer.Option("--watch", help="Print new ones as they come; Ctrl-C stops.")]
Every = Annotated[float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="With --watch: how often to ask.")]
Count = Annotated[int | None, typer.Option(min=1, help="With --watch: stop after so many.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "hits")
    def hits(
        session: Session,
        record: Record = None,
        since: Since = None,
        all_pages: All = False,
        watch: Watch = False,
        every: Every = 5.0,
        count: Count = None,
    ) -> None:
        """Show who looked for reports that your agency shares silently: they were told that there is nothing."""
        with session.connect() as entente:
            if watch:
                _watch(session, entente, record, since or datetime.now(UTC), every, count)
            else:
                _list(session, entente, record, since, all_pages=all_pages)


def _list(session: Session, entente: Entente, record: str | None, since: datetime | None, *, all_pages: bool) -> None:
    found = entente.hits.list(record_id=record, since=since, justification=session.justification)
    pages = list(found.pages()) if all_pages else [found.first()]
    hits = [hit for page in pages for hit in page.message.hits]
    more = bool(pages[-1].message.next_page_token)

    def table() -> None:
        _print(hits)
        say(f"{len(hits)} found{'; there are more: --all' if more else ''}. Receipts verified: {len(pages)}.", "dim")

    document = {
        "hits": [as_document(hit) for hit in hits],
        "more": more,
        "receipts": [receipt_document(page.receipt) for page in pages],
    }
    session.show(document, table)


def _watch(
    session: Session, entente: Entente, record: str | None, since: datetime, every: float, count: int | None
) -> None:
    """New hits, oldest first, each once."""
    shown: dict[str, datetime] = {}
    newest, left = since, count
    while True:
        start = max(since, newest - OVERLAP)
        asked = entente.hits.list(record_id=record, since=start, justification=session.justification)
        for hit in reversed([hit for hit in asked if hit.exchange_id not in shown]):
            session.show_next(as_document(hit), partial(_print, [hit], headings=False))
            shown[hit.exchange_id] = looked = hit.look_time.ToDatetime(UTC)
            newest = max(newest, looked)
            left = None if left is None else left - 1
            if left == 0:
                return
        shown = {exchange: looked for exchange, looked in shown.items() if looked >= start}
        time.sleep(every)


def _print(hits: Iterable[wire.Hit], *, headings: bool = True) -> None:
    names = ("looked", "agency", "purpose", "reports", "exchange to quote", "contact")
    print_table(names if headings else (), [_line(hit) for hit in hits])


def _line(hit: wire.Hit) -> tuple[str, ...]:
    return (
        value_text(hit.look_time),
        hit.agency,
        words(exchange_pb2.Purpose.DESCRIPTOR, hit.purpose),
        "\n".join(hit.record_ids),
        hit.exchange_id,
        hit.contact,
    )
