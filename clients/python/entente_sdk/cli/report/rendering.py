"""What the report commands print: one report in full, lists of reports, and the answer to a write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from entente.common.v1 import exchange_pb2, record_pb2
from entente.report.v1 import report_pb2
from entente_sdk.answers import Answer
from entente_sdk.cli.disclosed import field_text, level, rows
from entente_sdk.cli.session import STYLES, Session, print_table, say, say_receipt, with_receipt
from entente_sdk.cli.values import value_text, words

RecordId = Annotated[str, typer.Argument(metavar="ID", help="The report's id: 32 hexadecimal digits.")]


def print_report(disclosed: report_pb2.DisclosedReport) -> None:
    """Field by field; what was withheld stands in its place."""
    print_table(("field", "value"), [(row.field, (row.text, STYLES[row.kind])) for row in rows(disclosed)])
    say(f"Disclosure: {level(disclosed)}")
    for one in disclosed.disclosure.terms:
        use = words(exchange_pb2.UseLimit.DESCRIPTOR, one.use)
        onward = words(exchange_pb2.OnwardSharing.DESCRIPTOR, one.onward)
        say(f"Under agreement {one.agreement_id}: use {use}, passing on {onward}")


def list_line(disclosed: report_pb2.DisclosedReport) -> tuple[str | tuple[str, str], ...]:
    """A report in one line: id, originator, version, time, title, disclosure."""
    title = field_text(disclosed, "title")
    style = STYLES["withheld"] if title.startswith(("withheld (", "pointer: ")) and not disclosed.report.title else ""
    if disclosed.HasField("pointer"):
        pointer = disclosed.pointer
        return (pointer.record_id, pointer.originator, "", "", (title, style), level(disclosed))
    header = disclosed.report.header
    if not title and header.state == record_pb2.RECORD_STATE_RETRACTED:
        title, style = "(retracted)", "dim"
    updated = value_text(header.update_time) if header.HasField("update_time") else ""
    version = str(header.version) if header.HasField("version") else ""
    return (header.record_id, header.originator, version, updated, (title, style), level(disclosed))


def print_list(found: Iterable[report_pb2.DisclosedReport]) -> None:
    """Reports, a line each."""
    headings = ("id", "originator", "version", "updated", "title", "disclosure")
    print_table(headings, [list_line(one) for one in found])


def show_written(session: Session, done: str, answer: Answer[Any]) -> None:
    """The answer to a write."""
    message = answer.message

    def table() -> None:
        say(f"{done}: {message.record_id}")
        print_table((), [("version", str(message.version)), ("etag", message.etag)])
        say_receipt(answer.receipt)

    session.show(with_receipt(answer), table)
