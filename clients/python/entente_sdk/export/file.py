"""An export as a file: JSON lines, which grow page by page and can be verified later, without the broker.

    {"export": "entente.report/1"}                    first
    {"report": {...}}                                 a disclosed report with its disclosure (protobuf's JSON mapping)
    {"page": 1, "reports": 100, "method": .., "request": .., "response": ..}
                                                      after its reports: the page as it was received (base64, RFC 4648)

MUSTs:
1. The file stands under its name only when it is whole; until then it is NAME.part, for its owner's eyes (mode 0600).
2. What is held in memory is one page, and the versions of reports that changed while the export ran.
3. A resumed export goes on after the last whole page, with the same conditions; what a crash left behind is dropped.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from entente.report.v1 import report_service_pb2 as wire
from entente_sdk._methods import SEARCH
from entente_sdk.errors import ConfigurationError
from entente_sdk.export.page import FORMAT, Page, continues, document, evidence, lines, query_of
from entente_sdk.export.rounds import Progress


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file holds: so many reports, from so many pages."""

    path: Path
    reports: int
    pages: int


class ExportFile:
    """A file that grows by pages. Open one with `ExportFile.open`; every method may block."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._reports = self._pages = 0
        self.progress = Progress()

    @classmethod
    def open(cls, path: Path, *, resume: bool) -> ExportFile:
        """Begin NAME.part, or go on with it. Raises ConfigurationError."""
        part = _part(path)
        if path.exists():
            raise ConfigurationError(f"{path} is there already; choose another name", reason="EXPORT_FILE")
        if resume != part.exists():
            said = "nothing to resume: there is no" if resume else "an export was begun: resume it, or remove"
            raise ConfigurationError(f"{said} {part}", reason="EXPORT_FILE")
        try:
            flags = os.O_RDWR | (0 if resume else os.O_CREAT | os.O_EXCL)
            made = cls(path, os.fdopen(os.open(part, flags, 0o600), "r+b"))
        except OSError as error:
            raise _unwritable(path, error) from error
        if resume:
            made._resume()
        else:
            made._write({"export": FORMAT})
        return made

    def _resume(self) -> None:
        """Take in the whole pages; drop what comes after the last."""
        whole = 0
        try:
            for end, line in lines(self._file):
                if "page" in line:
                    self.progress.take(Page.of(*evidence(line)))
                    self._reports, self._pages = self._reports + line["reports"], self._pages + 1
                if "report" not in line:
                    whole = end
            if not whole:
                raise ValueError("it is no export")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{_part(self._path)} cannot be resumed: {error}", reason="EXPORT_FILE") from error
        self._file.truncate(whole)
        self._file.seek(whole)

    def require_same_query(self, first: wire.SearchReportsRequest) -> None:
        """Raises ConfigurationError where what was begun asks for something else."""
        last = self.progress.last
        if last is not None and not continues(query_of(first), query_of(last.request)):
            raise ConfigurationError(
                "the export was begun with other conditions; repeat those, or begin another", reason="EXPORT_FILE"
            )

    def add(self, request: bytes, response: bytes) -> None:
        """Append a verified page: its reports, then itself. Raises ConfigurationError."""
        page = Page.of(request, response)
        if not self.progress.take(page):
            return
        self._pages += 1
        self._reports += len(page.answer.reports)
        for disclosed in page.answer.reports:
            self._write({"report": document(disclosed)})
        self._write(
            {
                "page": self._pages,
                "reports": len(page.answer.reports),
                "method": SEARCH.path,
                "request": base64.b64encode(request).decode(),
                "response": base64.b64encode(response).decode(),
            }
        )

    def finish(self) -> Exported:
        """Everything is there: make it durable, and give it its name. Raises ConfigurationError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            _part(self._path).replace(self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return Exported(self._path, self._reports, self._pages)

    def close(self) -> None:
        """Let go of the file; what is there of it can be resumed."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be written: {error}", reason="EXPORT_FILE")
