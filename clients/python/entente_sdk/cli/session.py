"""What a command works with: settings, a connection, and the chosen form of output.

Commands return nothing: they `show` a document (for JSON and YAML) beside a function that makes its table.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from entente_sdk._sync.client import Entente
from entente_sdk.answers import Answer, Receipt
from entente_sdk.cli.text import safe, to_json, to_yaml
from entente_sdk.errors import ConfigurationError
from entente_sdk.justification import Justification
from entente_sdk.profile import Output
from entente_sdk.retries import RetryPolicy
from entente_sdk.settings import Settings

# A person waits: one and a half seconds of attempts, not ten.
RETRY = RetryPolicy(attempts=5)
PIPE_WIDTH = 160
STYLES = {"withheld": "yellow", "generalised": "cyan", "value": ""}


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command."""

    settings: Settings
    reason: str | None = None

    @property
    def output(self) -> Output:
        """`table`, `json` or `yaml`."""
        output: Output = self.settings.values["output"].value
        return output

    @property
    def justification(self) -> Justification:
        """From options, environment and profile. Raises ConfigurationError where nothing states a purpose."""
        found = self.settings.profile().justification
        if found is None:
            raise ConfigurationError(
                "no purpose is stated: give --purpose, or set purpose in the profile", reason="PURPOSE_MISSING"
            )
        return found.because(self.reason) if self.reason else found

    def connect(self, retry: RetryPolicy = RETRY) -> Entente:
        """A client, to be used as a context manager."""
        return Entente(self.settings.profile(), retry=retry)

    def show(self, document: Any, table: Callable[[], None]) -> None:
        """Print a document in the chosen form."""
        if self.output == "json":
            sys.stdout.write(to_json(document) + "\n")
        elif self.output == "yaml":
            sys.stdout.write(to_yaml(document))
        else:
            table()

    def show_next(self, document: Any, table: Callable[[], None]) -> None:
        """Print one of a sequence without an end: a JSON text for each line, a YAML document for each."""
        if self.output == "json":
            sys.stdout.write(to_json(document, indent=None) + "\n")
        elif self.output == "yaml":
            sys.stdout.write("---\n" + to_yaml(document))
        else:
            table()
        sys.stdout.flush()


def as_document(message: Message) -> dict[str, Any]:
    """Protobuf's JSON mapping under the protos' own names."""
    document: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return document


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """What of a verified receipt is worth keeping beside the data."""
    return {
        "exchange_id": receipt.exchange_id,
        "index": receipt.index,
        "origin": receipt.checkpoint.origin,
        "size": receipt.checkpoint.size,
        "root": base64.b64encode(receipt.checkpoint.root).decode(),
    }


def with_receipt(answer: Answer[Any]) -> dict[str, Any]:
    """The message and its receipt."""
    return {**as_document(answer.message), "receipt": receipt_document(answer.receipt)}


def console(*, stderr: bool = False) -> Console:
    """A console on the present stdout; a pipe gets a width that keeps ids whole."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, markup=False)


def print_table(headings: Sequence[str], lines: Sequence[Sequence[str | tuple[str, str]]]) -> None:
    """A table of texts, each escaped here; a cell may be (text, style)."""
    table = Table(show_header=bool(headings), box=None, pad_edge=False, header_style="bold")
    for heading in headings or (lines[0:1] and lines[0]) or ():
        table.add_column(heading if isinstance(heading, str) and headings else "", overflow="fold")
    for line in lines:
        table.add_row(*(_cell(cell) for cell in line))
    console().print(table)


def say(text: str, style: str = "") -> None:
    """A line, escaped."""
    console().print(Text(safe(text), style=style), soft_wrap=True)


def say_receipt(receipt: Receipt) -> None:
    """One line under an answer."""
    say(
        f"Receipt verified: exchange {receipt.exchange_id}, entry {receipt.index} of {receipt.checkpoint.origin}", "dim"
    )


def _cell(cell: str | tuple[str, str]) -> Text:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return Text(safe(text, lines=True), style=style, overflow="fold")
